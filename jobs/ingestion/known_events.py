"""What becomes of the lines of a load, beside the events that the lake holds already."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.tables import EVENTS
from contracts.windows import CLOCK_DAYS, Window, history_window, one_day
from jobs.ingestion.line_fates import identity, mark_duplicates, old_events
from jobs.lake.lake import Lake
from jobs.running.settings import Settings


@dataclass(frozen=True)
class Lately:
    """What the lake holds of the ingestion days before a load."""

    newest: date | None  # the latest day on which one of their events happened
    usual_events: float  # of a day, in the days in which ids are looked for


def lately_ingested(lake: Lake, start: date, *, days: int, zone: ZoneInfo) -> Lately:
    """By the lake's metadata alone: no file is opened."""
    ingested = [day for day in lake.partitions(EVENTS) if day < start]
    last = next((day for day in reversed(ingested) if lake.has(EVENTS, one_day(day))), None)
    snapshot_id = lake.snapshot_id(EVENTS)
    if last is None or snapshot_id is None:
        return Lately(None, 0.0)
    near = Window(last - timedelta(days=max(days - 1, 0)), last + timedelta(days=1))
    newest = lake.latest(EVENTS, "event_time", window=near, snapshot_id=snapshot_id)
    groups = lake.row_groups(EVENTS, window=near, snapshot_id=snapshot_id)
    num_days = sum(near.start <= day < near.end for day in ingested)
    usual_events = sum(group.num_rows for group in groups) / num_days
    return Lately(newest.astimezone(zone).date() if newest else None, usual_events)


def count_stale(fates: DataFrame, newest: date | None, *, dedupe_days: int) -> dict[date, int]:
    """Ingestion day → its events from more than ``dedupe_days`` before the newest known before it.

    Where deliveries are always late, by however much, each still brings what is newest then.
    ``newest``: before the load; without it the first day brings nothing but what is new.
    """
    is_event = F.col("reason").isNull() & ~F.col("is_duplicate")
    rows = (
        fates.where(is_event)
        .groupBy("ingest_date", "event_day")
        .agg(F.count(F.lit(1)).alias("events"))
        .collect()
    )
    stale: dict[date, int] = {}
    for day in sorted({row["ingest_date"] for row in rows}):
        mine = {row["event_day"]: row["events"] for row in rows if row["ingest_date"] == day}
        if newest is not None:
            limit = newest - timedelta(days=dedupe_days)
            stale[day] = sum(events for happened, events in mine.items() if happened < limit)
        newest = max(*mine, newest or date.min, date.min)
    return stale


@contextmanager
def marked_lines(
    lake: Lake,
    settings: Settings,
    mapped: DataFrame,
    *,
    window: Window,
    snapshot_id: int | None,
    repeated: Collection[str],
) -> Iterator[tuple[DataFrame, DataFrame]]:
    """The lines with what becomes of them, held in memory, and the known events they came beside.

    Ids are looked for in the `ingest.dedupe_days` before the load. Those of events that happened
    before these days are looked for in all of the lake, which costs nothing where there are none.
    """
    spark, held = mapped.sparkSession, []
    days = settings.ingest.dedupe_days
    before = history_window(window.start, days=days)
    earlier = lake.read(spark, EVENTS, window=before, snapshot_id=snapshot_id)
    try:
        fates = mark_duplicates(mapped, earlier, dedupe_days=days, repeated=repeated).persist()
        held.append(fates)
        older = _older(spark, lake, settings, fates, before=before, snapshot_id=snapshot_id)
        if older is not None:
            held.append(older.persist())
            if older.count():
                earlier = earlier.unionByName(older)
                again = mark_duplicates(mapped, earlier, dedupe_days=days, repeated=repeated)
                held.append(again.persist())
                fates = again
        yield fates, earlier
    finally:
        for frame in held:
            frame.unpersist()


def _older(
    spark: SparkSession,
    lake: Lake,
    settings: Settings,
    fates: DataFrame,
    *,
    before: Window,
    snapshot_id: int | None,
) -> DataFrame | None:
    """The lake's events from before those days that share their id with an old event."""
    old = old_events(fates)
    first, last = old.agg(F.min("event_day"), F.max("event_day")).collect()[0]
    if first is None:
        return None
    days = Window(first - timedelta(days=CLOCK_DAYS), before.start)
    if days.start >= days.end or not lake.has(EVENTS, days):
        return None
    start, end = Window(first, last + timedelta(days=1)).instants(settings.zone)
    events = lake.read(spark, EVENTS, window=days, snapshot_id=snapshot_id)
    near = events.where((F.col("event_time") >= start) & (F.col("event_time") < end))
    ids = old.select("identity").distinct()
    return near.join(ids, on=identity() == F.col("identity"), how="left_semi")
