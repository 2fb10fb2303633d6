"""Units of many items by day, and of the categories that they add up to.

N items, C categories, S = N + C series: the items first, then the categories. D days, D' days of
which the promotions are planned.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]  # float32; float64 where sums have to hold
Ints = NDArray[np.int64]
NUM_PROMOTIONS = 2  # shares of the stores in which an item is on display, and in the mailer
WEEK_LENGTH = np.timedelta64(7, "D")
USUAL_WEEKS = 8  # whose mean a week without a plan is taken to be
LEAST_WEIGHT = 1e-6  # units a day of an item that sold nothing, where items are weighed


class PlannedWeeks(NamedTuple):
    """R rows of an item and a week in which it is promoted."""

    item_ids: NDArray[np.object_]  # (R,)
    week_starts: NDArray[np.datetime64]  # (R,) the first of seven days
    shares: Floats  # (R, 2)


@dataclass(frozen=True)
class Panel:
    item_ids: tuple[str, ...]
    categories: tuple[str, ...]  # "" is no category
    item_categories: Ints  # (N,) the place of each item's category
    first_day: date
    item_units: Floats  # (N, D)
    item_promotions: Floats | None = None  # (N, D', 2) from the first day on; None: not known

    @property
    def num_items(self) -> int:
        return len(self.item_ids)

    @property
    def num_series(self) -> int:
        return len(self.item_ids) + len(self.categories)

    @property
    def end_day(self) -> date:
        """The first day of which nothing is known."""
        return self.first_day + timedelta(days=self.item_units.shape[1])

    @cached_property
    def units(self) -> Floats:
        """-> (S, D)"""
        return np.concatenate([self.item_units, self.summed(self.item_units)])

    @cached_property
    def series_categories(self) -> Ints:
        """-> (S,) the place of each series' category; a category's is its own."""
        return np.concatenate([self.item_categories, np.arange(len(self.categories))])

    @cached_property
    def promotions(self) -> Floats:
        """-> (S, D', 2); a category's are its items', weighed by what each sells. D' may be 0."""
        of_items = self.item_promotions
        if of_items is None:
            return np.zeros((self.num_series, 0, NUM_PROMOTIONS), dtype=np.float32)
        weight = self.item_units.mean(axis=1).clip(0) + LEAST_WEIGHT  # (N,)
        share = weight / self.summed(weight)[self.item_categories]
        return np.concatenate([of_items, self.summed(of_items * share[:, None, None])])

    def summed(self, of_items: Floats) -> Floats:
        """(N, …) -> (C, …)"""
        total = np.zeros((len(self.categories), *of_items.shape[1:]), dtype=of_items.dtype)
        np.add.at(total, self.item_categories, of_items)
        return total

    def since(self, day: date) -> "Panel":
        """The same without the days before it, where there are any."""
        gone = max((day - self.first_day).days, 0)
        plans = self.item_promotions
        return replace(
            self,
            first_day=self.first_day + timedelta(days=gone),
            item_units=self.item_units[:, gone:],
            item_promotions=plans[:, gone:] if plans is not None else None,
        )

    def before(self, day: date) -> "Panel":
        """What was sold before the day, and what is planned."""
        return replace(self, item_units=self.item_units[:, : (day - self.first_day).days])

    def planned(self, promotions: Floats | None) -> "Panel":
        """The same, and what is planned of each item from the first day on; None: not known."""
        return replace(self, item_promotions=promotions)


def panel_of(
    item_ids: Sequence[str],
    categories: Sequence[str | None],
    days: NDArray[np.datetime64],
    units: NDArray[np.float64],
    *,
    first_day: date,
    end_day: date,
) -> Panel:
    """From rows of an item, its category, a day and units; a day without a row sold nothing."""
    names, item = np.unique(np.asarray(item_ids, dtype=object), return_inverse=True)
    labels = np.asarray([category or "" for category in categories], dtype=object)
    known, label = np.unique(labels, return_inverse=True)
    item_categories = np.zeros(len(names), dtype=np.int64)
    item_categories[item] = label
    num_days = (end_day - first_day).days
    day = (days.astype("datetime64[D]") - np.datetime64(first_day)).astype(np.int64)
    inside = (day >= 0) & (day < num_days)
    table = np.zeros((len(names), num_days), dtype=np.float32)
    np.add.at(table, (item[inside], day[inside]), units[inside].astype(np.float32))
    return Panel(tuple(names), tuple(known), item_categories, first_day, table)


def promotions_by_day(
    item_ids: Sequence[str],
    rows: PlannedWeeks,
    *,
    first_day: date,
    num_days: int,
) -> Floats:
    """-> (N, num_days, 2) of sorted items, from rows of weeks that do not overlap.

    An item that a week does not name is not promoted in it. A day of no week at all is not planned
    yet, and is taken to be as the last planned weeks were; before the first, nothing is promoted.
    """
    names = np.asarray(item_ids, dtype=object)
    place = np.minimum(np.searchsorted(names, rows.item_ids), len(names) - 1)
    is_known = names[place] == rows.item_ids
    starts, week = np.unique(rows.week_starts.astype("datetime64[D]"), return_inverse=True)
    by_week = np.zeros((len(names), len(starts), NUM_PROMOTIONS), dtype=np.float32)
    by_week[place[is_known], week[is_known]] = rows.shares[is_known]
    by_day = np.zeros((len(names), num_days, NUM_PROMOTIONS), dtype=np.float32)
    days = np.datetime64(first_day) + np.arange(num_days)
    latest = np.searchsorted(starts, days, side="right") - 1  # -1 before the first
    for n in np.unique(latest[latest >= 0]):
        since = days - starts[n]
        by_day[:, (latest == n) & (since < WEEK_LENGTH)] = by_week[:, n, None]
        usual = by_week[:, max(0, n + 1 - USUAL_WEEKS) : n + 1].mean(axis=1)
        by_day[:, (latest == n) & (since >= WEEK_LENGTH)] = usual[:, None]
    return by_day
