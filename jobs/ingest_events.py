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

from pyspark.sql import DataFrame, Row, SparkSession
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


@dataclass(frozen=True)
class DayCounts:
    """What became of the lines of one ingestion day."""

    lines: int
    duplicates: int
    reasons: Mapping[str, int]  # of the quarantined

    @property
    def quarantined(self) -> int:
        return sum(self.reasons.values())


def mark_duplicates(mapped: DataFrame, earlier: DataFrame) -> DataFrame:
    """Where each line is and what becomes of it: ``is_duplicate`` if its event's id came before.

    ``earlier`` holds the event_ids that are in the lake already. Of equal ids in the load, the
    first by day, file and line is the event. One shuffle, of ids and places only.
    """
    place = F.concat_ws("\0", "source", F.col("line").cast("string"))
    load = mapped.select(
        # A refused line shares its identity with no other.
        F.when(F.col("reason").isNull(), F.col("event_id")).otherwise(place).alias("identity"),
        F.lit(False).alias("is_known"),
        *("ingest_date", "source", "line", "reason", "present", "broken"),
    )
    known = earlier.select(F.col("event_id").alias("identity"), F.lit(True).alias("is_known"))
    first = Rows.partitionBy("identity").orderBy(
        F.desc("is_known"), "ingest_date", "source", "line"
    )
    return (
        load.unionByName(known, allowMissingColumns=True)
        .withColumn("is_duplicate", F.row_number().over(first) > 1)
        .where(~F.col("is_known"))
        .select(*("ingest_date", "source", "line", "reason", "present", "broken", "is_duplicate"))
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
    """Count every day's lines. Raises DataError where a file ends early, MissingColumnsError."""
    broken = F.when(F.col("broken").isNotNull(), F.struct("source", "broken"))
    rows = (
        marked.groupBy("ingest_date", "reason", "is_duplicate")
        .agg(
            F.count(F.lit(1)).alias("lines"),
            F.min(broken).alias("broken"),
            F.bit_or("present").alias("present"),
        )
        .collect()
    )
    for row in rows:
        if row["broken"] is not None:
            folder = str(settings.raw_folder)
            raise refuse_broken(row["broken"]["source"], folder, row["broken"]["broken"])
    if source.format == "jsonl":
        _require_columns(marked.sparkSession, files, rows, source, settings)
    of_day: dict[date, list[Row]] = {}
    for row in rows:
        of_day.setdefault(row["ingest_date"], []).append(row)
    return {
        day: DayCounts(
            lines=sum(row["lines"] for row in rows),
            duplicates=sum(row["lines"] for row in rows if row["is_duplicate"]),
            reasons={row["reason"]: row["lines"] for row in rows if row["reason"] is not None},
        )
        for day, rows in of_day.items()
    }


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
    marked = mark_duplicates(mapped, earlier)
    days = count_lines(marked, files, source, settings=settings)
    check_counts(days, folder=str(settings.raw_folder), window=window, settings=settings.ingest)

    rows_a_day = max((day.lines for day in days.values()), default=0)
    kept = [
        (refused_lines(mapped, days), QUARANTINE),
        (new_events(mapped, marked, days), EVENTS),
    ]
    staged = [
        lake.stage(
            lay_out(frame, table, rows_a_day=rows_a_day), table, window=window, run_key=run_key
        )
        for frame, table in kept
    ]
    found = summarize(days, quarantined=staged[0].num_rows, events=staged[1].num_rows)
    reads = {} if snapshot is None else {EVENTS.name: snapshot}
    commits = [lake.commit(one, reads=reads) for one in staged]  # quarantine first: events say done
    return {**found, "run_key": run_key, "tables": {c.table: c.said for c in commits}}


def new_events(mapped: DataFrame, marked: DataFrame, days: Mapping[date, DayCounts]) -> DataFrame:
    events = mapped.where(F.col("reason").isNull())
    if any(counts.duplicates for counts in days.values()):
        places = marked.where("is_duplicate").select("source", "line")
        events = events.join(places, on=["source", "line"], how="left_anti")
    return events.select(*EVENTS.column_names)


def refused_lines(mapped: DataFrame, days: Mapping[date, DayCounts]) -> DataFrame:
    refused = mapped.where(F.col("reason").isNotNull()).select(*QUARANTINE.column_names)
    if any(counts.quarantined for counts in days.values()):
        return refused
    return mapped.sparkSession.createDataFrame([], refused.schema)  # nothing to look for


def summarize(days: Mapping[date, DayCounts], *, quarantined: int, events: int) -> dict[str, Any]:
    """Counts over all days. Raises DataError when the rows written do not match the lines."""
    reasons: Counter[str] = Counter()
    for counts in days.values():
        reasons.update(counts.reasons)
    lines = sum(counts.lines for counts in days.values())
    duplicates = sum(counts.duplicates for counts in days.values())
    if lines != events + duplicates + quarantined or quarantined != sum(reasons.values()):
        raise DataError(
            JOB,
            found=f"{lines} lines read, {events} events and {quarantined} refused lines written, "
            f"{duplicates} duplicates",
            expected="lines = events + refused lines + duplicates",
            do="Nothing was committed. Were the raw files changed meanwhile? Run this again.",
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
