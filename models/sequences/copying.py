"""A user's own past items as candidates, with what makes each one likely to be bought again.

In repeat shopping a user's own frequencies beat most models (Li et al., 2023,
https://arxiv.org/abs/2109.14233); a network that may point back at the history starts from them
(RepeatNet, https://arxiv.org/abs/1812.02646; TIFU-KNN, https://arxiv.org/abs/2006.00556).

Q queries, C candidates: pairs of a query and an item that its user had before it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.sequences.features import AsOfFeatures
from models.sequences.history import Histories, Ints
from models.sequences.instants import DAY

NUM_FEATURES = 8
LOG_SHARE = 0  # column: log of the item's share of what the user bought, recent purchases first
DECAY_DAYS = 90.0  # a purchase this old counts 1 / e


@dataclass(frozen=True)
class Copies:
    queries: Ints  # (C,)
    items: Ints  # (C,)
    features: NDArray[np.float32]  # (C, NUM_FEATURES)

    @classmethod
    def none(cls) -> "Copies":
        nothing = np.zeros(0, dtype=np.int64)
        return cls(nothing, nothing, np.zeros((0, NUM_FEATURES), dtype=np.float32))


class CopyCandidates:
    """The items of any user before any moment, from one sort by user, item and time."""

    def __init__(self, histories: Histories, items: Ints, features: AsOfFeatures) -> None:
        self.instants = features.instants
        users, times = histories.event_users, histories.times
        order = np.lexsort((times, items, users))
        order = order[items[order] > 0]
        users, items, times = users[order], items[order], times[order]
        # Lines of one item in one basket are one purchase of it.
        is_new = np.ones(len(order), dtype=bool)
        is_new[1:] = (np.diff(users) != 0) | (np.diff(items) != 0) | (np.diff(times) != 0)
        self.items, self.times = items[is_new], times[is_new]
        bounds = np.searchsorted(users[is_new], np.arange(len(histories) + 1))
        self.offsets: Ints = bounds.astype(np.int64)

    def at(self, users: Ints, moments: Ints) -> Copies:
        """(Q,), (Q,) microseconds -> the candidates of every query."""
        starts, ends = self.offsets[users], self.offsets[users + 1]
        lengths = ends - starts
        queries = np.repeat(np.arange(len(users)), lengths)
        rows = np.arange(lengths.sum()) + np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
        seen = self.times[rows] < moments[queries]
        queries, rows = queries[seen], rows[seen]
        if not len(rows):
            return Copies.none()
        items, times = self.items[rows], self.times[rows]
        changes = (np.diff(queries) != 0) | (np.diff(items) != 0)
        first = np.concatenate([[0], np.flatnonzero(changes) + 1])
        last = np.append(first[1:], len(rows)) - 1
        ages = (moments[queries] - times) / DAY
        trips = self.instants.first_from(users, moments) - self.instants.offsets[users]
        of_query = queries[first]
        features = _features(ages, first, last, of_query, trips)
        return Copies(of_query, items[first], features)


def _features(
    ages: NDArray[Any], first: Ints, last: Ints, of_query: Ints, trips: Ints
) -> NDArray[np.float32]:
    """Frequency, recency and rhythm of each candidate; ``ages`` in days, oldest first."""
    count = (last - first + 1).astype(np.float64)
    weight = np.add.reduceat(np.exp(-ages / DECAY_DAYS), first) + 1e-9
    total = np.bincount(of_query, weights=weight, minlength=len(trips))
    recency = ages[last]
    gap = np.where(count > 1, (ages[first] - recency) / np.maximum(count - 1, 1), recency + 28.0)
    columns = [
        np.log(weight / total[of_query]),
        np.log1p(count),
        np.log((count + 0.1) / (trips[of_query] + 1.0)),
        np.log1p(recency),
        np.log1p(np.add.reduceat((ages <= 28).astype(np.float64), first)),
        np.log1p(np.add.reduceat((ages <= 90).astype(np.float64), first)),
        np.log((recency + 1.0) / (gap + 1.0)),
        (count > 1).astype(np.float64),
    ]
    return np.stack(columns, axis=1).astype(np.float32)
