"""How far p10 and p90 stand from p50, so that they hold what they promise on windows held out.

Like conformalised quantile regression (Romano et al., 2019, https://arxiv.org/abs/1905.03222): each
tail by itself, in the forecast's own half widths, and apart by how much is sold, is stretched, or
drawn in, by the factor that would have cost least on the held-out truths. Where truths are
continuous, that is the factor that keeps a tenth of them beyond. Of counts it need not be: where
p90 is 1 and one day in twelve sells more, a tenth beyond can be had only by a p90 of 0 somewhere.

Where units are whole, so are the quantiles, and a truth that equals one does not lie beyond it.
What seldom sells has p10 = 0, and nothing lies below it: there the low tail has nothing to fit.
"""

from typing import Annotated

import numpy as np
from annotated_types import Len
from numpy.typing import NDArray
from pydantic import PositiveFloat

from models.config import Config
from models.demand.panel import Floats
from models.demand.pinball import pinball

BEYOND = 0.1  # of the truths lie below p10, and so many above p90
EDGES = (2.0, 20.0)  # units of p50 that part what sells seldom, often and much
FACTORS = np.geomspace(0.5, 2.0, 57)  # what a tail may be stretched by
LOW, MIDDLE, HIGH = 0, 1, 2  # places of the quantiles
QUANTILES = (BEYOND, 0.5, 1.0 - BEYOND)
ByHowMuch = Annotated[tuple[PositiveFloat, ...], Len(len(EDGES) + 1, len(EDGES) + 1)]
AS_IT_IS = (1.0,) * (len(EDGES) + 1)


class Tails(Config):
    """Factors on the distances from p50, for what sells seldom, often and much."""

    low: ByHowMuch = AS_IT_IS
    high: ByHowMuch = AS_IT_IS


def stretched(quantiles: Floats, tails: Tails, *, is_whole: bool) -> Floats:
    """(…, 3) p10, p50, p90 -> the same, stretched, not below zero, whole where units are."""
    low, middle, high = np.moveaxis(quantiles, -1, 0)
    size = np.digitize(middle, EDGES)
    low = np.maximum(middle - np.asarray(tails.low)[size] * (middle - low), 0.0)
    high = middle + np.asarray(tails.high)[size] * (high - middle)
    moved = np.stack([low, middle, high], axis=-1)
    return np.rint(moved) if is_whole else moved


def fit_tails(
    quantiles: Floats, truth: Floats, known: NDArray[np.bool_], *, is_whole: bool
) -> Tails:
    """(B, H, 3), (B, H), (B, H) -> the factors with which each tail costs least."""
    said, sold = quantiles[known], truth[known]
    size = np.digitize(said[:, MIDDLE], EDGES)
    parts = [(said[size == n], sold[size == n]) for n in range(len(EDGES) + 1)]
    low = [1.0, *(_factor(*part, LOW, is_whole=is_whole) for part in parts[1:])]
    high = [_factor(*part, HIGH, is_whole=is_whole) for part in parts]
    return Tails(low=tuple(low), high=tuple(high))


def _factor(said: Floats, sold: Floats, which: int, *, is_whole: bool) -> float:
    """The one nearest to 1 of those that cost least."""
    if not len(sold):
        return 1.0
    costs = []
    for factor in FACTORS:
        same = (factor,) * (len(EDGES) + 1)
        bound = stretched(said, Tails(low=same, high=same), is_whole=is_whole)[:, which]
        costs.append(float(pinball(bound, sold, QUANTILES[which]).mean()))
    best = FACTORS[np.asarray(costs) <= min(costs) * (1 + 1e-9)]
    return float(best[np.abs(np.log(best)).argmin()])
