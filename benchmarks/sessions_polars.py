"""The sessions job in Polars: one side of `benchmarks/spark.py`.

python -m benchmarks.sessions_polars EVENTS OUTPUT
"""

import json
import os
import sys
import time
from datetime import timedelta
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "2"
import polars as pl

COLUMNS = [
    "event_id", "user_id", "item_id", "event_type", "event_time",
    "category", "price", "quantity", "amount",
]  # fmt: skip


def main(events: str, output: str) -> None:
    Path(output).mkdir(parents=True)
    begun = time.monotonic()
    in_order = (
        pl.scan_parquet(f"{events}/**/*.parquet", hive_partitioning=False)
        .select(COLUMNS)
        .sort("user_id", "event_time", "event_id")
    )
    is_new_user = pl.col("user_id") != pl.col("user_id").shift(1)
    silence = pl.col("event_time") - pl.col("event_time").shift(1)
    starts = (is_new_user | (silence > timedelta(minutes=30))).fill_null(True)
    first = pl.when("starts")
    enriched = (
        in_order.with_columns(starts.alias("starts"), pl.int_range(pl.len()).alias("place"))
        .with_columns(
            first.then("event_id").otherwise(None).forward_fill().alias("session_id"),
            first.then("place").otherwise(None).forward_fill().alias("first_place"),
            first.then("event_time").otherwise(None).forward_fill().alias("start_time"),
        )
        .select(
            "session_id",
            (pl.col("place") - pl.col("first_place") + 1).cast(pl.Int32).alias("position"),
            *COLUMNS,
            pl.col("start_time").dt.date().alias("session_date"),
        )
        .collect()
    )
    enriched.write_parquet(f"{output}/session_events.parquet", compression="zstd")
    (
        enriched.lazy()
        .group_by("session_id")
        .agg(
            pl.col("user_id").first(),
            pl.col("event_time").min().alias("start_time"),
            pl.col("event_time").max().alias("end_time"),
            pl.len().cast(pl.Int64).alias("num_events"),
            pl.col("item_id").n_unique().cast(pl.Int64).alias("num_items"),
            (
                (pl.col("amount").filter(pl.col("event_type") == "purchase").fill_null(0) * 10000)
                .round()
                .cast(pl.Int64)
                .sum()
                / 10000
            ).alias("spend"),
            ((pl.col("event_type") == "purchase") & (pl.col("amount").fill_null(1.0) > 0))
            .any()
            .alias("is_converted"),
            pl.col("session_date").first(),
        )
        .collect()
        .write_parquet(f"{output}/sessions.parquet", compression="zstd")
    )
    print(json.dumps({"seconds": round(time.monotonic() - begun, 2)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
