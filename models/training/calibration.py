"""Turning logits into probabilities that come true as often as they say.

Platt, 1999, "Probabilistic outputs for support vector machines": sigmoid(slope x logit + offset),
fitted on validation cutoffs, which the weights were not trained on. N rows.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import PositiveFloat

from models.config import Config

MIN_SLOPE = 0.05  # a calibration never turns a ranking round
RIDGE = 1e-3  # pulls towards "already calibrated", for validation sets of a few users


class Platt(Config):
    slope: PositiveFloat
    offset: float

    def __call__(self, logits: ArrayLike) -> NDArray[np.float64]:
        """(N,) -> (N,) probabilities"""
        return sigmoid(self.slope * np.asarray(logits, dtype=np.float64) + self.offset)


class Calibration(Config):
    purchase: Platt
    churn: Platt
    spend: PositiveFloat  # factor


class BaseRates(Config):
    """What is said of a user who was never seen before the cutoff."""

    purchase: float
    churn: float
    spend: float


IDENTITY = Platt(slope=1.0, offset=0.0)


def fit_platt(logits: ArrayLike, truth: ArrayLike, *, num_steps: int = 50) -> Platt:
    """Newton's method on the cross entropy; without both classes there is nothing to fit."""
    x = np.asarray(logits, dtype=np.float64)
    y = np.asarray(truth, dtype=np.float64)
    if not len(y) or y.min() == y.max():
        return IDENTITY
    design = np.stack([x, np.ones_like(x)], axis=1)  # (N, 2)
    start = np.array([1.0, 0.0])
    weights = start.copy()
    for _ in range(num_steps):
        p = sigmoid(design @ weights)
        gradient = design.T @ (p - y) + RIDGE * (weights - start)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-9:
            break
    return Platt(slope=max(float(weights[0]), MIN_SLOPE), offset=float(weights[1]))


def fit_factor(predicted: ArrayLike, truth: ArrayLike) -> float:
    """What makes the mean of the predictions that of the truth."""
    total, wanted = float(np.sum(predicted)), float(np.sum(truth))
    return wanted / total if total > 0 and wanted > 0 else 1.0


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)), dtype=np.float64)
