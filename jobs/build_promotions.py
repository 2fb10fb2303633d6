"""Bring the plan of promotions into the lake: how widely each item is promoted in each week.

reads   the files that `promotions` of the source's mapping names, beside the days of the raw log
writes  promotions  every week that these files name, replaced whole, so a re-run is safe
key     (item_id, week_start)

    spark-submit jobs/build_promotions.py --cutoff 2017-11-29

What is planned is known before its week begins, so that a forecast may look ahead into it: run this
whenever there is a new plan.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from contracts.errors import ConfigError, DataError
from contracts.tables import PROMOTIONS
from contracts.windows import Window
from jobs.ingestion.load_logs import Place
from jobs.ingestion.promotion_plan import read_plan
from jobs.lake.lake import new_run_key, open_lake
from jobs.running.program import run
from jobs.running.settings import Settings
from jobs.running.spark import open_spark
from jobs.sources.mapping import load_source

JOB = "build_promotions"


def build_promotions(plan: DataFrame) -> DataFrame:
    """Rows of item_id, store_id, week_start, is_displayed, is_mailed -> the shares of all stores.

    A store counts once for an item and week, however many rows name it.
    """
    num_stores = plan.agg(F.count_distinct("store_id").alias("num_stores"))
    by_store = plan.groupBy("item_id", "week_start", "store_id").agg(
        F.max(F.col("is_displayed").cast("int")).alias("is_displayed"),
        F.max(F.col("is_mailed").cast("int")).alias("is_mailed"),
    )
    by_item = by_store.groupBy("item_id", "week_start").agg(
        F.sum("is_displayed").alias("displayed"), F.sum("is_mailed").alias("mailed")
    )
    return by_item.crossJoin(F.broadcast(num_stores)).select(
        "item_id",
        "week_start",
        (F.col("displayed") / F.col("num_stores")).alias("display_share"),
        (F.col("mailed") / F.col("num_stores")).alias("mailer_share"),
    )


def weeks_of(plan: DataFrame, *, where: str) -> Window:
    """From the first week's first day to that of the last. Raises DataError where there is none."""
    row = plan.agg(F.min("week_start"), F.max("week_start")).collect()[0]
    if row[0] is None:
        raise DataError(
            where,
            found="no row",
            expected="a week at least of which a promotion is planned",
            do="Nothing was committed. Ask for the plan again, then run this again.",
        )
    return Window(row[0], row[1] + timedelta(days=1))


def main(argv: Sequence[str] | None = None) -> int:
    return run(JOB, _body, argv, description=__doc__.splitlines()[0])


def _body(options: argparse.Namespace, settings: Settings) -> Mapping[str, Any]:
    mapping = load_source(settings.source_file).promotions
    if mapping is None:
        raise ConfigError(
            f"{settings.source_file}: promotions",
            found="nothing",
            expected="the files of a plan, and what their columns are",
            do="Describe them as configs/sources/jsonl.yaml does; forecasts need no plan.",
        )
    lake, spark = open_lake(settings), open_spark(settings, JOB)
    place = Place(str(settings.raw_folder), str(settings.source_file))
    most_bad = settings.ingest.max_bad_fraction
    with read_plan(spark, mapping, place, max_bad_fraction=most_bad) as plan:
        promotions = build_promotions(plan)
        weeks = weeks_of(plan, where=f"{place.folder}/{mapping.files}")
        commit = lake.replace(
            promotions.repartition(settings.spark.partitions, "week_start"),
            PROMOTIONS,
            window=weeks,
            run_key=new_run_key(JOB, options.cutoff),
            reads={},
        )
    return {
        "rows": commit.num_rows,
        "planned_from": weeks.start.isoformat(),
        "last_week": (weeks.end - timedelta(days=1)).isoformat(),
        "run_key": commit.run_key,
        "tables": {PROMOTIONS.name: commit.said},
    }


if __name__ == "__main__":
    sys.exit(main())
