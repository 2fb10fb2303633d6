"""How good forecasts were on days that have come: errors, and what lay between the quantiles.

S series, H days.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.demand.panel import Floats

SHORT_DAYS = 7  # the nearer horizon that is judged beside the whole one


def wape(said: Floats, sold: Floats, known: NDArray[np.bool_]) -> tuple[float, float]:
    """-> summed absolute error and summed units: their ratio is the WAPE, and ratios can be pooled.

    Weighted absolute percentage error by day; least for the median.
    """
    return float((np.abs(said - sold) * known).sum()), float((sold * known).sum())


def bias(said: Floats, sold: Floats, known: NDArray[np.bool_]) -> tuple[float, float]:
    """-> summed error and summed units: their ratio is by how much too much was said, all told."""
    return float(((said - sold) * known).sum()), float((sold * known).sum())


@dataclass(frozen=True)
class Coverage:
    """Shares of the truths, which may be counts: a truth that equals a quantile is at it.

    p10 and p90 hold what they promise where a tenth lies below and above. Of counts it may be less,
    where what seldom sells has p10 = 0: nothing lies below nothing.
    """

    below: float  # truth < p10
    above: float  # truth > p90
    at_low: float  # truth = p10
    at_high: float  # truth = p90

    @property
    def inside(self) -> float:
        return 1.0 - self.below - self.above

    @property
    def strictly_inside(self) -> float:
        return self.inside - self.at_low - self.at_high


def coverage(quantiles: Floats, sold: Floats, known: NDArray[np.bool_]) -> Coverage:
    """(…, H, 3), (…, H), (…, H)"""
    low, high, truth = quantiles[..., 0][known], quantiles[..., 2][known], sold[known]
    return Coverage(
        below=float((truth < low).mean()),
        above=float((truth > high).mean()),
        at_low=float((truth == low).mean()),
        at_high=float(((truth == high) & (high > low)).mean()),
    )


def pooled(parts: list[tuple[float, float]]) -> float:
    """The WAPE, or the bias, of many windows together."""
    return sum(error for error, _ in parts) / max(sum(units for _, units in parts), 1e-9)


def best_of(wapes: Mapping[str, float]) -> tuple[str, float]:
    """The name and WAPE of the best."""
    name = min(wapes, key=lambda key: wapes[key])
    return name, wapes[name]
