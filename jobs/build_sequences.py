"""Bring each user's event sequence up to a cutoff: a night's rows, or everybody's.

reads   events     what was ingested since the newest earlier cutoff, or everything with --full
        sequences  the partitions that make the sequences as of that earlier cutoff
writes  sequences  partition cutoff=YYYY-MM-DD, replaced whole, so a re-run is safe
key     (user_id, cutoff)

The latest N of (some events' latest N and other events) are the latest N of all of them. So a night
writes rows of its new events alone, and whoever reads the sequences as of a cutoff folds these into
the rows that were there (`jobs/histories/read_sequences.py`). After `sequences.max_nights` of them
a run does that fold itself and writes everybody's rows, as it does where buckets have become far
too large or small. All is made from events anew with --full, and where an ingestion day before the
earlier cutoff was replaced since, or the setting `sequences.max_events` or `money` changed.

    spark-submit jobs/build_sequences.py --cutoff 2017-11-29
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from contracts.errors import MissingSnapshotError
from contracts.money import Money
from contracts.tables import EVENTS, SEQUENCES
from contracts.windows import Window, one_day
from jobs.histories.read_sequences import (
    EVENTS_KEPT,
    GAP_MINUTES,
    MAX_EVENTS,
    MONEY,
    NUM_USERS,
    SINCE,
    Sequences,
    sequences_as_of,
    sequences_at,
)
from jobs.histories.sequence_buckets import Earlier, Plan, plan_buckets
from jobs.histories.write_sequences import Request, sequence_rows, write_sequences
from jobs.lake.commits import Commit
from jobs.lake.files import RowGroup
from jobs.lake.lake import Lake, new_run_key, open_lake
from jobs.running.program import run
from jobs.running.settings import Settings, remembered
from jobs.running.spark import open_spark

JOB = "build_sequences"


def earlier_sequences(
    lake: Lake, cutoff: date, *, max_events: int, money: Money
) -> Sequences | None:
    """Those of the newest earlier cutoff, if they can still be built upon."""
    days = [day for day in lake.partitions(SEQUENCES) if day < cutoff]
    if not days:
        return None
    try:
        found = sequences_as_of(lake, days[-1])
    except MissingSnapshotError:  # another program has expired one of them
        return None
    newest = found.commits[-1]
    since = lake.windows_since(EVENTS, newest.reads[EVENTS.name])
    is_sound = (
        newest.facts.get(MAX_EVENTS) == str(max_events)
        and found.money == money
        and since is not None
        and all(window.start >= days[-1] for window in since)
    )
    return found if is_sound else None


def rows_from(
    spark: SparkSession,
    lake: Lake,
    settings: Settings,
    *,
    window: Window,
    reads: Mapping[str, int],
    is_night: bool,
) -> DataFrame:
    """The rows of a run that reads these snapshots. Raises MissingSnapshotError."""
    earlier = _earlier_of(lake, reads)
    if earlier is not None:
        earlier.require_files()  # a night's rows are worth what they stand upon
    events, plan, request = _work(lake, settings, window.start, reads, earlier)
    request = _as_night(request, earlier) if is_night else request
    return sequence_rows(spark, events, plan, request, filesystem=lake.filesystem())


def main(argv: Sequence[str] | None = None) -> int:
    return run(JOB, _body, argv, description=__doc__.splitlines()[0], arguments=_arguments)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--full", action="store_true", help="rebuild from all events")


def _body(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    cutoff: date = options.cutoff
    lake = open_lake(settings)
    ingest = f"nightshift ingest --cutoff {cutoff}"
    snapshot = lake.require_snapshot(EVENTS, cutoff - timedelta(days=1), producer=ingest)
    reads = {EVENTS.name: snapshot}
    earlier = (
        None
        if options.full
        else earlier_sequences(
            lake, cutoff, max_events=settings.sequences.max_events, money=settings.money
        )
    )
    if earlier is not None:
        reads[SEQUENCES.name] = earlier.snapshot_id

    commit = _write(open_spark(settings, JOB), lake, settings, cutoff, reads)
    return {
        "mode": _mode(commit, earlier),
        "rows": int(commit.facts[NUM_USERS]),  # as of the cutoff
        "rows_written": commit.num_rows,
        "run_key": commit.run_key,
        "tables": {SEQUENCES.name: commit.said},
    }


def _mode(commit: Commit, earlier: Sequences | None) -> str:
    if earlier is None:
        return "full"
    return f"since {earlier.cutoff}" if SINCE in commit.facts else f"whole, from {earlier.cutoff}"


def _write(
    spark: SparkSession, lake: Lake, settings: Settings, cutoff: date, reads: Mapping[str, int]
) -> Commit:
    run_key, window = new_run_key(JOB, cutoff), one_day(cutoff)
    earlier = _earlier_of(lake, reads)
    events, plan, request = _work(lake, settings, cutoff, reads, earlier)
    num_known = 0
    if earlier and not plan.dealt and earlier.num_nights < settings.sequences.max_nights:
        request, num_known = _as_night(request, earlier), earlier.num_users
    writer = lake.writer(SEQUENCES, run_key=run_key)
    written = write_sequences(spark, events, plan, request, writer)
    staged = lake.stage_files(spark, written.files, SEQUENCES, window=window, run_key=run_key)
    facts = {
        MAX_EVENTS: str(request.max_events),
        GAP_MINUTES: str(request.gap_minutes),
        EVENTS_KEPT: str(written.num_events),
        NUM_USERS: str(num_known + written.num_users),
        **({SINCE: str(request.since)} if request.since else {}),
        MONEY: settings.money,
        **remembered(settings, "sequences", "sessions", "money"),
    }
    return lake.commit(staged, reads=reads, facts=facts)


def _earlier_of(lake: Lake, reads: Mapping[str, int]) -> Sequences | None:
    snapshot_id = reads.get(SEQUENCES.name)
    return None if snapshot_id is None else sequences_at(lake, snapshot_id)


def _work(
    lake: Lake,
    settings: Settings,
    cutoff: date,
    reads: Mapping[str, int],
    earlier: Sequences | None,
) -> tuple[list[RowGroup], Plan, Request]:
    """Where the new events lie, who does what, and what is asked for: everybody's rows."""
    since = Window(earlier.cutoff if earlier else date.min, cutoff)
    events = lake.row_groups(EVENTS, window=since, snapshot_id=reads[EVENTS.name])
    plan = plan_buckets(
        earlier.earlier() if earlier else Earlier(),
        num_new=sum(group.num_rows for group in events),
        at_least=settings.spark.partitions,
    )
    request = Request(
        cutoff, settings.sequences.max_events, settings.sessions.gap_minutes, settings.money
    )
    return events, plan, request


def _as_night(request: Request, earlier: Sequences | None) -> Request:
    assert earlier is not None, "a night has recorded what it builds upon"
    return replace(request, since=earlier.cutoff)


if __name__ == "__main__":
    sys.exit(main())
