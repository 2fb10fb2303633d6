"""What a user did in the same weeks a year before: what a season brings back.

A year is 52 whole weeks here, so that the weekdays are the same. The features hold what the user
did 364 days before the coming weeks and before the last ones, and in all of the year since. The
last weeks themselves are in `features`: beside them, last year's show whether this year is like it.

Of who came later than those weeks, and where the oldest events were cut off, ``year_before_known``
is 0. P pairs of a user and a moment. Counts and sums are log1p; that of spend keeps its sign.
"""

import numpy as np
from numpy.typing import NDArray

from models.money import in_money, running
from models.sequences.history import Floats, Histories, Ints
from models.sequences.instants import DAY, Instants, signed_log1p

YEAR_DAYS = 364
SPANS = {  # days from that day a year before
    "next_7d": (0, 7),
    "next_28d": (0, 28),
    "last_28d": (-28, 0),
    "since": (0, YEAR_DAYS),
}
YEAR_BEFORE_NAMES = (
    *(
        f"year_before_{of}_{span}"
        for span in SPANS
        for of in ("visits", "purchases", "events", "spend")
    ),
    "year_before_known",
)


class YearBefore:
    """Features of any user at any moment, from running totals built once."""

    def __init__(self, histories: Histories, instants: Instants) -> None:
        self.histories, self.instants = histories, instants
        # Of whole numbers, so that no other user's events change a difference.
        self.counts = [
            running(np.ones(len(instants), dtype=np.int64)),
            running(instants.has_purchase.astype(np.int64)),
            running(instants.num_events),
        ]
        self.spend = running(instants.spend_units)
        # The first moment of which everything is stored: of who lost the oldest, what is left.
        stored = histories.num_events > 0
        self.stored_from = np.full(len(histories), np.iinfo(np.int64).max)
        self.stored_from[stored] = np.where(
            histories.is_whole[stored],
            np.iinfo(np.int64).min,
            histories.times[histories.offsets[:-1][stored]],
        )

    def at(self, users: Ints, moments: Ints) -> NDArray[np.float32]:
        """(P,), (P,) microseconds -> (P, len(YEAR_BEFORE_NAMES))"""
        then = moments - YEAR_DAYS * DAY
        starts = then + min(start for start, _ in SPANS.values()) * DAY
        is_stored = self.stored_from[users] < starts
        columns: list[Floats] = []
        for days in SPANS.values():
            columns += [np.log1p(self._sum(total, users, then, *days)) for total in self.counts]
            columns.append(signed_log1p(in_money(self._sum(self.spend, users, then, *days))))
        was_there = self.histories.first_times[users] < then + SPANS["next_28d"][1] * DAY
        features = [np.where(is_stored, column, 0.0) for column in columns]
        return np.stack([*features, is_stored & was_there], axis=1).astype(np.float32)

    def _sum(self, total: Ints, users: Ints, then: Ints, start: int, end: int) -> Ints:
        first = self.instants.first_from(users, then + start * DAY)
        last = self.instants.first_from(users, then + end * DAY)
        sums: Ints = total[last] - total[first]
        return sums
