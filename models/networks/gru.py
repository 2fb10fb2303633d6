"""GRU encoder over instants and as-of queries.

Cho et al., 2014, https://arxiv.org/abs/1406.1078; on sessions of clicks: GRU4Rec,
https://arxiv.org/abs/1511.06939.

B batch, T tokens of the longest sequence, D dim. Sequences are right-padded.
"""

from torch import Tensor, nn

from models.config import GRUConfig
from models.networks.recurrence import QueryStep, instants_first


class GRUEncoder(nn.Module):
    """Encode every token from itself and the instants before it."""

    def __init__(self, config: GRUConfig) -> None:
        super().__init__()
        self.layers = nn.GRU(
            config.dim,
            config.dim,
            config.num_layers,
            batch_first=True,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
        )
        self.query_step = QueryStep(config.dim)
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, tokens: Tensor, is_query: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, D), (B, T) bool, (B,) -> (B, T, D). States at padding are not meaningful."""
        # Padding is on the right and queries come after it, so no instant is reached by either.
        instant_states, _ = self.layers(instants_first(tokens, is_query))  # (B, T, D)
        states: Tensor = self.norm(self.query_step(tokens, is_query, instant_states))
        return states

    def latest(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, D), (B,) -> (B, D): the state of each user's last token, its only query."""
        instant_states, _ = self.layers(tokens)  # (B, T, D)
        state: Tensor = self.norm(self.query_step.latest(tokens, lengths, instant_states))
        return state
