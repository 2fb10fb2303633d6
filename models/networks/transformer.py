"""Causal Transformer encoder over instants and as-of queries.

SASRec, https://arxiv.org/abs/1808.09781, with pre-norm blocks, https://arxiv.org/abs/2002.04745,
and attention that fades with distance instead of positions, so that where a history was cut does
not matter: ALiBi, https://arxiv.org/abs/2108.12409.

B batch, T tokens of the longest sequence, D dim, H heads. Sequences are right-padded.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import TransformerConfig
from models.networks.dropout import Dropout
from models.networks.linear import Linear


class TransformerEncoder(nn.Module):
    """Encode every token from itself and the instants before it."""

    slopes: Tensor

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.dim)
        steps = torch.arange(1, config.num_heads + 1) * (8.0 / config.num_heads)
        self.register_buffer("slopes", 2.0**-steps, persistent=False)  # (H,)

    def forward(self, tokens: Tensor, is_query: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, D), (B, T) bool, (B,) -> (B, T, D). States at padding are not meaningful."""
        if is_query.any():
            bias = attention_bias(is_query, lengths, self.slopes)  # (B, H, T, T)
        else:  # padding is on the right, so being causal keeps it from every instant
            bias = causal_bias(tokens.size(1), self.slopes)  # (1, H, T, T)
        bias = bias.to(tokens.dtype)
        states = tokens
        for block in self.blocks:
            states = block(states, bias)
        normed: Tensor = self.norm(states)
        return normed

    def latest(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, D), (B,) -> (B, D): the state of each user's last token, its only query.

        A query that comes last stands where the next instant would, so plain causal attention is
        what it needs, the same for every user; and the last block is asked of it alone.
        """
        bias = causal_bias(tokens.size(1), self.slopes).to(tokens.dtype)  # (1, H, T, T)
        states = tokens
        for block in self.blocks[:-1]:
            states = block(states, bias)
        last = cast("Block", self.blocks[-1])
        normed: Tensor = self.norm(last.latest(states, lengths, self.slopes))
        return normed


class Block(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.norm_attention = nn.LayerNorm(config.dim)
        self.project_in = Linear(config.dim, 3 * config.dim)
        self.project_out = Linear(config.dim, config.dim)
        self.dropout = Dropout(config.dropout)
        self.norm_feedforward = nn.LayerNorm(config.dim)
        self.feedforward = nn.Sequential(
            Linear(config.dim, config.expansion * config.dim),
            nn.GELU(),
            Linear(config.expansion * config.dim, config.dim),
            Dropout(config.dropout),
        )

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """(B, T, D), (B, H, T, T) -> (B, T, D)"""
        B, T, D = x.shape
        projected = self.project_in(self.norm_attention(x)).view(B, T, 3, self.num_heads, -1)
        query, key, value = projected.permute(2, 0, 3, 1, 4)  # (B, H, T, D / H) each
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        attended = self.project_out(attended.transpose(1, 2).reshape(B, T, D))  # (B, T, D)
        x = x + self.dropout(attended)
        fed: Tensor = self.feedforward(self.norm_feedforward(x))
        return x + fed

    def latest(self, x: Tensor, lengths: Tensor, slopes: Tensor) -> Tensor:
        """(B, T, D), (B,), (H,) -> (B, D): this block's output at each user's last token.

        With one question a user no key or value is made: the question is put into the terms of the
        tokens, and what they answer into those of the values. The keys' bias shifts every score
        alike, so it falls out of the softmax.
        """
        B, T, D = x.shape
        H = self.num_heads
        given = self.norm_attention(x)  # (B, T, D)
        ends = (torch.arange(B, device=x.device), lengths - 1)
        to_query, to_key, to_value = self.project_in.weight.view(3, H, D // H, D)
        query_bias, _, value_bias = self.project_in.bias.view(3, H, D // H)
        query = torch.einsum("bd,hed->bhe", given[ends], to_query) + query_bias  # (B, H, D / H)
        asked = torch.einsum("bhe,hed->bhd", query, to_key) * (D // H) ** -0.5  # (B, H, D)
        distance = (lengths - 1)[:, None] - torch.arange(T, device=x.device)  # (B, T)
        bias = -slopes[:, None] * distance[:, None]  # (B, H, T)
        scores = (asked @ given.transpose(1, 2) + bias).masked_fill(
            distance[:, None] < 0, float("-inf")
        )
        found = scores.softmax(dim=2) @ given  # (B, H, D)
        values = torch.einsum("bhd,hed->bhe", found, to_value) + value_bias  # (B, H, D / H)
        latest: Tensor = x[ends] + self.project_out(values.flatten(1))  # (B, D)
        fed: Tensor = self.feedforward(self.norm_feedforward(latest))
        return latest + fed


def causal_bias(T: int, slopes: Tensor) -> Tensor:
    """(H,) -> (1, H, T, T): `attention_bias` of instants alone, the same for every user."""
    places = torch.arange(T, device=slopes.device)
    distance = places[:, None] - places  # (T, T)
    bias = -slopes[:, None, None] * distance  # (H, T, T)
    return bias.masked_fill(distance < 0, float("-inf"))[None]


def attention_bias(is_query: Tensor, lengths: Tensor, slopes: Tensor) -> Tensor:
    """(B, T) bool, (B,), (H,) -> (B, H, T, T): what is added to attention, -inf where hidden.

    A token sees itself and the instants before it. No token sees another one's query, and
    distance counts instants only, so that asking changes nothing.
    """
    T = is_query.size(1)
    places = torch.arange(T, device=is_query.device)
    causal = places[:, None] >= places  # (T, T)
    is_self = places[:, None] == places  # (T, T)
    is_key = ~is_query & (places < lengths[:, None])  # (B, T)
    seen = (causal & is_key[:, None, :]) | is_self  # (B, T, T)
    rank = torch.cumsum(~is_query, dim=1)  # (B, T) instants up to here
    # A query stands one step after the last instant before it, as the next instant would.
    rank = (rank + is_query.long()).to(slopes.dtype)
    distance = (rank[:, :, None] - rank[:, None, :]).clamp(min=0.0)  # (B, T, T)
    bias = -slopes[:, None, None] * distance[:, None]  # (B, H, T, T)
    return bias.masked_fill(~seen[:, None], float("-inf"))
