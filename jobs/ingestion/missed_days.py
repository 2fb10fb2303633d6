"""Ingestion days that are missing from the lake: holes, unless the shop was closed on them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Self

from contracts.windows import Window
from jobs.running.settings import WEEKDAYS, Settings


@dataclass(frozen=True)
class Calendar:
    """On which days nothing need be delivered."""

    days: frozenset[date] = frozenset()
    weekdays: frozenset[int] = frozenset()  # 0 is Monday

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """By `ingest.closed_days`, `ingest.closed_weekdays` and `demand.closed_days`."""
        ingest = settings.ingest
        return cls(
            frozenset({*ingest.closed_days, *settings.demand.closed_days}),
            frozenset(WEEKDAYS.index(name) for name in ingest.closed_weekdays),
        )

    def is_closed(self, day: date) -> bool:
        return day in self.days or day.weekday() in self.weekdays


def missed_days(ingested: Collection[date], calendar: Calendar, *, before: date) -> list[date]:
    """The open days from the first ingested one up to ``before`` that are not there, in order."""
    if not ingested:
        return []
    there = set(ingested)
    days = Window(min(there), before).days
    return [day for day in days if day not in there and not calendar.is_closed(day)]
