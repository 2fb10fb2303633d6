"""Build each user's event sequence as of a cutoff: one row for every user ever seen before it.

reads   events     what was ingested since the newest earlier cutoff, or everything with --full
        sequences  the partition of that earlier cutoff
writes  sequences  partition cutoff=YYYY-MM-DD, replaced whole, so a re-run is safe
key     (user_id, cutoff)

The latest N of (yesterday's latest N and the new events) are the latest N of all events, so a
night costs one shuffle of the sequences and the new events. The earlier partition is built upon
only while no ingestion day before its cutoff was replaced since; otherwise all is rebuilt.

    spark-submit jobs/build_sequences.py --cutoff 2017-11-29
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import Window as Rows
from pyspark.sql import functions as F

from contracts.tables import EVENTS, SEQUENCES
from contracts.windows import Window, one_day
from jobs.lake.commits import Commit
from jobs.lake.lake import Lake, new_run_key, open_lake
from jobs.running.program import run
from jobs.running.settings import Settings, remembered
from jobs.running.spark import open_spark

JOB = "build_sequences"
MAX_EVENTS = "max_events"  # the fact that a partition must share to be built upon
# So that a sum is the same in whatever order, and however it is split. Between nights it is kept as
# float64, which holds four places up to 5e11.
_MONEY = "decimal(28,4)"

# The fields of an event in a sequence; their order is the sort order, so ties have one order too.
_FIELDS = {
    "event_time": "event_times",
    "event_id": "event_ids",
    "item_id": "item_ids",
    "event_type": "event_types",
    "category": "categories",
    "quantity": "quantities",
    "amount": "amounts",
}
_TOTALS = ("lifetime_events", "lifetime_spend", "first_event_time", "last_event_time")


def build_sequences(
    events: DataFrame, *, cutoff: date, max_events: int, gap_minutes: int
) -> DataFrame:
    """One row per user: the latest ``max_events`` events, oldest first, and totals of all."""
    latest = gather(events, max_events=max_events)
    return _finish(latest, cutoff=cutoff, gap_minutes=gap_minutes)


def extend_sequences(
    earlier: DataFrame, events: DataFrame, *, cutoff: date, max_events: int, gap_minutes: int
) -> DataFrame:
    """The same, from an earlier cutoff's sequences and the events ingested since."""
    known = earlier.select(
        "user_id",
        F.arrays_zip(*(F.col(many).alias(one) for one, many in _FIELDS.items())).alias("latest"),
        "lifetime_events",
        F.col("lifetime_spend").cast(_MONEY).alias("lifetime_spend"),
        "first_event_time",
        "last_event_time",
    )
    new = gather(events, max_events=max_events)
    both = known.alias("old").join(new.alias("new"), on="user_id", how="full")
    nothing = F.array().cast(new.schema["latest"].dataType)
    merged = F.sort_array(
        F.concat(F.coalesce("old.latest", nothing), F.coalesce("new.latest", nothing))
    )
    return _finish(
        both.select(
            "user_id",
            _last(merged, max_events).alias("latest"),
            _added("lifetime_events", "bigint"),
            _added("lifetime_spend", _MONEY),
            F.least("old.first_event_time", "new.first_event_time").alias("first_event_time"),
            F.greatest("old.last_event_time", "new.last_event_time").alias("last_event_time"),
        ),
        cutoff=cutoff,
        gap_minutes=gap_minutes,
    )


def gather(events: DataFrame, *, max_events: int) -> DataFrame:
    """Each user's latest events as an array of structs, oldest first, and exact totals of all."""
    event = F.struct(
        "event_time",
        "event_id",
        "item_id",
        "event_type",
        F.coalesce("category", F.lit("")).alias("category"),
        F.coalesce("quantity", F.lit(0.0)).alias("quantity"),
        F.coalesce("amount", F.lit(0.0)).alias("amount"),
    )
    newest_first = Rows.partitionBy("user_id").orderBy(F.desc("event"))
    numbered = events.select("user_id", event.alias("event")).withColumn(
        "place", F.row_number().over(newest_first)
    )
    is_kept = F.col("place") <= max_events
    return numbered.groupBy("user_id").agg(
        F.sort_array(F.collect_list(F.when(is_kept, F.col("event")))).alias("latest"),
        F.count(F.lit(1)).alias("lifetime_events"),
        F.sum(F.col("event.amount").cast("decimal(18,4)")).cast(_MONEY).alias("lifetime_spend"),
        F.min("event.event_time").alias("first_event_time"),
        F.max("event.event_time").alias("last_event_time"),
    )


def _finish(gathered: DataFrame, *, cutoff: date, gap_minutes: int) -> DataFrame:
    latest = F.col("latest")
    arrays = [latest.getField(one).alias(many) for one, many in _FIELDS.items()]
    return gathered.select(
        "user_id",
        *arrays,
        _session_starts(latest.getField("event_time"), gap_minutes).alias("session_starts"),
        "lifetime_events",
        F.col("lifetime_spend").cast("double").alias("lifetime_spend"),
        "first_event_time",
        "last_event_time",
        F.lit(cutoff).alias("cutoff"),
    )


def _session_starts(times: Column, gap_minutes: int) -> Column:
    """True for the first event kept, and for each that follows a silence longer than the gap."""
    before = F.concat(F.array(F.lit(None).cast("timestamp")), F.slice(times, 1, F.size(times) - 1))
    gap = gap_minutes * 60 * 1_000_000

    def starts(now: Column, last: Column) -> Column:
        return F.coalesce(F.unix_micros(now) - F.unix_micros(last) > gap, F.lit(True))

    return F.zip_with(times, before, starts)


def _last(array: Column, count: int) -> Column:
    return F.slice(array, F.greatest(F.size(array) - count + 1, F.lit(1)), F.lit(count))


def _added(name: str, kind: str) -> Column:
    zero = F.lit(0).cast(kind)
    total = F.coalesce(f"old.{name}", zero) + F.coalesce(f"new.{name}", zero)
    return total.cast(kind).alias(name)


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
    cutoff = window.start
    max_events, gap = settings.sequences.max_events, settings.sessions.gap_minutes
    snapshot, base_id = reads[EVENTS.name], reads.get(SEQUENCES.name)
    if base_id is None:
        events = lake.read(spark, EVENTS, window=Window(date.min, cutoff), snapshot_id=snapshot)
        return build_sequences(events, cutoff=cutoff, max_events=max_events, gap_minutes=gap)
    base = lake.commit_at(SEQUENCES, base_id).window
    events = lake.read(spark, EVENTS, window=Window(base.start, cutoff), snapshot_id=snapshot)
    earlier = lake.read(spark, SEQUENCES, window=base, snapshot_id=base_id)
    return extend_sequences(earlier, events, cutoff=cutoff, max_events=max_events, gap_minutes=gap)


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

    spark, window = open_spark(settings, JOB), one_day(cutoff)
    commit = lake.replace(
        rows_from(spark, lake, settings, window=window, reads=reads),
        SEQUENCES,
        window=window,
        run_key=new_run_key(JOB, cutoff),
        reads=reads,
        facts={MAX_EVENTS: str(max_events), **remembered(settings, "sequences", "sessions")},
    )
    return {
        "mode": "full" if base is None else f"since {base.window.start}",
        "rows": commit.num_rows,
        "run_key": commit.run_key,
        "tables": {SEQUENCES.name: commit.said},
    }


if __name__ == "__main__":
    sys.exit(main())
