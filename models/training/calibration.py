"""Turning logits into probabilities that come true as often as they say.

Platt, 1999, "Probabilistic outputs for support vector machines": sigmoid(slope x logit + offset),
fitted on validation cutoffs, which the weights were not trained on. N rows.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import PositiveFloat

from models.config import Config
from models.sequences.history import Floats

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
    """The smallest cross entropy; without both classes there is nothing to fit.

    Where the slope has to be kept from turning a ranking round, the offset is fitted to that.
    """
    x = np.asarray(logits, dtype=np.float64)
    y = np.asarray(truth, dtype=np.float64)
    if not len(y) or y.min() == y.max():
        return IDENTITY
    ones, nothing = np.ones_like(x), np.zeros_like(x)
    slope, offset = _newton([x, ones], nothing, y, start=[1.0, 0.0], num_steps=num_steps)
    if slope < MIN_SLOPE:
        slope = MIN_SLOPE
        (offset,) = _newton([ones], slope * x, y, start=[0.0], num_steps=num_steps)
    return Platt(slope=slope, offset=offset)


def _newton(
    columns: Sequence[Floats], given: Floats, y: Floats, *, start: Sequence[float], num_steps: int
) -> list[float]:
    """Weights of the columns, (N,) each, that are added to what is given: logits of y."""
    design, begun = np.stack(columns, axis=1), np.asarray(start)  # (N, W), (W,)
    weights = begun.copy()
    for _ in range(num_steps):
        p = sigmoid(design @ weights + given)
        gradient = design.T @ (p - y) + RIDGE * (weights - begun)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + RIDGE * np.eye(len(begun))
        step = np.linalg.solve(curvature, gradient)
        weights = weights - np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-9:
            break
    return [float(weight) for weight in weights]


def fit_factor(predicted: ArrayLike, truth: ArrayLike) -> float:
    """What makes the mean of the predictions that of the truth."""
    total, wanted = float(np.sum(predicted)), float(np.sum(truth))
    return wanted / total if total > 0 and wanted > 0 else 1.0


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)), dtype=np.float64)
