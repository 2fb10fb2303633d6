"""LSTM encoder over instants and as-of queries.

Hochreiter & Schmidhuber, 1997, https://doi.org/10.1162/neco.1997.9.8.1735.

B batch, T tokens of the longest sequence, D dim. Sequences are right-padded.
"""

from torch import Tensor, nn

from models.config import LSTMConfig
from models.networks.recurrence import QueryStep, instants_first


class LSTMEncoder(nn.Module):
    """Encode every token from itself and the instants before it."""

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__()
        self.layers = nn.LSTM(
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
