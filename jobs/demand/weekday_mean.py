"""The forecast of a night without a champion: the mean of the same weekday, with its spread.

A baseline and named as one: the expected units of a day are the mean over the same weekday of the
last 8 weeks, and 0 where more came back. The quantiles are those of a count: negative binomial
where the item's units spread more than a Poisson count would, Poisson otherwise. Its mean is the
weekday's, drawn towards that of the week as far as weekdays of so few sales differ by chance.
"""

from collections.abc import Iterator
from datetime import date
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy import stats

from contracts.tables import DEMAND, DEMAND_BY_CATEGORY, Table
from contracts.windows import history_window, label_window
from jobs.build_series import SCALE

MODEL_VERSION = "weekday-mean-8w"
WEEKS = 8
WEEK = 7
MILLION = 1_000_000
RHYTHM = 0.05  # variance of the weekdays' true shares of a week's mean, as most shops have it
QUANTILES = {"units_p10": 0.1, "units_p50": 0.5, "units_p90": 0.9}

Units = NDArray[np.float64]


def weekday_mean(series: DataFrame, *, cutoff: date, demand_days: int) -> dict[Table, DataFrame]:
    """One row per item and day from the cutoff on, and one per category. On the executors.

    A category sold what its items sold, and its mean is the sum of theirs.
    """
    window = history_window(cutoff, days=WEEKS * WEEK)
    sold = series.where(
        (F.col("day") >= F.lit(window.start)) & (F.col("day") < F.lit(window.end))
    ).select("item_id", F.coalesce("category", F.lit("")).alias("category"), "day", "units")
    in_parts = F.round(F.col("units") * SCALE).cast("bigint")  # their sum has no order
    of_categories = sold.groupBy("category", "day").agg((F.sum(in_parts) / SCALE).alias("units"))
    rows = partial(
        _forecast, cutoff=cutoff, days=label_window(cutoff, horizon_days=demand_days).days
    )
    items = rows(sold, ["item_id", "category"])
    key = ["category", "target_date"]
    in_millionths = F.sum(F.round(F.col("expected_units") * MILLION).cast("bigint"))
    sums = items.groupBy(*key).agg((in_millionths / MILLION).alias("expected_units"))
    categories = rows(of_categories, ["category"]).drop("expected_units")
    return {
        DEMAND: items,
        DEMAND_BY_CATEGORY: categories.join(sums, on=key, how="inner").select(
            *DEMAND_BY_CATEGORY.column_names
        ),
    }


def _forecast(sold: DataFrame, names: list[str], *, cutoff: date, days: list[date]) -> DataFrame:
    """Rows of the names, day and units -> a row for each series of these names and day ahead."""
    history = (
        sold.groupBy(*names)
        .agg(F.sort_array(F.collect_list(F.struct("day", "units"))).alias("days"))
        .select(*names, F.col("days.units").alias("units"))
    )

    def forecast(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield _forecast_batch(batch, days)

    columns = [*(f"{name} string" for name in names), "target_date date"]
    columns += [f"{name} double" for name in (*QUANTILES, "expected_units")]
    return history.mapInArrow(forecast, ", ".join(columns)).select(
        *names,
        "target_date",
        *QUANTILES,
        "expected_units",
        F.lit(MODEL_VERSION).alias("model_version"),
        F.lit(cutoff).alias("cutoff"),
    )


def weekday_counts(units: Units) -> tuple[Units, dict[str, Units]]:
    """(N, 56) units by day, the oldest first -> (N, 7) means and quantiles; column 0 is the cutoff.

    The spread is the item's variance around its weekdays' levels, pooled over the week. A weekday's
    level is its mean and the week's, weighed by how much true weekdays differ and how much counts
    of so few sales do.
    """
    num_items, num_days = units.shape
    num_weeks = num_days // WEEK
    by_week = units.reshape(num_items, num_weeks, WEEK)  # (N, 8, 7)
    of_weekday = by_week.mean(axis=1)  # (N, 7)
    level = np.maximum(of_weekday.mean(axis=1), 0.0)  # (N,)
    signal = num_weeks * RHYTHM * level  # (N,) in variances of a weekday's mean by chance
    weight = (signal / (1.0 + signal))[:, None]  # (N, 1)
    mean = np.maximum(level[:, None] + weight * (of_weekday - level[:, None]), 0.0)  # (N, 7)
    freedom = num_days - 1 - (WEEK - 1) * weight[:, 0]  # (N,)
    spread = ((by_week - mean[:, None]) ** 2).sum(axis=(1, 2)) / freedom  # (N,)
    is_wide = (spread > level) & (level > 0)
    excess = np.where(is_wide, spread - level, 1.0)
    size = np.where(is_wide, level**2 / excess, 1.0)[:, None]  # (N, 1): variance = m + m²/size
    chance = size / (size + mean)  # (N, 7)
    quantiles = {
        name: np.where(
            is_wide[:, None], stats.nbinom.ppf(q, size, chance), stats.poisson.ppf(q, mean)
        )
        for name, q in QUANTILES.items()
    }
    nothing = mean <= 0
    expected = np.round(np.maximum(of_weekday, 0.0), 6)  # so that sums have no order
    return expected, {name: np.where(nothing, 0.0, values) for name, values in quantiles.items()}


def _forecast_batch(batch: pa.RecordBatch, target_dates: list[date]) -> pa.RecordBatch:
    lists = batch.column("units")
    names = [name for name in batch.schema.names if name != "units"]
    num_series, num_targets = batch.num_rows, len(target_dates)
    units = lists.flatten().to_numpy(zero_copy_only=False).reshape(num_series, -1)
    mean, quantiles = weekday_counts(units)
    # 8 whole weeks lie before the cutoff: the first of their days has the cutoff's weekday.
    weekday = np.arange(num_targets) % WEEK
    place = pa.array(np.repeat(np.arange(num_series), num_targets))
    return pa.RecordBatch.from_pydict(
        {
            **{name: batch.column(name).take(place) for name in names},
            "target_date": pa.array(target_dates * num_series, pa.date32()),
            **{name: values[:, weekday].ravel() for name, values in quantiles.items()},
            "expected_units": mean[:, weekday].ravel(),
        }
    )
