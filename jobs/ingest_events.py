"""Turn the raw lines of the ingestion days into events; keep what cannot be one, with the reason.

reads   raw/ingest_date=D/*   every file of the days from --since (the day before the cutoff) on
        events                the ids of the `ingest.dedupe_days` before, to drop what came twice
writes  events, quarantine    the partitions of those days, replaced whole, so a re-run is safe
key     event_id

Every line is accounted for: lines = events + duplicates + quarantined. More quarantined than
`ingest.max_bad_fraction` of a day refuses the load, and nothing is committed.

    spark-submit jobs/ingest_events.py --cutoff 2017-11-29
"""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import Window as Rows
from pyspark.sql import functions as F

from contracts.errors import (
    BadLinesError,
    CutoffError,
    DataError,
    EmptyDayError,
    MissingColumnsError,
)
from contracts.tables import EVENTS, QUARANTINE
from contracts.windows import Window, history_window
from jobs.lake import Lake, lay_out, new_run_key, open_lake
from jobs.map_events import map_events, parse_csv, parse_json
from jobs.program import run
from jobs.raw_lines import RawFile, find_raw, read_header, read_lines, refuse_broken
from jobs.settings import IngestSettings, Settings
from jobs.sources import Source, load_source
from jobs.spark import open_spark

JOB = "ingest_events"
EVENT, DUPLICATE = "event", "duplicate"


@dataclass(frozen=True)
class DayCounts:
    """What became of the lines of one ingestion day."""

    lines: int
    events: int
    duplicates: int
    reasons: Mapping[str, int]  # of the quarantined

    @property
    def quarantined(self) -> int:
        return sum(self.reasons.values())


def mark_duplicates(mapped: DataFrame, earlier: DataFrame) -> DataFrame:
    """Add ``status``: `event`, `duplicate` (its id came before), or the reason why it is none.

    ``earlier`` holds the event_ids that are in the lake already. Of equal ids in the load, the
    first by day, file and line is the event. One shuffle, by event_id.
    """
    known = earlier.select("event_id", F.lit(True).alias("is_known"))
    load = mapped.withColumn("is_known", F.lit(False))
    # A refused line shares its id, or null, with nobody: it must not make an event a duplicate.
    identity = F.when(F.col("reason").isNull(), F.col("event_id")).otherwise(
        F.concat_ws("\0", "source", F.col("line").cast("string"))
    )
    first = Rows.partitionBy("identity").orderBy(
        F.desc("is_known"), "ingest_date", "source", "line"
    )
    return (
        load.unionByName(known, allowMissingColumns=True)
        .withColumn("identity", F.when(F.col("is_known"), F.col("event_id")).otherwise(identity))
        .withColumn("place", F.row_number().over(first))
        .where(~F.col("is_known"))
        .withColumn(
            "status",
            F.coalesce("reason", F.when(F.col("place") > 1, F.lit(DUPLICATE)), F.lit(EVENT)),
        )
        .select(*mapped.columns, "status")
    )


def check_counts(
    days: Mapping[date, DayCounts], *, folder: str, window: Window, settings: IngestSettings
) -> None:
    """Raise EmptyDayError or BadLinesError for the first day that must be refused."""
    for day in window.days:
        counts = days.get(day)
        where = f"{folder}/ingest_date={day}"
        if counts is None or not counts.lines:
            if not settings.allow_empty_days:
                raise EmptyDayError(where)
        elif counts.quarantined > settings.max_bad_fraction * counts.lines:
            raise BadLinesError(
                where,
                bad=counts.quarantined,
                lines=counts.lines,
                max_bad_fraction=settings.max_bad_fraction,
                reasons=dict(counts.reasons),
            )


def load_lines(
    spark: SparkSession, files: list[RawFile], source: Source, *, settings: Settings
) -> DataFrame:
    """The files' lines, parsed. Raises MissingColumnsError when no CSV header has a column."""
    if source.format == "jsonl":
        return parse_json(read_lines(spark, files, skip=0), source)
    headers: dict[str, list[RawFile]] = {}
    for file in files:
        headers.setdefault(read_header(file), []).append(file)
    parts, present = [], set()
    for header, alike in headers.items():
        names = [name.strip().strip('"') for name in header.split(",")]
        present |= {*names} - {""}
        parts.append(parse_csv(read_lines(spark, alike, skip=1), source, header=names))
    missing = [name for name in source.columns if name not in present]
    if missing and present:
        raise _missing(missing, sorted(present), settings)
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.unionByName(part)
    return whole


def count_lines(
    marked: DataFrame, files: list[RawFile], source: Source, *, settings: Settings
) -> dict[date, DayCounts]:
    """Count every day's lines by status.

    Raises DataError where a file ends early, or MissingColumnsError.
    """
    rows = marked.groupBy("ingest_date", "status").agg(*_line_counts()).collect()
    folder = str(settings.raw_folder)
    for row in rows:
        if row["broken"] is not None:
            raise refuse_broken(row["broken"]["source"], folder, row["broken"]["broken"])
    if source.format == "jsonl":
        _require_columns(marked.sparkSession, files, rows, source, settings)
    days: dict[date, Counter[str]] = {}
    for row in rows:
        days.setdefault(row["ingest_date"], Counter())[row["status"]] += row["lines"]
    return {day: _day_counts(statuses) for day, statuses in days.items()}


def _line_counts() -> list[Column]:
    broken = F.when(F.col("broken").isNotNull(), F.struct("source", "broken"))
    return [
        F.count(F.lit(1)).alias("lines"),
        F.min(broken).alias("broken"),
        F.bit_or("present").alias("present"),
    ]


def _day_counts(statuses: Counter[str]) -> DayCounts:
    reasons = {name: n for name, n in statuses.items() if name not in (EVENT, DUPLICATE)}
    events, duplicates = statuses[EVENT], statuses[DUPLICATE]
    return DayCounts(sum(statuses.values()), events, duplicates, reasons)


def _require_columns(
    spark: SparkSession, files: list[RawFile], rows: list[Row], source: Source, settings: Settings
) -> None:
    """A column without one value may be a wrong name: look at the keys of the lines themselves."""
    empty = [
        name
        for place, name in enumerate(source.columns)
        if not any(row["present"] >> place & 1 for row in rows)
    ]
    if not empty or not rows:
        return
    keys = F.explode(F.json_object_keys("raw"))
    present = {row[0] for row in read_lines(spark, files, skip=0).select(keys).distinct().collect()}
    missing = [name for name in empty if name not in present]
    if missing and present:
        raise _missing(missing, sorted(present), settings)


def _missing(missing: list[str], present: list[str], settings: Settings) -> MissingColumnsError:
    return MissingColumnsError(
        str(settings.raw_folder),
        missing=missing,
        present=present,
        mapping=str(settings.source_file),
    )


def ingest(
    spark: SparkSession, lake: Lake, settings: Settings, *, window: Window, run_key: str
) -> dict[str, Any]:
    """Ingest the window's days and commit them; return the summary."""
    source = load_source(settings.source_file)
    files = find_raw(str(settings.raw_folder), window)
    before = history_window(window.start, days=settings.ingest.dedupe_days)
    snapshot = lake.snapshot_id(EVENTS)
    earlier = lake.read(spark, EVENTS, window=before, snapshot_id=snapshot)
    parsed = load_lines(spark, files, source, settings=settings)
    mapped = map_events(parsed, source, zone=settings.time_zone)
    # Counted, then written twice over, but read and shuffled once.
    marked = mark_duplicates(mapped, earlier).persist(StorageLevel.DISK_ONLY)
    days = count_lines(marked, files, source, settings=settings)
    check_counts(days, folder=str(settings.raw_folder), window=window, settings=settings.ingest)
    events, quarantine = split(
        marked, rows_a_day=max((day.lines for day in days.values()), default=0)
    )
    staged = [
        lake.stage(frame, table, window=window, run_key=run_key)
        for frame, table in ((quarantine, QUARANTINE), (events, EVENTS))
    ]
    found = summarize(days)
    if (staged[1].num_rows, staged[0].num_rows) != (found["events"], found["quarantined"]):
        raise DataError(
            f"{EVENTS.name}/{EVENTS.partition}={window.start}",
            found=f"{staged[1].num_rows} events and {staged[0].num_rows} refused lines written",
            expected=f"{found['events']} and {found['quarantined']}, as counted",
            do="Nothing was committed. Were the raw files changed meanwhile? Run this again.",
        )
    reads = {} if snapshot is None else {EVENTS.name: snapshot}
    commits = [lake.commit(one, reads=reads) for one in staged]  # quarantine first: events say done
    return {**found, "run_key": run_key, "tables": {c.table: c.said for c in commits}}


def split(marked: DataFrame, *, rows_a_day: int) -> tuple[DataFrame, DataFrame]:
    """The events and the refused lines."""
    events = marked.where(F.col("status") == EVENT).select(*EVENTS.column_names)
    is_refused = ~F.col("status").isin(EVENT, DUPLICATE)
    quarantine = marked.where(is_refused).select(*QUARANTINE.column_names)
    return (
        lay_out(events, EVENTS, rows_a_day=rows_a_day),
        lay_out(quarantine, QUARANTINE, rows_a_day=rows_a_day),
    )


def summarize(days: Mapping[date, DayCounts]) -> dict[str, Any]:
    """Counts over all days. Raises DataError when a line is not accounted for."""
    reasons: Counter[str] = Counter()
    for counts in days.values():
        reasons.update(counts.reasons)
    lines = sum(counts.lines for counts in days.values())
    events = sum(counts.events for counts in days.values())
    duplicates = sum(counts.duplicates for counts in days.values())
    quarantined = sum(reasons.values())
    if lines != events + duplicates + quarantined:
        raise DataError(
            "ingest_events",
            found=f"{lines} lines, {events} events, {duplicates} duplicates, {quarantined} refused",
            expected="lines = events + duplicates + refused",
            do="Nothing was committed. This is a fault of the program: report it.",
        )
    return {
        "lines": lines,
        "events": events,
        "duplicates": duplicates,
        "quarantined": quarantined,
        "reasons": dict(sorted(reasons.items())),
    }


def main(argv: Sequence[str] | None = None) -> int:
    return run(JOB, _body, argv, description=__doc__.splitlines()[0], arguments=_arguments)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--since",
        type=date.fromisoformat,
        metavar="YYYY-MM-DD",
        help="first ingestion day; default: the day before the cutoff",
    )


def _body(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    cutoff: date = options.cutoff
    since: date = options.since or cutoff - timedelta(days=1)
    if since >= cutoff:
        raise CutoffError(
            f"--since {since}",
            found="no day before the cutoff",
            expected=f"at most {cutoff - timedelta(days=1)}",
            do="Choose an earlier --since or a later --cutoff.",
        )
    lake = open_lake(settings)
    find_raw(str(settings.raw_folder), Window(since, cutoff))  # before Spark takes its seconds
    spark = open_spark(settings, JOB)
    run_key = new_run_key(JOB, cutoff)
    return {
        "since": since.isoformat(),
        **ingest(spark, lake, settings, window=Window(since, cutoff), run_key=run_key),
    }


if __name__ == "__main__":
    sys.exit(main())
