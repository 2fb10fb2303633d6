"""Paired bootstrap over users: is one model better than another on the same rows, or just lucky?

Every resample draws users with replacement, and a drawn user brings all of its rows, from every
cutoff: rows of one user are not independent. All models are measured on the same resamples, so that
what two of them share cancels in the difference.

Efron and Tibshirani, An Introduction to the Bootstrap (1993), percentile intervals; clusters:
Field and Welsh, https://doi.org/10.1111/j.1467-9868.2007.00593.x.

N rows, U users, R resamples. A statistic is an array (R + 1,): first its value on the data itself,
then on each resample.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CHUNK = 64  # resamples at a time: the weights of so many fit in the processor's cache


@dataclass(frozen=True)
class Interval:
    """A difference and where it lies with the stated confidence. Positive: the model is better."""

    difference: float
    low: float
    high: float


class Resamples:
    """The same draws of users for everything that is compared."""

    def __init__(self, users: NDArray[np.int64], *, num_bootstrap: int, seed: int) -> None:
        """``users``: (N,), whose row each row is, 0…U-1."""
        self.users = users
        num_users = int(users.max()) + 1 if len(users) else 0
        generator = np.random.default_rng(seed)
        self.weights = np.ones((num_bootstrap + 1, num_users))
        for row in range(1, num_bootstrap + 1):
            drawn = generator.integers(num_users, size=num_users)
            self.weights[row] = np.bincount(drawn, minlength=num_users)

    def mean(self, values: Array) -> Array:
        """The mean of ``values`` (N,) over the rows of each resample."""
        num_users = self.weights.shape[1]
        sums = np.bincount(self.users, values, minlength=num_users)
        counts = np.bincount(self.users, minlength=num_users)
        with np.errstate(divide="ignore", invalid="ignore"):
            means: Array = (self.weights @ sums) / (self.weights @ counts)
        return means

    def auroc(self, labels: Array, scores: Array) -> Array:
        """Chance that a positive row scores above a negative one, ties counting half.

        Sorted once: a resample only changes how often a row counts.
        """
        order = np.argsort(scores, kind="stable")
        positive = labels[order] > 0.5
        starts = _group_starts(scores[order])
        found = np.empty(len(self.weights))
        for chunk in _chunks(len(self.weights)):
            weights = self.weights[chunk][:, self.users[order]]  # (chunk, N)
            negatives = np.add.reduceat(weights * ~positive, starts, axis=1)  # per score
            positives = np.add.reduceat(weights * positive, starts, axis=1)
            below = np.cumsum(negatives, axis=1) - negatives / 2
            with np.errstate(divide="ignore", invalid="ignore"):
                found[chunk] = (positives * below).sum(1) / (positives.sum(1) * negatives.sum(1))
        return found

    def average_precision(self, labels: Array, scores: Array) -> Array:
        """Precision at each score's threshold, weighted by the recall gained there."""
        order = np.argsort(-scores, kind="stable")
        positive = labels[order] > 0.5
        starts = _group_starts(scores[order])
        found = np.empty(len(self.weights))
        for chunk in _chunks(len(self.weights)):
            weights = self.weights[chunk][:, self.users[order]]
            rows = np.add.reduceat(weights, starts, axis=1)
            positives = np.add.reduceat(weights * positive, starts, axis=1)
            seen = np.maximum(np.cumsum(rows, axis=1), 1e-12)
            precision = np.cumsum(positives, axis=1) / seen
            with np.errstate(divide="ignore", invalid="ignore"):
                found[chunk] = (precision * positives).sum(1) / positives.sum(1)
        return found


def compare(model: Array, against: Array, *, higher_is_better: bool, confidence: float) -> Interval:
    """The difference of two statistics of the same ``Resamples``, turned so that more is better.

    A resample on which a statistic is undefined (no positive row in it) is left out; an interval
    without any defined resample is NaN, which no rule accepts.
    """
    differences = model - against if higher_is_better else against - model
    drawn = differences[1:][np.isfinite(differences[1:])]
    if not len(drawn):
        return Interval(float(differences[0]), float("nan"), float("nan"))
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(differences[0]), float(low), float(high))


def _group_starts(ordered: Array) -> NDArray[np.int64]:
    """Where each run of equal scores begins."""
    return np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])


def _chunks(length: int) -> list[slice]:
    return [slice(start, min(start + CHUNK, length)) for start in range(0, length, CHUNK)]
