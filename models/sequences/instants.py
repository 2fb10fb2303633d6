"""A user's events by instant: the events at one time (a basket's lines) have no order of their own.

I instants of all users, oldest first within a user; P pairs of a user and a moment to look from.
Sums over any span of time are differences of running totals, so no loop visits an event twice; the
totals are of whole numbers (`models.money.running`), so that no other event changes a difference.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.money import in_money, sums
from models.sequences.history import Bools, Floats, Histories, Ints

SECOND = 1_000_000  # microseconds
DAY = 86_400 * SECOND
_SPAN = 1 << 33  # seconds that one user's key space covers: 272 years


@dataclass(frozen=True)
class Instants:
    users: Ints  # (I,)
    times: Ints  # (I,) microseconds
    starts: Ints  # (I + 1,) first event of each instant
    offsets: Ints  # (N + 1,) first instant of each user
    num_events: Ints  # (I,)
    spend_units: Ints  # (I,) paid, less what came back, in whole ten-thousandths
    has_purchase: Bools  # (I,)
    session_starts: Bools  # (I,)
    _keys: Ints  # (I,) ascending: user, then whole second

    @classmethod
    def of(cls, histories: Histories) -> "Instants":
        users, times = histories.event_users, histories.times
        is_first = np.ones(len(times), dtype=bool)
        is_first[1:] = (times[1:] != times[:-1]) | (users[1:] != users[:-1])
        first = np.flatnonzero(is_first)
        starts = np.append(first, len(times)).astype(np.int64)
        users, times = users[first], times[first]
        return cls(
            users=users,
            times=times,
            starts=starts,
            offsets=np.searchsorted(users, np.arange(len(histories) + 1)).astype(np.int64),
            num_events=np.diff(starts),
            spend_units=sums(histories.spend_units, first),
            has_purchase=_sums(histories.is_purchase, first) > 0,
            session_starts=_sums(histories.session_starts, first) > 0,
            _keys=users * _SPAN + times // SECOND,
        )

    @property
    def spend(self) -> Floats:
        """(I,) currency, as `contracts.money` counts it: may be below 0."""
        return in_money(self.spend_units)

    def __len__(self) -> int:
        return len(self.times)

    def first_from(self, users: Ints, moments: Ints) -> Ints:
        """(P,), (P,) -> (P,) the user's first instant at or after the moment, a whole second.

        It is the user's end where there is none, so differences of it count instants of a window.
        """
        seconds = np.clip(-(-moments // SECOND), 0, _SPAN - 1)
        found: Ints = np.searchsorted(self._keys, users * _SPAN + seconds, side="left")
        return found


def signed_log1p(values: Floats) -> Floats:
    """log(1 + x), mirrored below 0: for sums that are heavy-tailed and may be negative."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)), dtype=np.float64)


def _sums(values: NDArray[np.generic], first: Ints) -> Floats:
    if not len(first):
        return np.zeros(0)
    return np.add.reduceat(np.asarray(values, dtype=np.float64), first)
