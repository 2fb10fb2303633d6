"""From the state of a query to what the business asks: logits, a log mean, item scores.

Q queries, D dim, F features, V words (items of the catalogue, event types) and the unknown one,
C copy candidates.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.linear import Linear, linear

HIDDEN = 64
MAX_LOG_MEAN = 12.0  # exp of it is the largest spend said, in units of the mean spend
UNKNOWN = -1e4  # log weight of the unknown word: none, and still a number


class ScalarHead(nn.Module):
    """A few numbers per query, from its state and, past the encoder, from its features."""

    def __init__(self, dim: int, num_features: int, *, num_outputs: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(dim + num_features, HIDDEN),
            nn.GELU(),
            nn.Dropout(1.0 - (1.0 - dropout) ** 2),  # about twice as much
            nn.Linear(HIDDEN, num_outputs),
        )

    def forward(self, states: Tensor, features: Tensor) -> Tensor:
        """(Q, D), (Q, F) -> (Q, outputs)"""
        value: Tensor = self.layers(torch.cat([states, features], dim=1))
        return value


class SpendHead(nn.Module):
    """A mean and a median of spend, the median from what was spent lately on.

    The features tell of spend by its logarithm. A median that is to follow the highest spenders
    would have to learn the exponential: it said too little of them. So it is a correction of a
    weighted mean of what was spent in windows of several lengths.
    """

    def __init__(self, dim: int, num_features: int, *, num_spans: int, dropout: float) -> None:
        super().__init__()
        self.values = ScalarHead(dim, num_features, num_outputs=2, dropout=dropout)
        self.lately = nn.Linear(num_spans, 1, bias=False)
        nn.init.constant_(self.lately.weight, 1.0 / num_spans)

    def forward(self, states: Tensor, features: Tensor, spent: Tensor) -> tuple[Tensor, Tensor]:
        """(Q, D), (Q, F), (Q, spans) -> (Q,) log of the mean, (Q,) the median before softplus"""
        mean, median = self.values(states, features).unbind(dim=1)
        return mean, median + self.lately(spent).squeeze(1)


class CopyHead(nn.Module):
    """The log weight of each of a user's own past items, beside the catalogue's.

    It starts as the item's share of the user's history, and learns what to make of the rest:
    pointing back as in RepeatNet, https://arxiv.org/abs/1812.02646.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(num_features + 1, HIDDEN // 2)
        self.out = nn.Linear(HIDDEN // 2, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, log_share: Tensor, features: Tensor, popularity: Tensor) -> Tensor:
        """(C,), (C, K), (C,) -> (C,)"""
        given = torch.cat([features, popularity[:, None]], dim=1)  # (C, K + 1)
        weight: Tensor = log_share + self.out(F.gelu(self.hidden(given))).squeeze(1)
        return weight


class TiedHead(nn.Module):
    """Scores of a vocabulary by its words' own embeddings, tied: https://arxiv.org/abs/1608.05859"""

    unknown: Tensor

    def __init__(self, dim: int, num_words: int) -> None:
        super().__init__()
        self.project = Linear(dim, dim)
        self.bias = nn.Parameter(torch.zeros(num_words + 1))
        unknown = torch.zeros(num_words + 1)
        unknown[0] = UNKNOWN
        self.register_buffer("unknown", unknown, persistent=False)

    def biases(self) -> Tensor:
        """-> (V,): the unknown word is never ranked."""
        return self.bias + self.unknown

    def forward(self, states: Tensor, vectors: Tensor) -> Tensor:
        """(N, D), (V, D) -> (N, V)"""
        return linear(self.project(states), vectors, self.biases())
