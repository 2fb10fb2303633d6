"""Turn the raw lines of the ingestion days into events; keep what cannot be one, with the reason.

reads   raw/ingest_date=D/*   every file of the days from --since (the day before the cutoff) on
        events                the ids of the `ingest.dedupe_days` before, to drop what came twice
writes  events, quarantine    the partitions of those days, replaced whole, so a re-run is safe
key     event_id

Every file's lines are accounted for: lines = events + duplicates + quarantined. More bad lines than
`ingest.max_bad_fraction` of a day refuse the load, and nothing is committed. A user's day of more
than `ingest.max_events_per_user_day` is a robot's: set aside in quarantine, but not bad.

    spark-submit jobs/ingest_events.py --cutoff 2017-11-29
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from contracts.errors import CutoffError, MissingColumnsError
from contracts.tables import EVENTS, QUARANTINE
from contracts.windows import Window, history_window
from jobs.conservation import (
    Counts,
    Written,
    check_days,
    check_events,
    check_quarantine,
    check_whole,
    count_file,
    expected_events,
    of_day,
    tally,
    total,
)
from jobs.lake import Lake, lay_out, new_run_key, open_lake
from jobs.line_fates import (
    ROBOT,
    USER_DAY,
    event_day,
    find_robots,
    mark_duplicates,
    mark_robots,
)
from jobs.map_events import map_events, parse_csv, parse_json
from jobs.program import run
from jobs.raw_lines import RawFile, find_raw, read_header, read_lines, refuse_broken
from jobs.settings import Settings
from jobs.sources import Source, load_source
from jobs.spark import open_spark

JOB = "ingest_events"


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
) -> tuple[dict[str, Counts], dict[date, Written]]:
    """Count every file's lines, and the events that each day is to hold.

    Raises DataError where a file ends early, MissingColumnsError, ConservationError.
    """
    rows = tally(marked)
    folder = str(settings.raw_folder)
    for row in rows:
        if row["broken"] is not None:
            raise refuse_broken(row["source"], folder, row["broken"])
    if source.format == "jsonl":
        _require_columns(marked.sparkSession, files, rows, source, settings)
    of_file: dict[str, list[Row]] = {file.source: [] for file in files}
    for row in rows:
        of_file[row["source"]].append(row)
    counted = {name: count_file(rows) for name, rows in of_file.items()}
    check_whole(counted, folder=folder)
    return counted, expected_events(rows)


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
    mapped = map_events(parsed, source, zone=settings.time_zone).withColumn(
        "event_day", event_day(settings.time_zone)
    )
    fates = mark_duplicates(mapped, earlier, dedupe_days=settings.ingest.dedupe_days).persist()
    try:
        robots = find_robots(fates, max_events=settings.ingest.max_events_per_user_day)
        marked = fates if robots.isEmpty() else mark_robots(fates, robots)
        counted, events = count_lines(marked, files, source, settings=settings)
        check_days(counted, files, settings=settings, window=window)
        found = total(counted.values())
        rows_a_day = max(total(of_day(counted, files, day)).lines for day in window.days)
        staged = [
            lake.stage(
                lay_out(frame, table, rows_a_day=rows_a_day), table, window=window, run_key=run_key
            )
            for frame, table in (
                (set_aside(mapped, fates, robots, found), QUARANTINE),
                (new_events(mapped, fates, robots, found), EVENTS),
            )
        ]
    finally:
        fates.unpersist()
    check_quarantine(counted, lake.read_staged(spark, staged[0]), folder=str(settings.raw_folder))
    check_events(events, lake.read_staged(spark, staged[1]))
    reads = {} if snapshot is None else {EVENTS.name: snapshot}
    facts = {name: str(value) for name, value in found.said.items() if name != "reasons"}
    commits = [  # quarantine first: events say done
        lake.commit(one, reads=reads, facts=facts) for one in staged
    ]
    return {
        **found.said,
        "run_key": run_key,
        "tables": {c.table: c.said for c in commits},
        "files": {name: counts.said for name, counts in counted.items()},
    }


def new_events(mapped: DataFrame, fates: DataFrame, robots: DataFrame, found: Counts) -> DataFrame:
    """The lines that become events."""
    events = _taken(mapped, fates, found)
    if found.reasons.get(ROBOT):
        events = events.join(F.broadcast(robots), on=[*USER_DAY], how="left_anti")
    return events.select(*EVENTS.column_names)


def set_aside(mapped: DataFrame, fates: DataFrame, robots: DataFrame, found: Counts) -> DataFrame:
    """The lines for quarantine: refused by the mapping, or a robot's."""
    refused = mapped.where(F.col("reason").isNotNull()).select(*QUARANTINE.column_names)
    if not found.quarantined:
        return mapped.sparkSession.createDataFrame([], refused.schema)  # nothing to look for
    if not found.reasons.get(ROBOT):
        return refused
    of_robots = (
        _taken(mapped, fates, found)
        .join(F.broadcast(robots), on=[*USER_DAY], how="left_semi")
        .withColumn("reason", F.lit(ROBOT))
    )
    return refused.unionByName(of_robots.select(*QUARANTINE.column_names))


def _taken(mapped: DataFrame, fates: DataFrame, found: Counts) -> DataFrame:
    """The lines that can be events and did not come before."""
    events = mapped.where(F.col("reason").isNull())
    if not found.duplicates:
        return events
    places = fates.where("is_duplicate").select("source", "line")
    return events.join(places, on=["source", "line"], how="left_anti")


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
