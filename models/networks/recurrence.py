"""What the LSTM and the GRU share: instants go through the fused network, queries stand aside.

A query is one step of a cell of its own from the state of the last instant before it, so it sees
everything before it and nothing sees a query.

B batch, T tokens of the longest sequence, D dim.
"""

import torch
from torch import Tensor, nn


class QueryStep(nn.Module):
    """The state of every token, given the states of the instants alone."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(dim, dim)
        self.initial = nn.Parameter(torch.zeros(dim))  # for a query with no instant before it

    def forward(self, tokens: Tensor, is_query: Tensor, instant_states: Tensor) -> Tensor:
        """(B, T, D), (B, T) bool, (B, T, D) instants first -> (B, T, D) in the tokens' order"""
        B, T, D = tokens.shape
        rank = torch.cumsum(~is_query, dim=1)  # (B, T) instants up to here
        initial = self.initial.expand(B, 1, D).to(instant_states.dtype)
        reached = torch.cat([initial, instant_states], dim=1)  # (B, T + 1, D)
        latest = reached.gather(1, rank[:, :, None].expand(B, T, D))  # (B, T, D)
        asked: Tensor = self.cell(tokens[is_query], latest[is_query])  # (Q, D)
        return latest.masked_scatter(is_query[:, :, None], asked.to(latest.dtype))

    def latest(self, tokens: Tensor, lengths: Tensor, instant_states: Tensor) -> Tensor:
        """(B, T, D), (B,), (B, T, D) in the tokens' order -> (B, D) of each user's last token.

        That token is a query; what came of it as if it were an instant is not looked at.
        """
        users = torch.arange(len(tokens), device=tokens.device)
        before = instant_states[users, (lengths - 2).clamp(min=0)]  # (B, D)
        before = torch.where(lengths[:, None] > 1, before, self.initial)
        state: Tensor = self.cell(tokens[users, lengths - 1], before)
        return state


def instants_first(tokens: Tensor, is_query: Tensor) -> Tensor:
    """(B, T, D), (B, T) bool -> (B, T, D): instants, then padding, then queries."""
    order = torch.argsort(is_query.to(torch.uint8), dim=1, stable=True)  # (B, T)
    return tokens.gather(1, order[:, :, None].expand_as(tokens))
