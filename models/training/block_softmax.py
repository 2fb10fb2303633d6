"""Softmax over the catalogue in blocks of rows: (N, V) logits never exist at once.

A block's logits are made, turned into shares and multiplied into the gradients while they are still
in cache, all in the forward pass: the fused linear cross entropy of Liger Kernel,
https://arxiv.org/abs/2410.10989, and of Cut Cross-Entropy, https://arxiv.org/abs/2411.09009.
A softmax over a large catalogue is bound by memory, not by arithmetic, so this is what it costs.

N rows that are ranked for, D dim, V items, M pairs of a row and one of its target items.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.networks.linear import product

CPU_BLOCK = 1 << 19  # logits of a block: 2 MiB, so that it and the items' vectors stay in cache
GPU_BLOCK = 1 << 26  # 256 MiB, so that its kernels are few and fill the card
FEWEST_ROWS = 16  # a matrix product of fewer rows does little with each byte that it reads
NOTHING = -1e4  # log weight of no own items: its share is 0, and it is still a number
_FAINT = 1e-30  # an anchor with a smaller share says nothing of the sum


def softmax_loss(
    states: Tensor, vectors: Tensor, biases: Tensor, rows: Tensor, items: Tensor
) -> Tensor:
    """(N, D), (V, D), (V,), (M,), (M,) -> (): mean over rows of the mean of -log softmax.

    The inner mean is over a row's targets; a row without one does not count. The multi-target
    softmax of https://arxiv.org/abs/1706.07881, section 3.2's multinomial form.
    """
    ranked, places = torch.unique(rows, return_inverse=True)  # (R,), (M,)
    states = states[ranked].to(vectors.dtype)  # (R, D)
    chosen, anchors = _chosen(states, vectors, biases, places, items)
    own = chosen.new_full((len(ranked),), NOTHING)  # (R,)
    total = _mean_log_sum(states, vectors, biases, own, anchors)
    return total - _mean_by_row(chosen, places, len(ranked))


def mixture_loss(
    states: Tensor,
    vectors: Tensor,
    biases: Tensor,
    own: Tensor,
    own_rows: Tensor,
    *,
    rows: Tensor,
    items: Tensor,
    copies: Tensor,
) -> Tensor:
    """(N, D), (V, D), (V,), (C,), (C,), (M,), (M,), (M,) -> (): `softmax_loss` with own items too.

    An item weighs exp(its logit) + exp(own); ``copies`` says which own item a target is, -1 for
    none. RepeatNet's mixture of repeating and exploring: https://arxiv.org/abs/1812.02646
    """
    ranked, places = torch.unique(rows, return_inverse=True)  # (R,), (M,)
    repeated = logsumexp_by_row(own, own_rows, states.size(0))[ranked]  # (R,)
    states = states[ranked].to(vectors.dtype)  # (R, D)
    chosen, anchors = _chosen(states, vectors, biases, places, items)
    if len(own):
        again = torch.logaddexp(chosen, own[copies.clamp(min=0)])
        chosen = torch.where(copies >= 0, again, chosen)
    total = _mean_log_sum(states, vectors, biases, repeated, anchors)
    return total - _mean_by_row(chosen, places, len(ranked))


def logsumexp_by_row(values: Tensor, rows: Tensor, num_rows: int) -> Tensor:
    """(C,), (C,) -> (N,): a very small number where a row has no value."""
    floor = torch.full((num_rows,), NOTHING, dtype=values.dtype, device=values.device)
    largest = floor.scatter_reduce(0, rows, values.detach(), "amax")  # (N,)
    sums = torch.zeros_like(floor).index_add(0, rows, (values - largest[rows]).exp())
    return largest + sums.clamp(min=1e-30).log()


def _chosen(
    states: Tensor, vectors: Tensor, biases: Tensor, places: Tensor, items: Tensor
) -> tuple[Tensor, Tensor]:
    """(R, D), (V, D), (V,), (M,), (M,) -> (M,) logits of the targets, (R,) one target of each."""
    targets = F.embedding(items, vectors)  # (M, D)
    chosen = (states[places] * targets).sum(dim=1) + biases[items]  # (M,)
    anchors = torch.zeros(states.size(0), dtype=items.dtype, device=items.device)
    return chosen, anchors.scatter_reduce(0, places, items, "amax")


def _mean_by_row(values: Tensor, rows: Tensor, num_rows: int) -> Tensor:
    counts = torch.bincount(rows, minlength=num_rows)  # (R,)
    return (values / counts[rows].to(values.dtype)).sum() / max(num_rows, 1)


def _mean_log_sum(*of: Tensor) -> Tensor:
    total: Tensor = _MeanLogSum.apply(*of)  # type: ignore[no-untyped-call]
    return total


class _MeanLogSum(torch.autograd.Function):
    """The mean over rows of log(exp(own) + sum over items of exp(logit)), and its gradients."""

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (*(gradient * saved for saved in ctx.saved_tensors), None)

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, vectors: Tensor, biases: Tensor, own: Tensor, anchors: Tensor
    ) -> Tensor:
        """(R, D), (V, D), (V,), (R,), (R,) -> ()

        An anchor is any item of a row: the sum is its logit less the log of its share.
        """
        R, V = states.size(0), vectors.size(0)
        of_states, of_own = torch.empty_like(states), torch.empty_like(own)
        of_items = vectors.new_zeros(vectors.size(1) + 1, V)  # (D + 1, V) vectors, then biases
        total = own.new_zeros(())
        size = max(FEWEST_ROWS, (CPU_BLOCK if states.is_cpu else GPU_BLOCK) // V)
        for start in range(0, R, size):
            rows = slice(start, start + size)
            some, repeated = states[rows], own[rows]
            shares, log_sums = _shares(some, vectors, biases, anchors[rows])  # (n, V), (n,)
            log_weights = torch.logaddexp(log_sums, repeated)
            total += log_weights.sum()
            of_own[rows] = torch.exp(repeated - log_weights) / R
            weights = torch.exp(log_sums - log_weights)[:, None] / R  # of the catalogue in the sum
            of_states[rows] = product(shares, vectors.T) * weights
            weighed = torch.cat([some * weights, weights], dim=1)  # (n, D + 1)
            of_items += product(weighed.T.contiguous(), shares.T)
        ctx.save_for_backward(of_states, of_items[:-1].T, of_items[-1], of_own)
        return total / max(R, 1)


def _shares(
    states: Tensor, vectors: Tensor, biases: Tensor, anchors: Tensor
) -> tuple[Tensor, Tensor]:
    """(n, D), (V, D), (V,), (n,) -> (n, V) softmax, (n,) log of its sum"""
    block = product(states, vectors, biases)
    anchored = block.gather(1, anchors[:, None]).squeeze(1)
    shares = torch.softmax(block, dim=1, out=block) if block.is_cpu else block.softmax(dim=1)
    share = shares.gather(1, anchors[:, None]).squeeze(1)
    log_sums = anchored - share.clamp(min=_FAINT).log()
    faint = torch.nonzero(share < _FAINT).squeeze(1)
    if len(faint):
        log_sums[faint] = product(states[faint], vectors, biases).logsumexp(dim=1)
    return shares, log_sums
