"""Cut each user's events into sessions, and restate the days that late events can have changed.

reads   events    ingested before the cutoff, near the session days that are restated
writes  sessions  session days from --since (the day before the cutoff) less `sessions.late_days`
                  and one more, up to the cutoff, replaced whole, so a re-run is safe
key     session_id

A session ends where the next event comes after more than `sessions.gap_minutes`, or carries another
session hint; an equal hint holds it together, but never over more than a week. An event may be
`sessions.late_days` late: its session began on its own day or on the one before, and both are
restated in one commit. An older event, or one of a session that began earlier still, changes
nothing here: the run says how many there were (`late_events`, `continued_events`).

    spark-submit jobs/build_sessions.py --cutoff 2017-11-29
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import Window as Rows
from pyspark.sql import functions as F

from contracts.errors import CutoffError
from contracts.tables import EVENTS, SESSIONS
from contracts.windows import Window, instant
from jobs.lake import Lake, lay_out, new_run_key, open_lake
from jobs.program import run
from jobs.settings import Settings, remembered
from jobs.spark import open_spark

JOB = "build_sessions"
PURCHASE = "purchase"
LONGEST_GAP_DAYS = 7  # a hint that comes back after a longer silence starts a new session
SPILL_DAYS = 1  # a session may have begun that long before an event of it
CLOCK_DAYS = 2  # an event may be dated that much after the day it was ingested on


def build_sessions(events: DataFrame, *, window: Window, gap_minutes: int, zone: str) -> DataFrame:
    """One row per session whose first event lies in the window's days of that zone.

    The events must reach back LONGEST_GAP_DAYS before the window, so that a session which began
    before it is recognised, and left to its own day.
    """
    sessions = cut_sessions(events, new_from=window.end, gap_minutes=gap_minutes, zone=zone)
    return of_days(sessions, window)


def cut_sessions(events: DataFrame, *, new_from: date, gap_minutes: int, zone: str) -> DataFrame:
    """One row per session, with the number of its events that were ingested from that day on."""
    identity = F.sha2(F.concat_ws("\0", "user_id", "first.event_id"), 256)
    return (
        number_sessions(events, gap_minutes=gap_minutes)
        .groupBy("user_id", "number")
        .agg(
            F.min(F.struct("event_time", "event_id")).alias("first"),
            F.max("event_time").alias("end_time"),
            F.count(F.lit(1)).alias("num_events"),
            F.size(F.collect_set("item_id")).cast("bigint").alias("num_items"),
            F.sum(F.coalesce("amount", F.lit(0.0)).cast("decimal(18,4)")).alias("spend"),
            F.bool_or(F.col("event_type") == PURCHASE).alias("is_converted"),
            F.count_if(F.col("ingest_date") >= F.lit(new_from)).alias("num_new"),
        )
        .select(
            F.substring(identity, 1, 32).alias("session_id"),
            "user_id",
            F.col("first.event_time").alias("start_time"),
            "end_time",
            "num_events",
            "num_items",
            F.col("spend").cast("double").alias("spend"),
            "is_converted",
            F.to_date(F.from_utc_timestamp("first.event_time", zone)).alias("session_date"),
            "num_new",
        )
    )


def of_days(sessions: DataFrame, window: Window) -> DataFrame:
    """The sessions that began on these days."""
    day = F.col("session_date")
    inside = (day >= F.lit(window.start)) & (day < F.lit(window.end))
    return sessions.where(inside).select(*SESSIONS.column_names)


def number_sessions(events: DataFrame, *, gap_minutes: int) -> DataFrame:
    """The events with the ``number`` of their session among those of their user.

    Their order is total: an id that came again later is told apart by its ingestion day.
    """
    in_order = Rows.partitionBy("user_id").orderBy("event_time", "event_id", "ingest_date")
    so_far = in_order.rowsBetween(Rows.unboundedPreceding, Rows.currentRow)
    starts = _starts(in_order, gap_minutes).cast("int")
    return events.withColumn("starts", starts).withColumn("number", F.sum("starts").over(so_far))


def _starts(in_order: Any, gap_minutes: int) -> Column:
    """Does this event start a session? The user's first: yes."""
    last_time, last_hint = (F.lag(name).over(in_order) for name in ("event_time", "session_hint"))
    silence = F.unix_micros("event_time") - F.unix_micros(last_time)
    minute = 60 * 1_000_000
    by_gap = silence > gap_minutes * minute
    too_long = silence > LONGEST_GAP_DAYS * 24 * 60 * minute
    same_hint = F.col("session_hint") == last_hint  # null where one of them has none
    return F.coalesce(
        F.when(same_hint, too_long).when(~same_hint, F.lit(True)).otherwise(by_gap), F.lit(True)
    )


def rows_from(
    spark: SparkSession,
    lake: Lake,
    settings: Settings,
    *,
    window: Window,
    reads: Mapping[str, int],
) -> DataFrame:
    """The rows of a run that restates the window's days and reads these snapshots."""
    return of_days(_cut(spark, lake, settings, window=window, reads=reads), window)


def _cut(
    spark: SparkSession,
    lake: Lake,
    settings: Settings,
    *,
    window: Window,
    reads: Mapping[str, int],
) -> DataFrame:
    """The sessions around the window's days, of all events but those that came too late."""
    seen_from = F.lit(instant(_seen_from(window), settings.zone))
    is_seen = ~_is_late(settings, window) & (F.col("event_time") >= seen_from)
    return cut_sessions(
        _ingested(spark, lake, window, reads).where(is_seen),
        new_from=_on_time_from(window) + timedelta(days=settings.sessions.late_days),
        gap_minutes=settings.sessions.gap_minutes,
        zone=settings.time_zone,
    )


def _is_late(settings: Settings, window: Window) -> Column:
    """Is an event new, and of a day before those that a new event may be of?"""
    on_time_from = _on_time_from(window)
    since = on_time_from + timedelta(days=settings.sessions.late_days)
    is_old = F.col("event_time") < F.lit(instant(on_time_from, settings.zone))
    return (F.col("ingest_date") >= F.lit(since)) & is_old


def _on_time_from(window: Window) -> date:
    return window.start + timedelta(days=SPILL_DAYS)


def _ingested(
    spark: SparkSession, lake: Lake, window: Window, reads: Mapping[str, int]
) -> DataFrame:
    ingest_days = Window(_seen_from(window) - timedelta(days=CLOCK_DAYS), window.end)
    return lake.read(spark, EVENTS, window=ingest_days, snapshot_id=reads[EVENTS.name])


def _seen_from(window: Window) -> date:
    return window.start - timedelta(days=LONGEST_GAP_DAYS)


def main(argv: Sequence[str] | None = None) -> int:
    return run(JOB, _body, argv, description=__doc__.splitlines()[0], arguments=_arguments)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--since",
        type=date.fromisoformat,
        metavar="YYYY-MM-DD",
        help="first ingestion day whose events are new; default: the day before the cutoff",
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
    on_time_from = since - timedelta(days=settings.sessions.late_days)
    window = Window(on_time_from - timedelta(days=SPILL_DAYS), cutoff)
    lake = open_lake(settings)
    ingest = f"nightshift ingest --cutoff {cutoff}"
    ingested = lake.require(EVENTS, cutoff - timedelta(days=1), producer=ingest)
    snapshot = lake.snapshot_id(EVENTS)
    assert snapshot is not None, "a table with a commit has a snapshot"

    reads = {EVENTS.name: snapshot}
    spark = open_spark(settings, JOB)
    is_late = _is_late(settings, window)
    late_events = _ingested(spark, lake, window, reads).where(is_late).count()
    sessions = _cut(spark, lake, settings, window=window, reads=reads)
    older = F.when(F.col("session_date") < F.lit(window.start), F.col("num_new"))
    seen = Observation()
    restated = of_days(sessions.observe(seen, F.sum(older).alias("continued_events")), window)
    commit = lake.replace(
        lay_out(restated, SESSIONS, rows_a_day=ingested.num_rows // len(ingested.window.days)),
        SESSIONS,
        window=window,
        run_key=new_run_key(JOB, cutoff),
        reads=reads,
        facts=remembered(settings, "sessions", "time_zone"),
    )
    return {
        "since": since.isoformat(),
        "restated_from": window.start.isoformat(),
        "late_events": late_events,
        "continued_events": seen.get.get("continued_events") or 0,
        "rows": commit.num_rows,
        "run_key": commit.run_key,
        "tables": {SESSIONS.name: commit.said},
    }


if __name__ == "__main__":
    sys.exit(main())
