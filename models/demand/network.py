"""The demand network: an encoder over weeks, asked at the origin, and one answer for every day.

Direct forecasts of all days at once by quantile, MQ-RNN, https://arxiv.org/abs/1711.11053; the
encoder is any of the project's own: a week is an instant, the origin the query. All is in levels of
the series, so that one network serves items that sell a unit a week and categories of thousands:
DeepAR, https://arxiv.org/abs/1704.04110.

B windows, K weeks, H days, D dim.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import EncoderConfig
from models.demand.windows import NUM_DAY, NUM_SERIES, NUM_WEEK, Windows
from models.networks.encoders import build_encoder

QUANTILES = (0.1, 0.5, 0.9)
LEAST_PROFILE = 0.05  # of a level: a weekday without a sale starts from it
STRIDE = 3.0  # how much further the middle moves than the output that moves it


class Answers(NamedTuple):
    """(B, H) each, in levels of the series; p10 <= p50 <= p90 whatever the weights are."""

    p10: Tensor
    p50: Tensor
    p90: Tensor
    mean: Tensor


class DemandNetwork(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        dim = config.dim
        self.week = nn.Sequential(nn.Linear(NUM_WEEK, dim), nn.GELU())
        self.query = nn.Linear(NUM_SERIES, dim)
        self.encoder = build_encoder(config)
        self.state = nn.Linear(dim + NUM_SERIES, dim)
        self.day = nn.Linear(NUM_DAY, dim)
        self.dropout = nn.Dropout(config.dropout)
        self.hidden = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, len(Answers._fields))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, windows: Windows) -> Answers:
        state = self.encode(windows)  # (B, D)
        hidden = F.gelu(state[:, None] + self.day(windows.days))  # (B, H, D)
        hidden = self.dropout(hidden)
        hidden = hidden + F.gelu(self.hidden(hidden))
        low, middle, high, mean = self.out(hidden).unbind(dim=2)  # (B, H) each
        start = _inverse_softplus(windows.profile.clamp(min=LEAST_PROFILE))
        p50 = F.softplus(start + STRIDE * middle)
        return Answers(
            p10=p50 * torch.sigmoid(low),
            p50=p50,
            p90=p50 + F.softplus(high),
            mean=F.softplus(start + STRIDE * mean),
        )

    def encode(self, windows: Windows) -> Tensor:
        """-> (B, D): the state of the query that stands at the origin, after all weeks."""
        B, K, _ = windows.weeks.shape
        tokens = torch.cat([self.week(windows.weeks), self.query(windows.series)[:, None]], dim=1)
        is_query = torch.arange(K + 1).expand(B, K + 1) == K  # (B, K + 1)
        states = self.encoder(tokens, is_query, torch.full((B,), K + 1))  # (B, K + 1, D)
        state: Tensor = self.state(torch.cat([states[:, K], windows.series], dim=1))
        return state


def _inverse_softplus(values: Tensor) -> Tensor:
    return torch.log(torch.expm1(values))
