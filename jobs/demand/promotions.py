"""How widely each item is promoted in each week, from the plan of displays and mailers.

What is planned is known before its week begins, so a forecast may look ahead into it.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def build_promotions(plan: DataFrame) -> DataFrame:
    """Rows of item_id, store_id, week, is_displayed, is_mailed -> the shares of all stores.

    A store counts once for an item and week, however many rows name it.
    """
    num_stores = plan.agg(F.count_distinct("store_id").alias("num_stores"))
    by_store = plan.groupBy("item_id", "week", "store_id").agg(
        F.max(F.col("is_displayed").cast("int")).alias("is_displayed"),
        F.max(F.col("is_mailed").cast("int")).alias("is_mailed"),
    )
    by_item = by_store.groupBy("item_id", "week").agg(
        F.sum("is_displayed").alias("displayed"), F.sum("is_mailed").alias("mailed")
    )
    return by_item.crossJoin(F.broadcast(num_stores)).select(
        "item_id",
        "week",
        (F.col("displayed") / F.col("num_stores")).alias("display_share"),
        (F.col("mailed") / F.col("num_stores")).alias("mailer_share"),
    )
