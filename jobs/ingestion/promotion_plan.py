"""A plan of promotions, as a file beside the days says it: each row an item, a store and a week."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.ingestion.key_text import flawed_value, unfit_key
from jobs.ingestion.load_logs import Place
from jobs.ingestion.read_values import read_mark, read_week
from jobs.ingestion.second_file import load_beside, refuse_bad
from jobs.sources.rows import Promotions


@contextmanager
def read_plan(
    spark: SparkSession, mapping: Promotions, place: Place, *, max_bad_fraction: float
) -> Iterator[DataFrame]:
    """Rows of item_id, store_id, week_start, is_displayed and is_mailed, parsed once.

    Raises DataError, MissingColumnsError, BadLinesError.
    """
    rows = _typed(load_beside(spark, mapping, place, part="promotions"), mapping).persist()
    try:
        refuse_bad(rows, mapping, place, max_bad_fraction=max_bad_fraction)
        yield rows.where(F.col("reason").isNull()).select(
            "item_id", "store_id", "week_start", "is_displayed", "is_mailed"
        )
    finally:
        rows.unpersist()


def _typed(parsed: DataFrame, mapping: Promotions) -> DataFrame:
    text = {name: F.col("fields").getField(name) for name in mapping.columns}
    week_start = read_week(mapping.week, text)
    checks = [
        ("unreadable line", F.col("fields").isNull()),
        ("missing item_id", text[mapping.item_id].isNull()),
        ("missing store_id", text[mapping.store_id].isNull()),
        ("unreadable week", week_start.isNull()),
    ]
    return parsed.select(
        "source",
        "broken",
        F.coalesce(
            F.col("problem"),
            *(F.when(is_bad, F.lit(why)) for why, is_bad in checks),
            flawed_value({"item_id": [mapping.item_id], "store_id": [mapping.store_id]}),
            unfit_key({"item_id": text[mapping.item_id], "store_id": text[mapping.store_id]}),
        ).alias("reason"),
        text[mapping.item_id].alias("item_id"),
        text[mapping.store_id].alias("store_id"),
        week_start.alias("week_start"),
        read_mark(mapping.displayed, text).alias("is_displayed"),
        read_mark(mapping.mailed, text).alias("is_mailed"),
    )
