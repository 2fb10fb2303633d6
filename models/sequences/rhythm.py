"""A user's last half year as of a moment, day by day: when they came, how much, how regularly.

Sums over windows, which `features` has, forget the order of the days in them. Here the network is
given the weeks one by one, rates that forget at several speeds, the last gaps, and how often a gap
as long as the present one ended soon: the chance of a purchase as the user's own past tells it.

A day is 24 hours back from the moment: day 0 ends at it. P pairs of a user and a moment, D days.
"""

import numpy as np
from numpy.typing import NDArray

from models.money import in_money
from models.sequences.history import Floats, Histories, Ints
from models.sequences.instants import DAY, Instants, signed_log1p

NUM_WEEKS = 26
NUM_DAYS = 7 * NUM_WEEKS  # no event before these is read
HALF_LIVES_DAYS = (5, 10, 20, 40, 80)
SINGLE_WEEKS = range(10)
SINGLE_DAYS = range(14)
LAST_GAPS = range(6)
MONTHS = range(4)  # of 28 days
SOON_DAYS = (7, 28)

RHYTHM_NAMES = (
    *(f"{of}_rate_{days}d" for days in HALF_LIVES_DAYS for of in ("visit", "spend", "event")),
    *(f"visits_week_{week}" for week in SINGLE_WEEKS),
    *(f"spend_week_{week}" for week in SINGLE_WEEKS),
    *(f"visited_day_{day}" for day in SINGLE_DAYS),
    *(f"spend_month_{month}" for month in MONTHS),
    *(f"weekday_{days}_on" for days in range(7)),
    *(f"gap_{gap}" for gap in LAST_GAPS),
    "longest_gap",
    "longer_gaps",
    *(f"{said}_{days}d" for days in SOON_DAYS for said in ("covered", "covered_lately", "returns")),
)


def rhythm_features(
    histories: Histories, instants: Instants, users: Ints, moments: Ints
) -> NDArray[np.float32]:
    """(P,), (P,) microseconds -> (P, len(RHYTHM_NAMES))"""
    visits, spend, events = _days(instants, users, moments)  # (P, D)
    tenure_days = np.maximum(moments - histories.first_times[users], 0) / DAY  # (P,)
    known = np.clip(tenure_days[:, None] - np.arange(NUM_DAYS), 0.0, 1.0)  # (P, D) share of the day
    weeks = [grid.reshape(len(users), NUM_WEEKS, 7) for grid in (visits, spend)]
    months = spend[:, : 28 * len(MONTHS)].reshape(len(users), len(MONTHS), 28).sum(axis=2)
    blocks = [
        _rates(visits, spend, events, known),
        weeks[0].sum(axis=2)[:, SINGLE_WEEKS],
        signed_log1p(weeks[1].sum(axis=2)[:, SINGLE_WEEKS]),
        visits[:, SINGLE_DAYS],
        signed_log1p(months),
        _weekdays(weeks[0]),
        _gaps(visits > 0, np.minimum(tenure_days, NUM_DAYS)),
    ]
    return np.concatenate(blocks, axis=1).astype(np.float32)


def _days(instants: Instants, users: Ints, moments: Ints) -> tuple[Floats, Floats, Floats]:
    """(P, D) each, newest first: was there an instant, what was spent, how many events.

    What was spent is a sum of whole ten-thousandths, so that it is the same in any order.
    """
    start = instants.first_from(users, moments - NUM_DAYS * DAY)
    counts = instants.first_from(users, moments) - start
    pairs = np.repeat(np.arange(len(users)), counts)
    found = np.arange(counts.sum()) + np.repeat(start - np.cumsum(counts) + counts, counts)
    days = (moments[pairs] - 1 - instants.times[found]) // DAY
    places = pairs * NUM_DAYS + np.clip(days, 0, NUM_DAYS - 1)
    sums = [
        np.bincount(places, weights=values, minlength=len(users) * NUM_DAYS)
        for values in (
            None,
            instants.spend_units[found].astype(np.float64),
            instants.num_events[found],
        )
    ]
    visits, spend, events = (
        np.asarray(values, dtype=np.float64).reshape(len(users), NUM_DAYS) for values in sums
    )
    return (visits > 0).astype(np.float64), in_money(spend), events


def _rates(visits: Floats, spend: Floats, events: Floats, known: Floats) -> Floats:
    """Per day since the user is known, recent days first; spend and events as log1p.

    A user known for an hour counts as known for a day: a purchase is no 24 purchases a day.
    """
    ages = np.arange(NUM_DAYS)
    columns: list[Floats] = []
    for half_life in HALF_LIVES_DAYS:
        weight = 0.5 ** (ages / half_life)
        total = np.maximum(known @ weight, 1.0)
        rates = [grid @ weight / total for grid in (visits, spend, events)]
        columns += [rates[0], signed_log1p(rates[1]), np.log1p(rates[2])]
    return np.stack(columns, axis=1)


def _weekdays(weeks: Floats) -> Floats:
    """(P, W, 7) -> (P, 7) share of past weeks with a visit on the weekday of each coming day."""
    weight = 0.5 ** (np.arange(NUM_WEEKS) / 8.0)
    shares: Floats = np.einsum("pwd,w->pd", weeks, weight / weight.sum())[:, ::-1]
    return shares


def _gaps(visited: NDArray[np.bool_], tenure_days: Floats) -> Floats:
    """Days between days with a visit, and what they say of the days since the last one.

    covered    share of past moments that a visit followed within so many days
    returns    share of the gaps longer than the present one that ended within so many days more
    """
    P = len(visited)
    pairs, days = np.nonzero(visited)  # newest first
    newest = np.full(P, NUM_DAYS)
    is_first = np.diff(pairs, prepend=-1) != 0
    newest[pairs[is_first]] = days[is_first]
    recency = np.minimum(newest, np.ceil(tenure_days)).astype(np.float64)  # (P,)
    owners = pairs[1:][~is_first[1:]]
    gaps = np.diff(days)[~is_first[1:]].astype(np.float64)  # (G,)
    ends = days[:-1][~is_first[1:]]  # (G,) how long ago each ended

    def total(values: NDArray[np.generic]) -> Floats:
        sums = np.bincount(owners, weights=values.astype(np.float64), minlength=P)
        return np.asarray(sums, dtype=np.float64)

    rank = np.arange(len(owners)) - np.searchsorted(owners, owners)
    last = np.full((P, len(LAST_GAPS)), float(NUM_DAYS))
    few = rank < len(LAST_GAPS)
    last[owners[few], rank[few]] = gaps[few]
    longest = np.zeros(P)
    np.maximum.at(longest, owners, gaps)
    longer = gaps > recency[owners]
    num_longer = total(longer)
    columns = [*np.log1p(last).T, np.log1p(longest), np.log1p(num_longer)]
    lately = 0.5 ** (ends / 30.0)
    for soon in SOON_DAYS:
        open_days = np.maximum(recency - soon, 0.0)
        covered = np.minimum(gaps, soon)
        back = longer & (gaps <= recency[owners] + soon)
        columns += [
            total(covered) / np.maximum(total(gaps) + open_days, 1.0),
            total(covered * lately) / np.maximum(total(gaps * lately) + open_days, 1.0),
            (total(back) + 1.0) / (num_longer + 1.5),
        ]
    return np.stack(columns, axis=1)
