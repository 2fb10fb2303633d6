"""What training minimises, each with its paper.

N rows that are ranked for, M pairs of a row and one of its target items, V items, K negatives.
A loss over nothing is 0, with a gradient of 0, so that every rank of a distributed run agrees.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.config import BinaryLoss, ClassWeight, CrossEntropy, Focal

LOWEST_LOG_MEAN = -5.0  # exp of it is the share of the mean spend that refunds may pull a mean to


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
    found, hits = _targets_among(negative_items, items)
    corrected = negative - log_inclusion  # (N, K)
    corrected[rows[hits], found[hits]] = float("-inf")
    others = corrected.logsumexp(dim=1)  # (N,)
    chosen = positive - torch.logaddexp(positive, others[rows])  # (M,)
    return _mean_by_row(-chosen, rows, negative.size(0))


def gbce_loss(
    positive: Tensor,
    rows: Tensor,
    items: Tensor,
    negative: Tensor,
    negative_items: Tensor,
    log_inclusion: Tensor,
    *,
    num_items: int,
    calibration: float,
) -> Tensor:
    """(M,), (M,), (M,), (N, K), (K,), (K,) -> (): generalised binary cross entropy of gSASRec.

    -beta log sigmoid(positive) - sum of log(1 - sigmoid(negative)), over 1 + the negatives, where
    beta = a (t (1 - 1 / a) + 1 / a) and a = K / (V - 1) makes up for drawing few negatives of many
    items; ``calibration`` is t: equations 10 and 11 of https://arxiv.org/abs/2308.07192. A negative
    that is one of its row's targets is left out. ``negative_items`` ascend and differ.

    Negatives that are not equally likely weigh in the sum as equally likely ones would: by 1 over
    the probability that they are in the sample, and 1 in the mean. Self-normalised importance
    sampling, section 9.2 of Owen, 2013, https://artowen.su.domains/mc/
    """
    found, hits = _targets_among(negative_items, items)
    kept = torch.ones_like(negative).index_put((rows[hits], found[hits]), negative.new_zeros(()))
    rate = min(len(negative_items) / max(num_items - 1, 1), 1.0)
    beta = rate * (calibration * (1.0 - 1.0 / rate) + 1.0 / rate)
    weights = len(log_inclusion) * torch.softmax(-log_inclusion, dim=0)  # (K,)
    refused = (F.softplus(negative) * kept * weights).sum(dim=1)  # (N,)
    sizes = 1.0 + kept.sum(dim=1)  # (N,)
    losses = (refused[rows] - beta * F.logsigmoid(positive)) / sizes[rows]  # (M,)
    return _mean_by_row(losses, rows, negative.size(0))


def _targets_among(negative_items: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """(K,), (M,) -> (M,) where a target would be among the negatives, (M,) whether it is."""
    found = torch.searchsorted(negative_items, items).clamp(max=len(negative_items) - 1)
    return found, negative_items[found] == items


def binary_loss(logits: Tensor, labels: Tensor, loss: BinaryLoss) -> Tensor:
    """(Q,), (Q,) nan where unknown -> (): cross entropy, -y log p - (1 - y) log(1 - p).

    With a class weight w, a row of a positive counts w times, in the sum and in what it is divided
    by. Focal: a row counts (1 - the probability of what came true)^gamma, equation 4 of
    https://arxiv.org/abs/1708.02002. Both bend probabilities, which the calibration bends back.
    """
    known = ~labels.isnan()
    truth = labels.nan_to_num()
    losses = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    match loss:
        case CrossEntropy():
            return (losses * known).sum() / known.sum().clamp(min=1)
        case ClassWeight():
            weights = (1.0 + (loss.positive - 1.0) * truth) * known
            return (losses * weights).sum() / weights.sum().clamp(min=min(1.0, loss.positive))
        case Focal():
            wrong = torch.sigmoid(torch.where(truth > 0.5, -logits, logits))
            return (losses * wrong.pow(loss.gamma) * known).sum() / known.sum().clamp(min=1)


def tweedie_loss(log_mean: Tensor, values: Tensor, *, power: float = 1.5) -> Tensor:
    """(Q,), (Q,) nan where unknown -> (): Tweedie deviance without the part that has no gradient.

    -y m^(1-p) / (1-p) + m^(2-p) / (2-p), for sums that are often 0: Jorgensen, 1987, "Exponential
    dispersion models", https://doi.org/10.1111/j.2517-6161.1987.tb01685.x

    What it is least at is the mean of the values, be some of them below 0 (more came back than was
    bought): its gradient is (m - y) m^(1-p), a quasi-likelihood's, Wedderburn, 1974,
    https://doi.org/10.1093/biomet/61.3.439. Such a value alone has no least loss, so it pulls no
    further down than `LOWEST_LOG_MEAN`.
    """
    known = ~values.isnan()
    value = values.nan_to_num()
    pulled = torch.where(value < 0, log_mean.clamp(min=LOWEST_LOG_MEAN), log_mean)
    losses = -value * torch.exp((1 - power) * pulled) / (1 - power)
    losses = losses + torch.exp((2 - power) * log_mean) / (2 - power)
    return (losses * known).sum() / known.sum().clamp(min=1)


def absolute_loss(median: Tensor, values: Tensor) -> Tensor:
    """(Q,) before softplus, (Q,) nan where unknown -> (): mean absolute error.

    The value with the smallest is the median: Koenker & Bassett, 1978,
    https://doi.org/10.2307/1913643
    """
    known = ~values.isnan()
    losses = (F.softplus(median) - values.nan_to_num()).abs()
    return (losses * known).sum() / known.sum().clamp(min=1)


def _mean_by_row(losses: Tensor, rows: Tensor, num_rows: int) -> Tensor:
    counts = torch.bincount(rows, minlength=num_rows)  # (N,)
    weights = 1.0 / counts[rows].to(losses.dtype)  # (M,)
    return (losses * weights).sum() / (counts > 0).sum().clamp(min=1)
