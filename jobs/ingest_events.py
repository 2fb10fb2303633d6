"""Turn the raw lines of the ingestion days into events; keep what cannot be one, with the reason.

reads   raw/ingest_date=D/*   every file of the days from --since on: by default the days after the
                              last that is in the lake, so that no missed night leaves a hole
        events                the ids of the `ingest.dedupe_days` before, to drop what came twice
        raw_files             the digests of earlier files: a delivery that comes again is known
writes  events, quarantine,   the partitions of those days, replaced whole, so a re-run is safe
        raw_files
key     event_id

Every file's lines are accounted for: lines = events + duplicates + quarantined. More bad lines than
`ingest.max_bad_fraction` of a day refuse the load, and nothing is committed; so does a day that
brings nothing but what came before, or long happened (docs/decisions/0046). A user's day of more
than `ingest.max_events_per_user_day` is a robot's: set aside in quarantine, but not bad.

    spark-submit jobs/ingest_events.py --cutoff 2017-11-29
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from functools import partial, reduce
from itertools import chain
from operator import or_
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from contracts.tables import EVENTS, QUARANTINE, RAW_FILES
from contracts.windows import Window
from jobs.ingestion.conservation import (
    Counts,
    Written,
    check_days,
    check_events,
    check_quarantine,
    check_whole,
    count_file,
    expected_events,
    mean_events,
    of_day,
    tally,
    total,
)
from jobs.ingestion.item_attributes import Attributes, read_attributes
from jobs.ingestion.known_events import count_stale, lately_ingested, marked_lines
from jobs.ingestion.line_fates import (
    ROBOT,
    USER_DAY,
    content,
    count_altered,
    event_day,
    find_robots,
    mark_robots,
    taken_whole,
)
from jobs.ingestion.load_logs import Place, load_events, require_columns, share_out
from jobs.ingestion.missed_days import Calendar
from jobs.ingestion.raw_digests import (
    digest_files,
    file_rows,
    find_equal,
    find_repeats,
    known_digests,
    repeats_in_load,
)
from jobs.ingestion.raw_lines import RawFile, find_raw, refuse_broken
from jobs.lake.lake import Lake, lay_out, new_run_key, open_lake
from jobs.running.program import add_since, new_days, run
from jobs.running.settings import Settings
from jobs.running.spark import open_spark
from jobs.sources.mapping import Source, load_source

JOB = "ingest_events"


def count_lines(
    marked: DataFrame, shares: list[list[RawFile]], source: Source, place: Place
) -> tuple[dict[str, Counts], dict[date, Written]]:
    """Count every file's lines, and the events that each day is to hold.

    Raises DataError where a file ends early, MissingColumnsError, ConservationError.
    """
    rows = tally(marked)
    for row in rows:
        if row["broken"] is not None:
            raise refuse_broken(row["source"], place.folder, row["broken"])
    if rows:
        present = reduce(or_, (row["present"] for row in rows))
        require_columns(marked.sparkSession, shares, source, place, present=present)
    of_file: dict[str, list[Row]] = {file.source: [] for share in shares for file in share}
    for row in rows:
        of_file[row["source"]].append(row)
    counted = {name: count_file(rows) for name, rows in of_file.items()}
    check_whole(counted, folder=place.folder)
    return counted, expected_events(rows)


def ingest(
    spark: SparkSession, lake: Lake, settings: Settings, *, window: Window, run_key: str
) -> dict[str, Any]:
    """Ingest the window's days and commit them; return the summary."""
    source = load_source(settings.source_file)
    place = Place(str(settings.raw_folder), str(settings.source_file))
    files = find_raw(place.folder, window, may_lack=Calendar.of(settings).is_closed)
    if not files:
        return ingest_nothing(spark, lake, window=window, run_key=run_key)
    shares = share_out(files, source, place)
    snapshot = lake.snapshot_id(EVENTS)
    digests = digest_files(spark, files)
    repeats = find_repeats(files, digests, known_digests(lake, window.start))
    lately = lately_ingested(
        lake, window.start, days=settings.ingest.dedupe_days, zone=settings.zone
    )
    mapped = (
        load_events(spark, shares, source, place, zone=settings.time_zone)
        .withColumn("event_day", event_day(settings.time_zone))
        .withColumn("content", content())
    )
    most_events = settings.ingest.max_events_per_user_day
    lines = partial(marked_lines, lake, settings, mapped, window=window, snapshot_id=snapshot)
    with ExitStack() as held:
        fates, known = held.enter_context(lines(repeated=repeats))
        if equal := find_equal(files, digests, repeats):
            marked = mark_robots(fates, find_robots(fates, max_events=most_events))
            taken = taken_whole(marked, {*chain(*equal.values())})
            if again := repeats_in_load(equal, taken):
                repeats |= again
                fates, known = held.enter_context(lines(repeated=repeats))
        robots = find_robots(fates, max_events=most_events)
        marked = fates if robots.isEmpty() else mark_robots(fates, robots)
        dedupe_days = settings.ingest.dedupe_days
        stale = count_stale(fates, lately.newest, dedupe_days=dedupe_days)
        counted, events = count_lines(marked, shares, source, place)
        if any(counts.duplicates for counts in counted.values()):
            altered = count_altered(fates, known)
            counted = {
                name: replace(counts, altered=altered.get(name, 0))
                for name, counts in counted.items()
            }
        check_days(
            counted,
            files,
            settings=settings,
            window=window,
            repeats=repeats,
            stale=stale,
            usual_events=max(lately.usual_events, mean_events(counted, window)),
        )
        attributes = None
        if source.item_attributes is not None:
            most_bad = settings.ingest.max_bad_fraction
            attributes = read_attributes(spark, source.item_attributes, place, most_bad)
        found = total(counted.values())
        rows_a_day = max(total(of_day(counted, files, day)).lines for day in window.days)
        staged = [
            lake.stage(
                lay_out(frame, table, rows_a_day=rows_a_day), table, window=window, run_key=run_key
            )
            for frame, table in (
                (set_aside(mapped, fates, robots, found), QUARANTINE),
                (new_events(mapped, fates, robots, found, attributes), EVENTS),
            )
        ]
    check_quarantine(counted, lake.read_staged(spark, staged[0]), folder=place.folder)
    check_events(events, lake.read_staged(spark, staged[1]))
    reads = {} if snapshot is None else {EVENTS.name: snapshot}
    facts = {name: str(value) for name, value in found.said.items() if name != "reasons"}
    paths = [
        *lake.writer(RAW_FILES, run_key=run_key).write(file_rows(files, counted, digests, repeats))
    ]
    staged.insert(1, lake.stage_files(spark, paths, RAW_FILES, window=window, run_key=run_key))
    commits = [  # events last: they say done
        lake.commit(one, reads=reads, facts=facts) for one in staged
    ]
    return {
        **found.said,
        "repeated_files": repeats,
        "run_key": run_key,
        "tables": {c.table: c.said for c in commits},
        "files": {name: counts.said for name, counts in counted.items()},
    }


def ingest_nothing(
    spark: SparkSession, lake: Lake, *, window: Window, run_key: str
) -> dict[str, Any]:
    """Commit closed days for which nothing was delivered."""
    commits = []
    for table in (QUARANTINE, RAW_FILES, EVENTS):
        staged = lake.stage_files(spark, [], table, window=window, run_key=run_key)
        commits.append(lake.commit(staged, reads={}))
    tables = {commit.table: commit.said for commit in commits}
    return {**Counts().said, "run_key": run_key, "tables": tables, "files": {}}


def new_events(
    mapped: DataFrame,
    fates: DataFrame,
    robots: DataFrame,
    found: Counts,
    attributes: Attributes | None,
) -> DataFrame:
    """The lines that become events, with what a second file says of their items."""
    events = _taken(mapped, fates, found)
    if found.reasons.get(ROBOT):
        events = events.join(F.broadcast(robots), on=[*USER_DAY], how="left_anti")
    if attributes is not None:
        events = attributes.give(events)
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
    return run(JOB, _body, argv, description=__doc__.splitlines()[0], arguments=add_since)


def _body(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    lake = open_lake(settings)
    window = new_days(options, lake.partitions(EVENTS))
    is_closed = Calendar.of(settings).is_closed
    find_raw(str(settings.raw_folder), window, may_lack=is_closed)  # before Spark takes its seconds
    spark = open_spark(settings, JOB)
    run_key = new_run_key(JOB, options.cutoff)
    return {
        "since": window.start.isoformat(),
        **ingest(spark, lake, settings, window=window, run_key=run_key),
    }


if __name__ == "__main__":
    sys.exit(main())
