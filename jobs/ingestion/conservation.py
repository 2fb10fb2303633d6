"""No line is lost: in every file, lines = events + duplicates + quarantined.

Lines are counted by the numbers that the reader gave the first and the last; events, duplicates and
refused lines by what became of them; and what was written is read back and compared with both.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from shlex import quote
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from contracts.errors import BadLinesError, ConservationError, EmptyDayError, StaleDayError
from contracts.windows import Window
from jobs.ingestion.line_fates import ROBOT, identity
from jobs.ingestion.local_clocks import DOUBLED, MISSING
from jobs.ingestion.missed_days import Calendar
from jobs.ingestion.raw_lines import RawFile
from jobs.running.settings import Settings

_NUMBERS = (
    *("lines", "events", "unknown_users", "duplicates"),
    *("doubled_hours", "missing_hours"),
    *("altered", "came_before"),
)
_SMALLEST_DELIVERY = 0.1  # of a usual day: fewer stale events are corrections, not a delivery


@dataclass(frozen=True)
class Counts:
    """What became of the lines of one raw file, or of several."""

    lines: int = 0
    events: int = 0
    duplicates: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)  # of the quarantined
    unknown_users: int = 0  # events, of those above, whose user the log does not name
    doubled_hours: int = 0  # events in an hour that the log's clock showed twice
    missing_hours: int = 0  # events in an hour that it never showed
    altered: int = 0  # of the duplicates: with other content than the event that has their id
    came_before: int = 0  # of the duplicates: their event is of an earlier ingestion day

    @property
    def quarantined(self) -> int:
        return sum(self.reasons.values())

    @property
    def bad(self) -> int:
        """Quarantined for what the line says, not for who sent so many."""
        return self.quarantined - self.reasons.get(ROBOT, 0)

    @property
    def is_whole(self) -> bool:
        return self.lines == self.events + self.duplicates + self.quarantined

    @property
    def said(self) -> dict[str, Any]:
        """For the summary of a run."""
        return {
            "lines": self.lines,
            "events": self.events,
            "unknown_users": self.unknown_users,
            "duplicates": self.duplicates,
            "altered": self.altered,
            "doubled_hours": self.doubled_hours,
            "missing_hours": self.missing_hours,
            "quarantined": self.quarantined,
            "reasons": dict(sorted(self.reasons.items())),
        }


def total(parts: Iterable[Counts]) -> Counts:
    """The counts of several files together."""
    reasons, numbers = Counter[str](), Counter[str]()
    for part in parts:
        reasons.update(part.reasons)
        numbers.update({name: getattr(part, name) for name in _NUMBERS})
    return Counts(**numbers, reasons=reasons)


def count_file(rows: Sequence[Row]) -> Counts:
    """The counts of one file, from its lines grouped by reason and ``is_duplicate``."""
    if not rows:
        return Counts()
    return Counts(
        lines=1 + max(row["last"] for row in rows) - min(row["first"] for row in rows),
        events=sum(row["lines"] for row in rows if is_event(row)),
        unknown_users=sum(row["unknown_users"] for row in rows if is_event(row)),
        duplicates=sum(row["lines"] for row in rows if row["is_duplicate"]),
        reasons={row["reason"]: row["lines"] for row in rows if row["reason"] is not None},
        doubled_hours=sum(row["doubled_hours"] for row in rows if is_event(row)),
        missing_hours=sum(row["missing_hours"] for row in rows if is_event(row)),
        came_before=sum(row["came_before"] for row in rows),
    )


def is_event(row: Row) -> bool:
    return row["reason"] is None and not row["is_duplicate"]


def tally(marked: DataFrame) -> list[Row]:
    """The lines of each file by reason and ``is_duplicate``: one pass, a few rows for each file."""
    return (
        marked.groupBy("ingest_date", "source", "reason", "is_duplicate")
        .agg(
            F.count(F.lit(1)).alias("lines"),
            F.count_if(F.col("user_id").isNull()).alias("unknown_users"),
            F.min("line").alias("first"),
            F.max("line").alias("last"),
            F.count_if(F.col("clock") == DOUBLED).alias("doubled_hours"),
            F.count_if(F.col("clock") == MISSING).alias("missing_hours"),
            F.count_if("came_before").alias("came_before"),
            F.min("broken").alias("broken"),
            F.bit_or("present").alias("present"),
            _sum_of(F.col("identity")).alias("ids"),
        )
        .collect()
    )


def check_whole(files: Mapping[str, Counts], *, folder: str) -> None:
    """Raise ConservationError for the first file whose lines do not add up."""
    for name, counts in files.items():
        if not counts.is_whole:
            raise ConservationError(f"{folder}/{name}", found=_spoken(counts))


def of_day(counted: Mapping[str, Counts], files: Sequence[RawFile], day: date) -> list[Counts]:
    """The counts of the files of one ingestion day."""
    return [counted[file.source] for file in files if file.ingest_date == day]


def mean_events(counted: Mapping[str, Counts], window: Window) -> float:
    """Of a day of a load of several days; a day alone says nothing of what is usual."""
    days = len(window.days)
    return total(counted.values()).events / days if days > 1 else 0.0


def check_days(
    counted: Mapping[str, Counts],
    files: Sequence[RawFile],
    *,
    settings: Settings,
    window: Window,
    repeats: Mapping[str, str],
    stale: Mapping[date, int],
    usual_events: float,
) -> None:
    """Raise EmptyDayError, BadLinesError or StaleDayError for the first day that must be refused.

    ``repeats``: a file, and the one of an earlier day that has its content. ``stale``: of a day's
    events, those that happened long before the newest known before it. ``usual_events``: of a day,
    lately.
    """
    calendar = Calendar.of(settings)
    for day in window.days:
        counts = total(of_day(counted, files, day))
        where = f"{settings.raw_folder}/ingest_date={day}"
        if not counts.lines:
            if not settings.ingest.allow_empty_days and not calendar.is_closed(day):
                raise EmptyDayError(where)
        elif counts.bad > settings.ingest.max_bad_fraction * counts.lines:
            raise BadLinesError(
                where,
                bad=counts.bad,
                lines=counts.lines,
                max_bad_fraction=settings.ingest.max_bad_fraction,
                reasons={why: num for why, num in counts.reasons.items() if why != ROBOT},
                show=_command(counted, files, settings.raw_folder, day),
            )
        elif _is_stale(counts, stale.get(day, 0), settings.ingest.max_old_fraction, usual_events):
            of_the_day = {file.source for file in files if file.ingest_date == day}
            raise StaleDayError(
                where,
                lines=counts.lines,
                came_before=counts.came_before,
                stale=stale.get(day, 0),
                repeats={name: was for name, was in repeats.items() if name in of_the_day},
            )


def _is_stale(counts: Counts, stale: int, max_old_fraction: float, usual_events: float) -> bool:
    """Does the day bring (nearly) nothing that is new? A few late corrections are no delivery."""
    if max_old_fraction >= 1.0:
        return False
    if not counts.events:
        return counts.came_before > 0
    is_delivery = stale >= _SMALLEST_DELIVERY * usual_events
    return is_delivery and stale > max_old_fraction * counts.events


def _command(
    counted: Mapping[str, Counts], files: Sequence[RawFile], folder: Path, day: date
) -> str:
    """What shows the bad lines of the day's worst file."""
    names = [file.source for file in files if file.ingest_date == day]
    worst = max(names, key=lambda name: counted[name].bad)
    path = quote(str(folder / worst))
    return f"nightshift sources check {path} --rows {counted[worst].lines}"


# ---- what was written ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """The events of one ingestion day: how many, and which, whatever their order."""

    events: int = 0
    ids: int = 0  # sum of the hashes of their ids


def expected_events(rows: Iterable[Row]) -> dict[date, Written]:
    """The events that were counted, by ingestion day."""
    days: dict[date, Written] = {}
    for row in rows:
        if is_event(row):
            before = days.get(row["ingest_date"], Written())
            both = Written(before.events + row["lines"], before.ids + int(row["ids"]))
            days[row["ingest_date"]] = both
    return days


def check_events(counted: Mapping[date, Written], written: DataFrame) -> None:
    """Raise ConservationError unless each day's files hold the events that were counted."""
    rows = (
        written.groupBy("ingest_date")
        .agg(F.count(F.lit(1)).alias("events"), _sum_of(identity()).alias("ids"))
        .collect()
    )
    found = {row["ingest_date"]: Written(row["events"], int(row["ids"])) for row in rows}
    for day in sorted({*counted, *found}):
        was, now = counted.get(day, Written()), found.get(day, Written())
        if was != now:
            same = " (others)" if was.events == now.events else ""
            raise ConservationError(
                f"events/ingest_date={day}",
                found=f"{was.events} events counted and {now.events} written{same}",
            )


def check_quarantine(counted: Mapping[str, Counts], written: DataFrame, *, folder: str) -> None:
    """Raise ConservationError unless each file's quarantined lines were written."""
    rows = written.groupBy("source").agg(F.count(F.lit(1)).alias("lines")).collect()
    found = {row["source"]: row["lines"] for row in rows}
    for name, counts in counted.items():
        if counts.quarantined != found.get(name, 0):
            raise ConservationError(
                f"{folder}/{name}",
                found=f"{counts.quarantined} lines to quarantine and {found.get(name, 0)} written",
            )


def _sum_of(identities: Column) -> Column:
    """Decimal, because 64-bit words overflow when they are added up."""
    return F.sum(F.xxhash64(identities).cast("decimal(20,0)"))


def _spoken(counts: Counts) -> str:
    return (
        f"{counts.lines} lines, {counts.events} events, {counts.duplicates} duplicates "
        f"and {counts.quarantined} quarantined"
    )
