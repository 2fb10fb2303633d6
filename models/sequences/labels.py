"""What came true after a cutoff: the labels of the purchase, churn, spend and item heads.

Label windows are half-open, whole days of the business time zone, from `contracts/windows.py`.
N users, P pairs of a user and a cutoff; many cutoffs at once are ordinals of their dates.
"""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from contracts.windows import Window, instant, label_window
from models.config import LabelHorizons
from models.money import in_money, running
from models.sequences.history import Bools, Floats, Histories, Ints, microseconds
from models.sequences.instants import Instants


@dataclass(frozen=True)
class Labels:
    purchase: Floats  # (N,) 1 where the user bought within purchase_days
    churn: Floats  # (N,) 1 where nothing happened in churn_days; nan: not active before the cutoff
    spend: Floats  # (N,) paid within spend_days, less what came back in them: may be below 0
    item_ids: list[NDArray[np.object_]]  # (N,) different items bought within items_days: offered
    has_history: Bools  # (N,) seen before the cutoff: the population of an evaluation


def labels(
    histories: Histories,
    cutoff: date,
    horizons: LabelHorizons,
    zone: ZoneInfo,
    *,
    is_offered: Bools | None = None,
) -> Labels:
    """Labels of every user; ``histories`` must hold the events after the cutoff too.

    ``is_offered`` (I,) says which item codes may be recommended, and be a label; None: all.
    """
    users = np.arange(len(histories), dtype=np.int64)
    cutoffs = np.full(len(users), cutoff.toordinal(), dtype=np.int64)
    purchase, churn, spend = LabelMaker(histories, Instants.of(histories), horizons, zone).at(
        users, cutoffs
    )
    start, end = moments(label_window(cutoff, horizon_days=horizons.items_days), zone)
    bought = (histories.times >= start) & (histories.times < end) & histories.is_purchase
    if is_offered is not None:
        bought &= is_offered[histories.item_codes]
    counts = np.bincount(histories.event_users[bought], minlength=len(histories))
    per_user = np.split(histories.item_codes[bought], np.cumsum(counts)[:-1])
    return Labels(
        purchase=purchase,
        churn=churn,
        spend=spend,
        item_ids=[histories.item_ids[np.unique(codes)] for codes in per_user[: len(histories)]],
        has_history=histories.before(instant(cutoff, zone)).has_history,
    )


class LabelMaker:
    """Labels of any user at any cutoff, from running totals built once."""

    def __init__(
        self, histories: Histories, instants: Instants, horizons: LabelHorizons, zone: ZoneInfo
    ) -> None:
        self.instants, self.horizons, self.zone = instants, horizons, zone
        self.purchase_totals = running(instants.has_purchase.astype(np.int64))
        self.spend_totals = running(instants.spend_units)

    def at(self, users: Ints, cutoffs: Ints) -> tuple[Floats, Floats, Floats]:
        """(P,), (P,) ordinals -> purchase, churn and spend, (P,) each.

        Says nothing about whether a window has closed: the caller knows what it may use.
        """
        horizons = self.horizons
        start, end = self._span(users, cutoffs, 0, horizons.purchase_days)
        purchase = self.purchase_totals[end] > self.purchase_totals[start]
        start, end = self._span(users, cutoffs, 0, horizons.churn_days)
        active_start, active_end = self._span(users, cutoffs, -horizons.churn_active_days, 0)
        churn = np.asarray(end == start, dtype=np.float64)
        churn[active_end == active_start] = np.nan
        start, end = self._span(users, cutoffs, 0, horizons.spend_days)
        spend = in_money(self.spend_totals[end] - self.spend_totals[start])
        return purchase.astype(np.float64), churn, spend

    def _span(self, users: Ints, cutoffs: Ints, start: int, end: int) -> tuple[Ints, Ints]:
        """First instants of, and after, the days ``cutoff + start <= day < cutoff + end``."""
        return (
            self.instants.first_from(users, midnights(cutoffs + start, self.zone)),
            self.instants.first_from(users, midnights(cutoffs + end, self.zone)),
        )


def moments(window: Window, zone: ZoneInfo) -> tuple[int, int]:
    """The window's first instant and the first one after it, in microseconds."""
    start, end = window.instants(zone)
    return microseconds(start), microseconds(end)


def midnights(ordinals: Ints, zone: ZoneInfo) -> Ints:
    """(P,) ordinals of dates -> (P,) microseconds of their first instants in ``zone``."""
    days, inverse = np.unique(ordinals, return_inverse=True)
    return np.asarray([_midnight(int(day), zone) for day in days], dtype=np.int64)[inverse]


@lru_cache(maxsize=65_536)
def _midnight(ordinal: int, zone: ZoneInfo) -> int:
    return microseconds(instant(date.fromordinal(ordinal), zone))
