"""Causal convolutions over instants, with as-of queries beside them.

NextItNet, https://arxiv.org/abs/1808.05163: residual blocks of two dilated convolutions, each
reading twice as far back as the one before it, here with the norm before each, as in
https://arxiv.org/abs/1603.05027.

B batch, T tokens of the longest sequence, D dim. Sequences are right-padded.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from models.config import CNNConfig
from models.networks.recurrence import QueryStep, instants_first


class CNNEncoder(nn.Module):
    """Encode every token from itself and the instants before it, as far as the dilations reach."""

    def __init__(self, config: CNNConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(config, number) for number in range(config.num_layers))
        self.query_step = QueryStep(config.dim)
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, tokens: Tensor, is_query: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, D), (B, T) bool, (B,) -> (B, T, D). States at padding are not meaningful."""
        # Padding is on the right and queries come after it, so no instant is reached by either.
        instant_states = instants_first(tokens, is_query)  # (B, T, D)
        for block in self.blocks:
            instant_states = block(instant_states)
        states: Tensor = self.norm(self.query_step(tokens, is_query, instant_states))
        return states

    def latest(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, D), (B,) -> (B, D): the state of each user's last token, its only query."""
        instant_states = tokens
        for block in self.blocks:
            instant_states = block(instant_states)
        state: Tensor = self.norm(self.query_step.latest(tokens, lengths, instant_states))
        return state


class Block(nn.Module):
    def __init__(self, config: CNNConfig, number: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(config.dim) for _ in range(2))
        dilations = [2 ** (2 * number + n) for n in range(2)]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(config.dim, config.dim, config.kernel_size, dilation=dilation)
            for dilation in dilations
        )
        self.reaches = [dilation * (config.kernel_size - 1) for dilation in dilations]
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)"""
        fed = x
        layers = zip(self.norms, self.convolutions, self.reaches, strict=True)
        for norm, convolution, reach in layers:
            activated = F.relu(norm(fed)).transpose(1, 2)  # (B, D, T)
            fed = convolution(F.pad(activated, (reach, 0))).transpose(1, 2)  # (B, T, D)
        dropped: Tensor = self.dropout(fed)
        return x + dropped
