"""Build each user's event sequence as of a cutoff: one row for every user ever seen before it.

reads   events     what was ingested since the newest earlier cutoff, or everything with --full
        sequences  the partition of that earlier cutoff
writes  sequences  partition cutoff=YYYY-MM-DD, replaced whole, so a re-run is safe
key     (user_id, cutoff)

The latest N of (yesterday's latest N and the new events) are the latest N of all events, so a
night costs one shuffle of the new events, and each file of the earlier partition is read once and
written anew. That partition is built upon only while no ingestion day before its cutoff was
replaced since; otherwise all is rebuilt.

    spark-submit jobs/build_sequences.py --cutoff 2017-11-29
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from contracts.tables import EVENTS, SEQUENCES
from contracts.windows import Window, one_day
from jobs.histories.write_sequences import Earlier, Request, sequence_rows, write_sequences
from jobs.lake.commits import Commit
from jobs.lake.files import RowGroup
from jobs.lake.lake import Lake, new_run_key, open_lake
from jobs.running.program import run
from jobs.running.settings import Settings, remembered
from jobs.running.spark import open_spark

JOB = "build_sequences"
MAX_EVENTS = "max_events"  # the fact that a partition must share to be built upon


def base_partition(lake: Lake, cutoff: date, *, max_events: int) -> Commit | None:
    """The newest earlier partition that can still be built upon, or None."""
    earlier = [day for day in lake.partitions(SEQUENCES) if day < cutoff]
    if not earlier:
        return None
    base = lake.require(SEQUENCES, earlier[-1], producer="nightshift sequences")
    since = lake.windows_since(EVENTS, base.reads[EVENTS.name])
    is_sound = (
        base.facts.get(MAX_EVENTS) == str(max_events)
        and since is not None
        and all(window.start >= earlier[-1] for window in since)
    )
    return base if is_sound else None


def rows_from(
    spark: SparkSession,
    lake: Lake,
    settings: Settings,
    *,
    window: Window,
    reads: Mapping[str, int],
) -> DataFrame:
    """The rows of a run that reads these snapshots; built upon the sequences, if they are one."""
    events, earlier = read_parts(lake, window.start, reads)
    return sequence_rows(
        spark,
        events,
        earlier,
        request_of(settings, window.start),
        filesystem=lake.filesystem(),
        at_least=settings.spark.partitions,
    )


def read_parts(
    lake: Lake, cutoff: date, reads: Mapping[str, int]
) -> tuple[list[RowGroup], Earlier]:
    """Where the events lie that are new to the sequences read, and where those lie."""
    snapshot, base_id = reads[EVENTS.name], reads.get(SEQUENCES.name)
    if base_id is None:
        every_day = Window(date.min, cutoff)
        return lake.row_groups(EVENTS, window=every_day, snapshot_id=snapshot), Earlier()
    base = lake.commit_at(SEQUENCES, base_id)
    rows = lake.row_groups(SEQUENCES, window=base.window, snapshot_id=base_id)
    since = Window(base.window.start, cutoff)
    events = lake.row_groups(EVENTS, window=since, snapshot_id=snapshot)
    return events, Earlier(rows, base.facts)


def request_of(settings: Settings, cutoff: date) -> Request:
    return Request(cutoff, settings.sequences.max_events, settings.sessions.gap_minutes)


def main(argv: Sequence[str] | None = None) -> int:
    return run(JOB, _body, argv, description=__doc__.splitlines()[0], arguments=_arguments)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--full", action="store_true", help="rebuild from all events")


def _body(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    cutoff: date = options.cutoff
    max_events = settings.sequences.max_events
    lake = open_lake(settings)
    ingest = f"nightshift ingest --cutoff {cutoff}"
    snapshot = lake.require_snapshot(EVENTS, cutoff - timedelta(days=1), producer=ingest)
    reads = {EVENTS.name: snapshot}
    base = None if options.full else base_partition(lake, cutoff, max_events=max_events)
    if base is not None:
        reads[SEQUENCES.name] = base.snapshot_id

    commit = _write(open_spark(settings, JOB), lake, settings, cutoff, reads)
    return {
        "mode": "full" if base is None else f"since {base.window.start}",
        "rows": commit.num_rows,
        "run_key": commit.run_key,
        "tables": {SEQUENCES.name: commit.said},
    }


def _write(
    spark: SparkSession, lake: Lake, settings: Settings, cutoff: date, reads: Mapping[str, int]
) -> Commit:
    run_key, window = new_run_key(JOB, cutoff), one_day(cutoff)
    events, earlier = read_parts(lake, cutoff, reads)
    written = write_sequences(
        spark,
        events,
        earlier,
        request_of(settings, cutoff),
        lake.writer(SEQUENCES, run_key=run_key),
        at_least=settings.spark.partitions,
    )
    staged = lake.stage_files(spark, written.files, SEQUENCES, window=window, run_key=run_key)
    facts = {
        MAX_EVENTS: str(settings.sequences.max_events),
        **written.facts,
        **remembered(settings, "sequences", "sessions"),
    }
    return lake.commit(staged, reads=reads, facts=facts)


if __name__ == "__main__":
    sys.exit(main())
