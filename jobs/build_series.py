"""Build each item's units and revenue per day before a cutoff, the days without a sale included.

reads   events  purchases of the `series.history_days` before the cutoff
writes  series  partition cutoff=YYYY-MM-DD, replaced whole, so a re-run is safe
key     (item_id, day, cutoff)

Only the `series.top_items` with the most days of sales, and none that `exclusions` leave out.

    spark-submit jobs/build_series.py --cutoff 2017-11-29
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.exclusions import Exclusions
from contracts.tables import EVENTS, PURCHASE, SERIES
from contracts.windows import CLOCK_DAYS, Window, history_window, one_day
from jobs.excluded_items import is_excluded
from jobs.lake.lake import Lake, new_run_key, open_lake
from jobs.running.program import run
from jobs.running.settings import Settings, remembered
from jobs.running.spark import open_spark

JOB = "build_series"
SCALE = 10_000  # units and currency are summed in whole parts of this size


def build_series(
    events: DataFrame,
    *,
    cutoff: date,
    history_days: int,
    top_items: int,
    exclusions: Exclusions,
    zone: str,
) -> DataFrame:
    """One row per chosen item and day of the history window; 0 where nothing was sold.

    An item's category is the one that a purchase named last. A line without a quantity sold one
    unit, a line with a negative one (a return) none.
    """
    window = history_window(cutoff, days=history_days)
    sold = _sold(events, window, zone)
    of_day = F.struct("units", "revenue")
    items = (
        _by_day(sold)
        .join(_chosen(sold, exclusions), on="item_id", how="inner")
        .groupBy("item_id", "category")
        .agg(
            F.count_if(F.col("units") > 0).alias("days_sold"),
            F.map_from_entries(F.collect_list(F.struct("day", of_day))).alias("sales"),
        )
        .orderBy(F.desc("days_sold"), "item_id")
        .limit(top_items)
    )
    days = F.explode(F.sequence(F.lit(window.start), F.lit(window.end - timedelta(days=1))))
    grid = items.select("item_id", "category", "sales", days.alias("day"))
    of_that_day = F.col("sales")[F.col("day")]
    return grid.select(
        "item_id",
        "category",
        "day",
        F.coalesce(of_that_day["units"] / SCALE, F.lit(0.0)).alias("units"),
        F.coalesce(of_that_day["revenue"] / SCALE, F.lit(0.0)).alias("revenue"),
        F.lit(cutoff).alias("cutoff"),
    )


def units_by_day(
    events: DataFrame, *, window: Window, exclusions: Exclusions, zone: str
) -> DataFrame:
    """One row per item and day of the window on which it was sold, counted as in the series."""
    sold = _sold(events, window, zone)
    return (
        _by_day(sold)
        .join(_chosen(sold, exclusions), on="item_id", how="inner")
        .select("item_id", "category", "day", (F.col("units") / SCALE).alias("units"))
    )


def _sold(events: DataFrame, window: Window, zone: str) -> DataFrame:
    """The lines that count, with whole ten-thousandths: their sums do not depend on an order."""
    is_wanted = F.col("event_type") == PURCHASE
    units = F.greatest(F.coalesce("quantity", F.lit(1.0)), F.lit(0.0))
    revenue = F.coalesce("amount", F.lit(0.0))
    day = F.to_date(F.from_utc_timestamp("event_time", zone))
    return events.where(is_wanted & (day >= window.start) & (day < window.end)).select(
        "item_id",
        "category",
        day.alias("day"),
        "event_time",
        F.round(units * SCALE).cast("bigint").alias("units"),
        F.round(revenue * SCALE).cast("bigint").alias("revenue"),
    )


def _by_day(sold: DataFrame) -> DataFrame:
    """Units and revenue of each item on each day on which it was bought."""
    sums = [F.sum(name).alias(name) for name in ("units", "revenue")]
    return sold.groupBy("item_id", "day").agg(*sums)


def _chosen(sold: DataFrame, exclusions: Exclusions) -> DataFrame:
    """Each item that is not excluded, with the category that a line of it named last.

    Null where none has named one. First by category, which needs no sort.
    """
    latest = sold.groupBy("item_id", "category").agg(F.max("event_time").alias("latest"))
    is_named = F.col("category").isNotNull()
    items = latest.groupBy("item_id").agg(
        F.max_by("category", F.struct(is_named, "latest", "category")).alias("category")
    )
    return items.where(~is_excluded(exclusions, item_id="item_id", category="category"))


def rows_from(
    spark: SparkSession,
    lake: Lake,
    settings: Settings,
    *,
    window: Window,
    reads: Mapping[str, int],
) -> DataFrame:
    """The rows of a run that reads these snapshots."""
    cutoff, chosen = window.start, settings.series
    ingest_days = history_window(cutoff, days=chosen.history_days + CLOCK_DAYS)
    return build_series(
        lake.read(spark, EVENTS, window=ingest_days, snapshot_id=reads[EVENTS.name]),
        cutoff=cutoff,
        history_days=chosen.history_days,
        top_items=chosen.top_items,
        exclusions=settings.exclusions.rules,
        zone=settings.time_zone,
    )


def main(argv: Sequence[str] | None = None) -> int:
    return run(JOB, _body, argv, description=__doc__.splitlines()[0])


def _body(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    cutoff: date = options.cutoff
    lake = open_lake(settings)
    ingest = f"nightshift ingest --cutoff {cutoff}"
    snapshot = lake.require_snapshot(EVENTS, cutoff - timedelta(days=1), producer=ingest)

    spark, window, reads = open_spark(settings, JOB), one_day(cutoff), {EVENTS.name: snapshot}
    series = rows_from(spark, lake, settings, window=window, reads=reads)
    commit = lake.replace(
        series.repartition(settings.spark.partitions, "item_id"),
        SERIES,
        window=window,
        run_key=new_run_key(JOB, cutoff),
        reads=reads,
        facts=remembered(settings, "series", "exclusions", "time_zone"),
    )
    return {
        "rows": commit.num_rows,
        "items": commit.num_rows // settings.series.history_days,
        "run_key": commit.run_key,
        "tables": {SERIES.name: commit.said},
    }


if __name__ == "__main__":
    sys.exit(main())
