"""How good forecasts were on days that have come: errors, and what lay between the quantiles.

Units are net: a truth may be below 0, and a share is of the units that moved, whichever way.
S series, H days, D days of several windows one after another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.demand.calendar import WEEK
from models.demand.forecast import Forecast
from models.demand.network import QUANTILES
from models.demand.panel import Floats
from models.demand.pinball import pinball

SHORT_DAYS = WEEK  # the nearer horizon that is judged beside the whole one
LEVEL_DAYS = 56  # over which a series' level is taken, by which its squared errors are weighed
LEAST_LEVEL = 0.05  # units a day

# Measure -> what its loss is, in words.
MEASURES: Mapping[str, str] = {
    "wape": "absolute error of p50",
    "mean_loss": "squared error of the mean",
    "p10_loss": "pinball loss of p10",
    "p90_loss": "pinball loss of p90",
}


def wape(said: Floats, sold: Floats, known: NDArray[np.bool_]) -> tuple[float, float]:
    """-> summed absolute error and summed units: their ratio is the WAPE, and ratios can be pooled.

    Weighted absolute percentage error by day; least for the median.
    """
    return float((np.abs(said - sold) * known).sum()), float((np.abs(sold) * known).sum())


@dataclass(frozen=True)
class Day:
    """A ratio of sums, kept apart by day: (D,) each."""

    over: Floats
    under: Floats

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        return cls(
            np.concatenate([part.over for part in parts]),
            np.concatenate([part.under for part in parts]),
        )

    @property
    def share(self) -> float:
        return float(self.over.sum() / self.under.sum()) if self.under.sum() > 0 else float("nan")

    @property
    def standard_error(self) -> float:
        """Of the share, were other days drawn: the ratio estimator's, a day an observation."""
        return self._error(self.over - self.share * self.under)

    def error_of_share(self, expected: float) -> float:
        """Of a share that is expected; never less than that of as many independent draws."""
        binomial = float(np.sqrt(expected * (1.0 - expected) / max(self.under.sum(), 1.0)))
        return max(self._error(self.over - expected * self.under), binomial)

    def _error(self, off: Floats) -> float:
        num_days = len(off)
        if num_days < 2 or not np.isfinite(off).all():
            return float("nan")  # nothing passes by it
        spread = float(np.square(off - off.mean()).sum()) * num_days / (num_days - 1)
        return float(np.sqrt(spread) / max(float(self.under.sum()), 1e-9))


class Loss(Day):
    """What a forecast cost on each day, of what it is measured by."""

    def error_of_difference(self, other: "Loss", ratio: float) -> float:
        """Standard error of this loss less ``ratio`` of the other's, on the same days."""
        return self._error(self.over - ratio * other.over)


@dataclass(frozen=True)
class Window:
    """What was sold in the days after an origin: (S, H) each but for the levels."""

    sold: Floats
    known: NDArray[np.bool_]
    level: Floats  # (S, 1) units a day before the origin

    @classmethod
    def of_history(cls, sold: Floats, known: NDArray[np.bool_], before: Floats) -> "Window":
        level = np.maximum(before[:, -LEVEL_DAYS:].mean(axis=1, keepdims=True), LEAST_LEVEL)
        return cls(sold.astype(np.float64), known, level.astype(np.float64))

    def of(self, series: slice) -> "Window":
        return Window(self.sold[series], self.known[series], self.level[series])

    def bias(self, forecast: Forecast) -> Day:
        return self._day((forecast.mean - self.sold), np.abs(self.sold))

    def above(self, forecast: Forecast) -> Day:
        return self._share(self.sold > forecast.quantiles[..., 2])

    def at_least_high(self, forecast: Forecast) -> Day:
        return self._share(self.sold >= forecast.quantiles[..., 2])

    def below(self, forecast: Forecast) -> Day:
        return self._share(self.sold < forecast.quantiles[..., 0])

    def at_most_low(self, forecast: Forecast) -> Day:
        return self._share(self.sold <= forecast.quantiles[..., 0])

    def _share(self, is_so: NDArray[np.bool_]) -> Day:
        return self._day(is_so.astype(np.float64), np.ones(self.sold.shape))

    def _day(self, over: Floats, under: Floats) -> Day:
        return Day((over * self.known).sum(axis=0), (under * self.known).sum(axis=0))


def losses(measure: str, said: Floats, window: Window) -> Loss:
    """(S, H) answers -> what they cost by day, in the loss that is least for the right answer.

    Errors and pinball losses are shares of the units that moved. Squared errors are weighed by the
    series' level before the origin, as the variance of a count is its mean: no item that sells much
    decides alone, and the weights know nothing of the window.
    """
    known, sold = window.known, window.sold
    if measure == "mean_loss":
        cost = np.square(said - sold) / window.level
        under = known.astype(np.float64)
    else:
        quantile = QUANTILES[("p10_loss", "wape", "p90_loss").index(measure)]
        cost = pinball(said, sold, quantile) * (2.0 if measure == "wape" else 1.0)
        under = np.abs(sold) * known
    return Loss((cost * known).sum(axis=0), under.sum(axis=0))


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
    """The WAPE of many windows together."""
    return sum(error for error, _ in parts) / max(sum(units for _, units in parts), 1e-9)


def best_of(values: Mapping[str, float]) -> tuple[str, float]:
    """The name and value of the least."""
    name = min(values, key=lambda key: values[key])
    return name, values[name]
