"""Matrix products in float32 that are oneDNN's where they run on a CPU.

PyTorch asks MKL for them, which on AMD's processors leaves AVX-512 aside: 85 GFLOP/s a core here
against oneDNN's 200, to the same last bits or nearly (docs/decisions/0025-products-by-onednn.md).

N rows, K and M widths.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(  # type: ignore[no-untyped-call]
    torch.ops.mkldnn, "_linear_pointwise"
)


class Linear(nn.Linear):
    """`nn.Linear`, by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., M)"""
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(..., K), (M, K), (M,) -> (..., M): `torch.nn.functional.linear`, by `product`."""
    if not _is_onednns(x, weight):
        return F.linear(x, weight, bias)
    rows = x.flatten(0, -2)  # (N, K)
    made: Tensor = _Linear.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
    return made.view(*x.shape[:-1], -1)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(N, K), (M, K), (M,) -> (N, M)"""
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        if x.size(1) <= gradient.size(1):  # the fewer rows are the faster half of the work
            of_weight = product(x.T.contiguous(), gradient.T).T
        else:
            of_weight = product(gradient.T.contiguous(), x.T)
        return product(gradient, weight.T), of_weight, gradient.sum(dim=0)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(N, K), (M, K), (M,) -> (N, M): x times weight transposed; no gradient is kept of it."""
    if not _is_onednns(x, weight):
        return F.linear(x, weight, bias)
    made: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return made


def _is_onednns(x: Tensor, weight: Tensor) -> bool:
    return (
        _HAS_ONEDNN
        and x.is_cpu
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
    )
