"""What a user looks like as of a moment: recency, frequency, spend and rhythm.

A part of `query_features`, which the query token, the business heads and LightGBM are told.

Spans are of 24 hours back from the moment. Counts and sums are log1p, being heavy-tailed; spend is
counted as `contracts.money` says, and its log1p keeps the sign.
N users, P pairs of a user and a moment, F features.
"""

import numpy as np
from numpy.typing import NDArray

from models.money import in_money, running
from models.sequences.history import Floats, Histories, Ints
from models.sequences.instants import DAY, SECOND, Instants, signed_log1p

WINDOW_DAYS = (7, 14, 28, 56, 90)
HISTORY_DAYS = max(WINDOW_DAYS)  # features need this many days of whole history, and no more
DAY_SECONDS = DAY / SECOND
LONGEST_DAYS = 365.0  # stands for "never": a user without the event that is asked about

FEATURE_NAMES = (
    "recency_days",
    "tenure_days",
    *(f"instants_{days}d" for days in WINDOW_DAYS),
    *(f"events_{days}d" for days in WINDOW_DAYS),
    *(f"spend_{days}d" for days in WINDOW_DAYS),
    "lifetime_events",
    "lifetime_spend",
    "sessions_90d",
    "gap_mean_90d",
    "gap_std_90d",
    "recency_over_gap",
    "spend_per_session_90d",
    "spend_share_28d",
)


def exact_from(histories: Histories, history_days: int) -> Ints:
    """(N,) the first microsecond from which a user's stored history is all that is needed.

    Where the oldest events were cut off, that is so many days after what is left.
    """
    moments = np.full(len(histories), np.iinfo(np.int64).max)  # of users without an event
    stored = histories.num_events > 0
    moments[stored] = histories.times[histories.offsets[:-1][stored]]
    moments[stored & ~histories.is_whole] += history_days * DAY
    return moments


class AsOfFeatures:
    """Features of any user at any moment, from running totals built once."""

    def __init__(self, histories: Histories, instants: Instants) -> None:
        self.histories, self.instants = histories, instants
        self.event_totals = running(instants.num_events)
        self.spend_totals = running(instants.spend_units)
        # A gap belongs to the session that ends it; a user's first session ends none.
        opens = np.flatnonzero(instants.session_starts)
        follows = np.zeros(len(opens), dtype=bool)
        follows[1:] = instants.users[opens[1:]] == instants.users[opens[:-1]]
        gaps = np.zeros(len(instants), dtype=np.int64)  # whole seconds: their squares fit 64 bits
        gaps[opens[1:]] = np.diff(instants.times[opens]) // SECOND
        has_gap = np.zeros(len(instants), dtype=bool)
        has_gap[opens[follows]] = True
        gaps = np.where(has_gap, gaps, 0)
        self.session_totals = running(instants.session_starts.astype(np.int64))
        # Each user's own fit: the squares of gaps add up to less than that of their 290 years.
        self.gap_totals = running(gaps)
        self.gap_square_totals = running(gaps**2, may_wrap=True)
        self.gap_counts = running(has_gap.astype(np.int64))

    def at(self, users: Ints, moments: Ints) -> NDArray[np.float32]:
        """(P,), (P,) microseconds -> (P, F)."""
        begin, last = self.instants.offsets[users], self.instants.offsets[users + 1]
        end = self.instants.first_from(users, moments)
        recency, tenure = self._recency_and_tenure(users, moments, begin, end)
        starts = [self.instants.first_from(users, moments - days * DAY) for days in WINDOW_DAYS]
        num_instants = [end - start for start in starts]
        num_events = [self.event_totals[end] - self.event_totals[start] for start in starts]
        spend = [in_money(self.spend_totals[end] - self.spend_totals[start]) for start in starts]
        later_events = self.event_totals[last] - self.event_totals[end]
        later_units = self.spend_totals[last] - self.spend_totals[end]
        lifetime_spend = in_money(self.histories.lifetime_units[users] - later_units)
        sessions = self.session_totals[end] - self.session_totals[starts[-1]]
        gap_mean, gap_std = self._rhythm(starts[-1], end)
        columns = [
            np.log1p(recency),
            np.log1p(tenure),
            *(np.log1p(values) for values in num_instants + num_events),
            *(signed_log1p(values) for values in spend),
            np.log1p(self.histories.lifetime_events[users] - later_events),
            signed_log1p(lifetime_spend),
            np.log1p(sessions),
            np.log1p(gap_mean),
            np.log1p(gap_std),
            np.log1p(recency / np.maximum(gap_mean, 0.25)),
            signed_log1p(spend[-1] / np.maximum(sessions, 1.0)),
            spend[2] / np.maximum(np.maximum(np.abs(spend[2]), np.abs(spend[-1])), 0.01),
        ]
        return np.stack(columns, axis=1).astype(np.float32)

    def _recency_and_tenure(
        self, users: Ints, moments: Ints, begin: Ints, end: Ints
    ) -> tuple[Floats, Floats]:
        seen = end > begin
        times = np.append(self.instants.times, 0)
        latest = times[np.maximum(end - 1, 0)]
        recency = np.where(seen, (moments - latest) / DAY, LONGEST_DAYS)
        age = (moments - self.histories.first_times[users]) / DAY
        known = seen | ((age > 0) & ~self.histories.is_whole[users])
        return np.minimum(recency, LONGEST_DAYS), np.where(known, np.maximum(age, 0.0), 0.0)

    def _rhythm(self, start: Ints, end: Ints) -> tuple[Floats, Floats]:
        """Mean and spread of the gaps that ended in the longest window, in days."""
        count = self.gap_counts[end] - self.gap_counts[start]
        some = np.maximum(count, 1.0)
        total = (self.gap_totals[end] - self.gap_totals[start]).astype(np.float64)
        square = (self.gap_square_totals[end] - self.gap_square_totals[start]).astype(np.float64)
        mean, square = total / some / DAY_SECONDS, square / some / DAY_SECONDS**2
        spread = np.sqrt(np.maximum(square - mean**2, 0.0))
        return np.where(count > 0, mean, float(HISTORY_DAYS)), np.where(count > 1, spread, 0.0)
