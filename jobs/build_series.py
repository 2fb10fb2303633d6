"""Build each item's units and revenue per day before a cutoff, the days without a sale included.

reads   events  purchases and returns of the `series.history_days` before the cutoff
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
from contracts.money import Money
from contracts.tables import EVENTS, SERIES
from contracts.windows import CLOCK_DAYS, Window, history_window, one_day
from jobs.excluded_items import is_excluded
from jobs.lake.lake import Lake, new_run_key, open_lake
from jobs.lake.money_columns import counted_amount, counted_quantity, moves_money
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
    money: Money,
    zone: str,
) -> DataFrame:
    """One row per chosen item and day of the history window; 0 where nothing moved.

    Units and revenue are counted as `docs/money.md` says: net of returns, each on its own day, so
    that a day may be below 0, or gross. An item's category is the one that a line named last.
    """
    window = history_window(cutoff, days=history_days)
    moved = _moved(events, window, money, zone)
    of_day = F.struct("units", "revenue")
    items = (
        _by_day(moved)
        .join(_chosen(moved, exclusions), on="item_id", how="inner")
        .groupBy("item_id", "category")
        .agg(
            F.count_if(F.col("units") > 0).alias("days_sold"),
            F.map_from_entries(F.collect_list(F.struct("day", of_day))).alias("sales"),
        )
        .where(F.col("days_sold") > 0)  # an item that only came back is not for sale
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
    events: DataFrame, *, window: Window, exclusions: Exclusions, money: Money, zone: str
) -> DataFrame:
    """One row per item and day of the window on which it moved, counted as in the series."""
    moved = _moved(events, window, money, zone)
    return (
        _by_day(moved)
        .join(_chosen(moved, exclusions), on="item_id", how="inner")
        .select("item_id", "category", "day", (F.col("units") / SCALE).alias("units"))
    )


def _moved(events: DataFrame, window: Window, money: Money, zone: str) -> DataFrame:
    """The lines that count, with whole ten-thousandths: their sums do not depend on an order."""
    day = F.to_date(F.from_utc_timestamp("event_time", zone))
    return events.where(moves_money(money) & (day >= window.start) & (day < window.end)).select(
        "item_id",
        "category",
        day.alias("day"),
        "event_time",
        F.round(counted_quantity(money) * SCALE).cast("bigint").alias("units"),
        F.round(counted_amount(money) * SCALE).cast("bigint").alias("revenue"),
    )


def _by_day(moved: DataFrame) -> DataFrame:
    """Units and revenue of each item on each day on which it was bought or came back."""
    sums = [F.sum(name).alias(name) for name in ("units", "revenue")]
    return moved.groupBy("item_id", "day").agg(*sums)


def _chosen(moved: DataFrame, exclusions: Exclusions) -> DataFrame:
    """Each item that is not excluded, with the category that a line of it named last.

    Null where none has named one. First by category, which needs no sort.
    """
    latest = moved.groupBy("item_id", "category").agg(F.max("event_time").alias("latest"))
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
        money=settings.money,
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
        facts=remembered(settings, "series", "exclusions", "money", "time_zone"),
    )
    return {
        "rows": commit.num_rows,
        "items": commit.num_rows // settings.series.history_days,
        "run_key": commit.run_key,
        "tables": {SERIES.name: commit.said},
    }


if __name__ == "__main__":
    sys.exit(main())
