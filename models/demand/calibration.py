"""How far p10 and p90 stand from p50, so that they hold what they promise on windows held out.

Conformalised quantile regression, Romano et al., 2019, https://arxiv.org/abs/1905.03222, each tail
by itself, in the forecast's own half widths, and apart by how much is sold: a tail is stretched, or
drawn in, by the factor that would have kept a tenth of the held-out truths beyond it.

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

BEYOND = 0.1  # of the truths lie below p10, and so many above p90
EDGES = (2.0, 20.0)  # units of p50 that part what sells seldom, often and much
FACTORS = np.geomspace(0.5, 2.0, 57)  # what a tail may be stretched by
LOW, MIDDLE, HIGH = 0, 1, 2  # places of the quantiles
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
    """(B, H, 3), (B, H), (B, H) -> the factors with which a tenth lies beyond each tail."""
    said, sold = quantiles[known], truth[known]
    size = np.digitize(said[:, MIDDLE], EDGES)
    parts = [(said[size == n], sold[size == n]) for n in range(len(EDGES) + 1)]
    low = [1.0, *(_factor(*part, LOW, is_whole=is_whole) for part in parts[1:])]
    high = [_factor(*part, HIGH, is_whole=is_whole) for part in parts]
    return Tails(low=tuple(low), high=tuple(high))


def _factor(said: Floats, sold: Floats, which: int, *, is_whole: bool) -> float:
    """The one nearest to 1 of those that come nearest to a tenth."""
    if not len(sold):
        return 1.0
    off = []
    for factor in FACTORS:
        same = (factor,) * (len(EDGES) + 1)
        bound = stretched(said, Tails(low=same, high=same), is_whole=is_whole)[:, which]
        beyond = sold < bound if which == LOW else sold > bound
        off.append(abs(float(beyond.mean()) - BEYOND))
    best = FACTORS[np.asarray(off) <= min(off) + 1e-9]
    return float(best[np.abs(np.log(best)).argmin()])
