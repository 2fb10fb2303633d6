"""Points of the curves that a report draws: few enough to keep beside the numbers, as plain lists.

A curve that has no answer (one class only, no row) is left out.
P rows; ``labels`` (P,), ``scores`` (P,).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NUM_POINTS = 101
NUM_BINS = 10
NUM_BARS = 30

Points = list[list[float]]  # [x, y]


def probability_curves(labels: Floats, scores: Floats) -> dict[str, Any]:
    """ROC, precision-recall, calibration, gains and score distribution of one probability."""
    positive = labels > 0.5
    curves: dict[str, Any] = {
        "calibration": calibration(labels, scores),
        "distribution": distribution(scores, upper=1.0),
    }
    if positive.any() and not positive.all():
        curves["roc"], curves["precision_recall"] = _ranking_curves(positive, scores)
        curves["gains"] = gains(positive.astype(np.float64), scores)
    return curves


def amount_curves(labels: Floats, scores: Floats) -> dict[str, Any]:
    """Calibration, gains and score distribution of one amount."""
    if not len(labels):
        return {}
    upper = float(np.quantile(np.concatenate([labels, scores]), 0.99))
    return {
        "calibration": calibration(labels, scores),
        "gains": gains(labels, scores) if labels.sum() > 0 else [],
        "distribution": distribution(scores, upper=max(upper, 1.0)),
    }


def calibration(labels: Floats, scores: Floats) -> Points:
    """[mean score, mean outcome] in bins of equally many rows; equal scores are in one bin."""
    if not len(scores):
        return []
    edges = np.quantile(scores, np.linspace(0, 1, NUM_BINS + 1)[1:-1])
    bins = np.searchsorted(edges, scores, side="right")
    counts = np.bincount(bins, minlength=NUM_BINS)
    some = counts > 0
    said = np.bincount(bins, scores, minlength=NUM_BINS)[some] / counts[some]
    came = np.bincount(bins, labels, minlength=NUM_BINS)[some] / counts[some]
    return _points(said, came)


def gains(values: Floats, scores: Floats) -> Points:
    """[share of users taken from the top, share of the total that they hold]; ties share alike."""
    order = np.argsort(-scores, kind="stable")
    ends = _ends_of_ties(scores[order])
    held = np.cumsum(values[order])[ends] / values.sum()
    taken = (ends + 1) / len(scores)
    grid = np.linspace(0, 1, NUM_POINTS)
    return _points(grid, np.interp(grid, np.r_[0, taken], np.r_[0, held]))


def distribution(scores: Floats, *, upper: float) -> Points:
    """[right edge, share of rows] of equally wide bars; the last also holds what lies above."""
    if not len(scores):
        return []
    edges = np.linspace(0, upper, NUM_BARS + 1)
    counts, _ = np.histogram(np.clip(scores, 0, upper), edges)
    return _points(edges[1:], counts / len(scores))


def _ranking_curves(positive: NDArray[np.bool_], scores: Floats) -> tuple[Points, Points]:
    order = np.argsort(-scores, kind="stable")
    ends = _ends_of_ties(scores[order])
    hits = np.cumsum(positive[order])[ends]
    recall, precision = hits / positive.sum(), hits / (ends + 1)
    false_rate = (ends + 1 - hits) / (~positive).sum()
    grid = np.linspace(0, 1, NUM_POINTS)
    roc = _points(grid, np.interp(grid, np.r_[0, false_rate], np.r_[0, recall]))
    # Precision between two thresholds is that of the lower one, which reaches the recall.
    at = np.minimum(np.searchsorted(recall, grid[1:] - 1e-12), len(recall) - 1)
    return roc, _points(grid[1:], precision[at])


def _ends_of_ties(ordered: Floats) -> NDArray[np.int64]:
    return np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)


def _points(x: Floats, y: Floats) -> Points:
    return [[round(float(a), 5), round(float(b), 5)] for a, b in zip(x, y, strict=True)]
