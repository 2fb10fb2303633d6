"""What training minimises, each with its paper.

N rows that are ranked for, M pairs of a row and one of its target items, V items, K negatives.
A loss over nothing is 0, with a gradient of 0, so that every rank of a distributed run agrees.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def sampled_softmax_loss(
    positive: Tensor,
    rows: Tensor,
    items: Tensor,
    negative: Tensor,
    negative_items: Tensor,
    log_inclusion: Tensor,
) -> Tensor:
    """(M,), (M,), (M,), (N, K), (K,), (K,) -> (): `softmax_loss` from a sample of the catalogue.

    Each negative stands for 1 / (probability that it is in the sample) items: logQ, Bengio &
    Senecal, 2008, https://doi.org/10.1109/TNN.2007.912312. The positive is always there and so is
    not corrected: https://arxiv.org/abs/2507.09331. A negative that is one of its row's targets is
    left out. ``negative_items`` ascend and differ.
    """
    K = len(negative_items)
    found = torch.searchsorted(negative_items, items).clamp(max=K - 1)  # (M,)
    hits = negative_items[found] == items  # (M,)
    corrected = negative - log_inclusion  # (N, K)
    mask = torch.zeros_like(corrected, dtype=torch.bool)
    mask[rows[hits], found[hits]] = True
    others = corrected.masked_fill(mask, float("-inf")).logsumexp(dim=1)  # (N,)
    chosen = positive - torch.logaddexp(positive, others[rows])  # (M,)
    return _mean_by_row(-chosen, rows, negative.size(0))


def binary_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """(Q,), (Q,) nan where unknown -> (): cross entropy, -y log p - (1 - y) log(1 - p)."""
    known = ~labels.isnan()
    losses = F.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def tweedie_loss(log_mean: Tensor, values: Tensor, *, power: float = 1.5) -> Tensor:
    """(Q,), (Q,) nan where unknown -> (): Tweedie deviance without the part that has no gradient.

    -y m^(1-p) / (1-p) + m^(2-p) / (2-p), for sums that are often 0: https://arxiv.org/abs/1912.07753
    """
    known = ~values.isnan()
    value = values.nan_to_num()
    losses = -value * torch.exp((1 - power) * log_mean) / (1 - power)
    losses = losses + torch.exp((2 - power) * log_mean) / (2 - power)
    return (losses * known).sum() / known.sum().clamp(min=1)


def _mean_by_row(losses: Tensor, rows: Tensor, num_rows: int) -> Tensor:
    counts = torch.bincount(rows, minlength=num_rows)  # (N,)
    weights = 1.0 / counts[rows].to(losses.dtype)  # (M,)
    return (losses * weights).sum() / (counts > 0).sum().clamp(min=1)
