"""The field's metrics in plain numpy, each with its formula and source.

``truth`` comes first, then what was predicted. N rows; of lists: one ranking a user, best first.
A metric without an answer (one class only, no row) is nan.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def auroc(truth: ArrayLike, score: ArrayLike) -> float:
    """Probability that a positive outranks a negative, ties counting half.

    (sum of the positives' ranks - P(P + 1)/2) / (P N): Hanley & McNeil, 1982,
    https://doi.org/10.1148/radiology.143.1.7063747
    """
    positive = np.asarray(truth, dtype=np.float64) > 0.5
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if num_positive == 0 or num_negative == 0:
        return float("nan")
    _, inverse, counts = np.unique(np.asarray(score), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # ties share their mean rank
    above = ranks[positive].sum() - num_positive * (num_positive + 1) / 2
    return float(above / (num_positive * num_negative))


def average_precision(truth: ArrayLike, score: ArrayLike) -> float:
    """Sum over thresholds of (recall gained) x (precision), without interpolation.

    Zhu, 2004, "Recall, precision and average precision"; as in scikit-learn.
    """
    positive = np.asarray(truth, dtype=np.float64) > 0.5
    if not positive.any():
        return float("nan")
    values = np.asarray(score, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    hits, sorted_values = np.cumsum(positive[order]), values[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(sorted_values)), len(values) - 1)
    precision = hits[last_of_tie] / (last_of_tie + 1)
    recall = hits[last_of_tie] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def brier(truth: ArrayLike, probability: ArrayLike) -> float:
    """mean (p - y)^2: Brier, 1950, https://doi.org/10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2"""
    y, p = np.asarray(truth, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    return float(np.mean((p - y) ** 2)) if len(y) else float("nan")


def cross_entropy(shares: ArrayLike, probability: ArrayLike) -> float:
    """-mean over rows of the sum of y log p, p kept off 0 by 1e-7: `log_loss` of many classes.

    (N, Y) shares of each class in what came true, which need not be all of one class.
    """
    y, p = np.asarray(shares, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    return float(-np.mean((y * np.log(np.maximum(p, 1e-7))).sum(axis=1))) if len(y) else np.nan


def log_loss(truth: ArrayLike, probability: ArrayLike) -> float:
    """-mean(y log p + (1 - y) log(1 - p)), p kept off 0 and 1 by 1e-7: Good, 1952."""
    y, p = np.asarray(truth, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p))) if len(y) else float("nan")


def expected_calibration_error(
    truth: ArrayLike, probability: ArrayLike, *, num_bins: int = 10
) -> float:
    """sum_b n_b/N |mean p - mean y| over bins of equally many rows.

    Naeini et al., 2015, https://doi.org/10.1609/aaai.v29i1.9602, with equal-mass bins as in
    Nixon et al., 2019, https://arxiv.org/abs/1904.01685. Equal probabilities are in one bin.
    """
    y, p = np.asarray(truth, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    if not len(y):
        return float("nan")
    edges = np.quantile(p, np.linspace(0, 1, num_bins + 1)[1:-1])
    bins = np.searchsorted(edges, p, side="right")
    gaps = np.bincount(bins, weights=p - y, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(y))


def mae(truth: ArrayLike, value: ArrayLike) -> float:
    """mean |prediction - truth|"""
    y, x = np.asarray(truth, dtype=np.float64), np.asarray(value, dtype=np.float64)
    return float(np.mean(np.abs(x - y))) if len(y) else float("nan")


def tweedie_deviance(
    truth: ArrayLike, value: ArrayLike, *, power: float = 1.5, lowest: float = 1e-9
) -> float:
    """Mean deviance of a compound Poisson-gamma, 1 < power < 2: Jorgensen, 1987.

    2 mean( y^(2-p)/((1-p)(2-p)) - y x^(1-p)/(1-p) + x^(2-p)/(2-p) )

    Where a y is below 0 no such distribution has it: the first part, in which no x stands, is left
    out, and its x counts as ``lowest`` at least. The mean has the smallest value then, too.
    """
    y, x = np.asarray(truth, dtype=np.float64), np.asarray(value, dtype=np.float64)
    x = np.maximum(x, 1e-9)
    is_refund = y < 0
    own = 0.0 if is_refund.any() else y ** (2 - power) / ((1 - power) * (2 - power))
    cross = y * np.where(is_refund, np.maximum(x, lowest), x) ** (1 - power) / (1 - power)
    return float(2 * np.mean(own - cross + x ** (2 - power) / (2 - power)))


def ndcg_at_k(relevant: Sequence[ArrayLike], ranked: Sequence[ArrayLike], *, k: int = 10) -> Floats:
    """(N,) of users; nan where nothing was relevant. Average it with ``np.nanmean``.

    DCG = sum over ranks r <= k of [relevant] / log2(r + 1), over the best DCG possible:
    Jarvelin & Kekalainen, 2002, https://doi.org/10.1145/582415.582418
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)

    def of_one(hits: NDArray[np.bool_], num_relevant: int) -> float:
        return float(discounts[: len(hits)][hits].sum() / ideal[min(num_relevant, k) - 1])

    return _per_user(relevant, ranked, k, of_one)


def recall_at_k(
    relevant: Sequence[ArrayLike], ranked: Sequence[ArrayLike], *, k: int = 10
) -> Floats:
    """(N,) of users: share of the relevant items among the first k; nan where nothing was."""

    def of_one(hits: NDArray[np.bool_], num_relevant: int) -> float:
        return float(hits.sum() / num_relevant)

    return _per_user(relevant, ranked, k, of_one)


def _per_user(
    relevant: Sequence[ArrayLike],
    ranked: Sequence[ArrayLike],
    k: int,
    of_one: Callable[[NDArray[np.bool_], int], float],
) -> Floats:
    values = np.full(len(relevant), np.nan)
    for n, (wanted, given) in enumerate(zip(relevant, ranked, strict=True)):
        wanted_set = set(np.asarray(wanted).tolist())
        if wanted_set:
            hits = np.asarray([item in wanted_set for item in np.asarray(given)[:k].tolist()], bool)
            values[n] = of_one(hits, len(wanted_set))
    return values
