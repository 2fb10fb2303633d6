"""Cutoffs and the half-open windows around them, in whole days of the business time zone.

A cutoff is a date: the first day that a model may not see. Its instant is 00:00 of that day in the
business time zone. Features lie before it, labels from it on.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from contracts.errors import CutoffError

CLOCK_DAYS = 2  # an event lies before 00:00 of that many days after its ingestion day


@dataclass(frozen=True)
class Window:
    """The days ``start <= day < end``."""

    start: date
    end: date

    @property
    def days(self) -> list[date]:
        return [self.start + timedelta(days=n) for n in range((self.end - self.start).days)]

    def instants(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """The first instant of the window and the first one after it, in UTC."""
        return instant(self.start, zone), instant(self.end, zone)


def one_day(day: date) -> Window:
    """The window that holds ``day`` alone: the partition of a cutoff."""
    return Window(day, day + timedelta(days=1))


def instant(day: date, zone: ZoneInfo) -> datetime:
    """00:00 of ``day`` in ``zone``, as UTC."""
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def history_window(cutoff: date, *, days: int) -> Window:
    """The ``days`` before the cutoff: what a model may see."""
    return Window(cutoff - timedelta(days=days), cutoff)


def label_window(cutoff: date, *, horizon_days: int) -> Window:
    """The ``horizon_days`` from the cutoff on: what must be predicted."""
    return Window(cutoff, cutoff + timedelta(days=horizon_days))


def is_matured(cutoff: date, *, horizon_days: int, known_before: date) -> bool:
    """Has the label window of ``cutoff`` closed by the start of ``known_before``?"""
    return label_window(cutoff, horizon_days=horizon_days).end <= known_before


def parse_day(text: str) -> date:
    """Read YYYY-MM-DD, and no other way that ISO 8601 has of writing a day. Raises ValueError."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        raise ValueError(text)
    return date.fromisoformat(text)


def parse_cutoff(text: str) -> date:
    """Read YYYY-MM-DD. Raises CutoffError."""
    try:
        return parse_day(text)
    except ValueError:
        raise CutoffError(
            "--cutoff",
            found=repr(text),
            expected="a date written YYYY-MM-DD",
            do="Give the first day that the model may not see.",
        ) from None


def refuse_future(cutoff: date, *, now: datetime, zone: ZoneInfo) -> None:
    """Raise CutoffError when the cutoff's first instant has not come yet."""
    if instant(cutoff, zone) > now:
        raise CutoffError(
            f"--cutoff {cutoff}",
            found="a day that has not begun",
            expected=f"at most {now.astimezone(zone).date()} in {zone.key}",
            do="Choose a day whose events have been collected.",
        )
