"""Dropout whose coins cost little on a CPU.

Hinton et al., https://arxiv.org/abs/1207.0580. A number that torch draws there with `bernoulli_`
takes 6 ns; here 64 random bits are drawn at once and read as four numbers of 16 bits, so that a
share is kept to within 1 / 65,536 of what was asked, and scaled by exactly that share.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 1 << 16


class Dropout(nn.Dropout):
    """`nn.Dropout`; the generator is torch's own, so a seed still says all."""

    def forward(self, x: Tensor) -> Tensor:
        """The shape of ``x``, whatever it is."""
        if not self.training or self.p == 0.0 or not x.is_cpu:
            return F.dropout(x, self.p, self.training)
        kept = round((1.0 - self.p) * LEVELS)
        if kept in (0, LEVELS):  # finer than 16 bits can say
            return F.dropout(x, self.p, self.training)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64)
        numbers = words.random_(-(1 << 63), None).view(torch.int16)[: x.numel()]
        coins = (numbers < kept - LEVELS // 2).to(x.dtype).mul_(LEVELS / kept)
        return x * coins.view(x.shape)
