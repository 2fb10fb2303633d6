"""Cut each user's events into sessions, and restate the days that late events can have changed.

reads   events          ingested before the cutoff, near the session days that are restated
writes  session_events  each event with its session, and its place in it
        sessions        session days from --since (the day after the last night) less
                        `sessions.late_days` and one more, up to the cutoff, replaced whole in both
                        tables, so a re-run is safe
key     session_id, event_id

Events with one session hint are one session, whatever comes between, unless the hint was silent for
more than a week. Events without a hint go by silence: after more than `sessions.gap_minutes` a
session begins (docs/decisions/0045). An event may be `sessions.late_days` late: its session began
on its own day or on the one before, and both are restated in one commit. An older event, or one of
a session that began earlier still, changes nothing here: the run says how many there were
(`late_events`, `continued_events`).

    spark-submit jobs/build_sessions.py --cutoff 2017-11-29
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from contracts.tables import EVENTS, SESSION_EVENTS, SESSIONS, Table
from contracts.windows import CLOCK_DAYS, Window, instant
from jobs.histories.cut_sessions import LONGEST_GAP_DAYS
from jobs.histories.write_sessions import Request, session_rows, write_sessions
from jobs.lake.files import RowGroup
from jobs.lake.lake import Lake, new_run_key, open_lake
from jobs.running.program import add_since, new_days, run
from jobs.running.settings import Settings, remembered
from jobs.running.spark import open_spark

JOB = "build_sessions"
SPILL_DAYS = 1  # a session may have begun that long before an event of it


def request_of(settings: Settings, window: Window) -> Request:
    """What a run that restates the window's days asks of the executors."""
    on_time_from = window.start + timedelta(days=SPILL_DAYS)
    return Request(
        window=window,
        gap_minutes=settings.sessions.gap_minutes,
        zone=settings.time_zone,
        money=settings.money,
        seen_from=instant(_seen_from(window), settings.zone),
        new_from=on_time_from + timedelta(days=settings.sessions.late_days),
        on_time_from=instant(on_time_from, settings.zone),
    )


def rows_from(
    spark: SparkSession,
    lake: Lake,
    settings: Settings,
    *,
    table: Table,
    window: Window,
    reads: Mapping[str, int],
) -> DataFrame:
    """The rows of a run that restates the window's days and reads these snapshots."""
    return session_rows(
        spark,
        _ingested(lake, window, reads),
        request_of(settings, window),
        table,
        filesystem=lake.filesystem(),
    )


def sessionize(
    spark: SparkSession,
    lake: Lake,
    settings: Settings,
    *,
    window: Window,
    reads: Mapping[str, int],
) -> dict[str, Any]:
    """Write and commit the sessions of the window's days; return the summary."""
    request, run_key = request_of(settings, window), new_run_key(JOB, window.end)
    written = write_sessions(
        spark,
        _ingested(lake, window, reads),
        request,
        (lake.writer(SESSIONS, run_key=run_key), lake.writer(SESSION_EVENTS, run_key=run_key)),
    )
    staged = [
        lake.stage_files(spark, written.files[table.name], table, window=window, run_key=run_key)
        for table in (SESSION_EVENTS, SESSIONS)  # sessions last: they say done
    ]
    facts = remembered(settings, "sessions", "time_zone", "money")
    commits = [lake.commit(one, reads=reads, facts=facts) for one in staged]
    return {
        "since": request.new_from.isoformat(),
        "restated_from": window.start.isoformat(),
        "late_events": written.late_events,
        "continued_events": written.continued_events,
        "rows": commits[-1].num_rows,
        "run_key": run_key,
        "tables": {commit.table: commit.said for commit in commits},
    }


def _ingested(lake: Lake, window: Window, reads: Mapping[str, int]) -> list[RowGroup]:
    days = Window(_seen_from(window) - timedelta(days=CLOCK_DAYS), window.end)
    return lake.row_groups(EVENTS, window=days, snapshot_id=reads[EVENTS.name])


def _seen_from(window: Window) -> date:
    return window.start - timedelta(days=LONGEST_GAP_DAYS)


def main(argv: Sequence[str] | None = None) -> int:
    return run(JOB, _body, argv, description=__doc__.splitlines()[0], arguments=add_since)


def _body(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    lake = open_lake(settings)
    cutoff, since = options.cutoff, new_days(options, lake.partitions(SESSIONS)).start
    ingest = f"nightshift ingest --cutoff {cutoff}"
    snapshot = lake.require_snapshot(EVENTS, cutoff - timedelta(days=1), producer=ingest)
    window = Window(since - timedelta(days=settings.sessions.late_days + SPILL_DAYS), cutoff)
    spark, reads = open_spark(settings, JOB), {EVENTS.name: snapshot}
    return sessionize(spark, lake, settings, window=window, reads=reads)


if __name__ == "__main__":
    sys.exit(main())
