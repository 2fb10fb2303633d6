"""What is known of a day before it comes: weekday, day of the month, holidays, closed doors."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from models.demand.panel import Floats

WEEK = 7
AROUND = (3, 2, 1, 0, -1, -2)  # days to a holiday that are told apart
PARTS_OF_MONTH = (3, 6, 10, 20, 31)  # last days of the month's parts
EARLY, EARLY_REACH = 4, 4  # pay and benefits come early in a month: a bump around its fourth day


@dataclass(frozen=True)
class Calendar:
    holidays: frozenset[date] = frozenset()
    closed_days: frozenset[date] = frozenset()  # nothing can be sold

    @classmethod
    def of(cls, holidays: Sequence[date], closed_days: Sequence[date]) -> "Calendar":
        return cls(frozenset(holidays), frozenset(closed_days))

    def features(self, first: date, num_days: int) -> Floats:
        """-> (D, NUM_CALENDAR) of the days from ``first`` on."""
        days = [first + timedelta(days=n) for n in range(num_days)]
        return np.asarray([self._features_of(day) for day in days], dtype=np.float32)

    def is_closed(self, first: date, num_days: int) -> np.ndarray:
        """-> (D,) bool"""
        days = [first + timedelta(days=n) for n in range(num_days)]
        return np.asarray([day in self.closed_days for day in days], dtype=bool)

    def _features_of(self, day: date) -> list[float]:
        weekday = [float(day.weekday() == n) for n in range(WEEK)]
        bump = max(0.0, 1 - abs(day.day - EARLY) / EARLY_REACH)
        part = sum(day.day > last for last in PARTS_OF_MONTH)
        parts = [float(part == n) for n in range(len(PARTS_OF_MONTH))]
        near = [float(day + timedelta(days=n) in self.holidays) for n in AROUND]
        return [*weekday, bump, day.day / 31, *parts, *near]


NUM_CALENDAR = WEEK + 2 + len(PARTS_OF_MONTH) + len(AROUND)
BUMP = WEEK  # column of the early days' bump
HOLIDAYS = slice(NUM_CALENDAR - len(AROUND), NUM_CALENDAR)
