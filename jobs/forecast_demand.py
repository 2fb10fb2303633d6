"""Forecast the units of each item and day: the mean of the same weekday, with its spread.

reads   series  the partition of the cutoff
writes  demand  partition cutoff=YYYY-MM-DD, replaced whole, so a re-run is safe
key     (item_id, target_date, cutoff)

A baseline and named as one: the expected units of a day are the mean over the same weekday of the
last 8 weeks. The quantiles are those of a count with that mean: negative binomial where the item's
units spread more than a Poisson count would, Poisson otherwise.

    spark-submit jobs/forecast_demand.py --cutoff 2017-11-29
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy import stats

from contracts.errors import ConfigError
from contracts.tables import DEMAND, SERIES
from contracts.windows import Window, history_window, label_window, one_day
from jobs.lake.lake import Lake, new_run_key, open_lake
from jobs.running.program import run
from jobs.running.settings import Settings, remembered
from jobs.running.spark import open_spark

JOB = "forecast_demand"
MODEL_VERSION = "weekday-mean-8w"
WEEKS = 8
WEEK = 7
QUANTILES = {"units_p10": 0.1, "units_p50": 0.5, "units_p90": 0.9}
_FORECAST = ", ".join(["item_id string", "target_date date"] + [f"{q} double" for q in QUANTILES])

Units = NDArray[np.float64]


def forecast_demand(series: DataFrame, *, cutoff: date, demand_days: int) -> DataFrame:
    """One row per item of the series and day from the cutoff on. Runs on the executors."""
    window = history_window(cutoff, days=WEEKS * WEEK)
    history = (
        series.where((F.col("day") >= F.lit(window.start)) & (F.col("day") < F.lit(window.end)))
        .groupBy("item_id")
        .agg(F.sort_array(F.collect_list(F.struct("day", "units"))).alias("days"))
        .select("item_id", F.col("days.units").alias("units"))
    )
    target_dates = label_window(cutoff, horizon_days=demand_days).days

    def forecast(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield _forecast_batch(batch, target_dates)

    return history.mapInArrow(forecast, f"{_FORECAST}, expected_units double").select(
        "item_id",
        "target_date",
        *QUANTILES,
        "expected_units",
        F.lit(MODEL_VERSION).alias("model_version"),
        F.lit(cutoff).alias("cutoff"),
    )


def weekday_counts(units: Units) -> tuple[Units, dict[str, Units]]:
    """(N, 56) units by day, the oldest first -> (N, 7) means and quantiles; column 0 is the cutoff.

    The spread is the item's variance around its weekday means, pooled over the week.
    """
    num_items, num_days = units.shape
    by_week = units.reshape(num_items, num_days // WEEK, WEEK)  # (N, 8, 7)
    mean = by_week.mean(axis=1)  # (N, 7)
    spread = ((by_week - mean[:, None]) ** 2).sum(axis=(1, 2)) / (num_days - WEEK)  # (N,)
    level = mean.mean(axis=1)  # (N,)
    is_wide = spread > level
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
    return mean, {name: np.where(nothing, 0.0, values) for name, values in quantiles.items()}


def _forecast_batch(batch: pa.RecordBatch, target_dates: list[date]) -> pa.RecordBatch:
    lists = batch.column("units")
    num_items, num_targets = batch.num_rows, len(target_dates)
    units = lists.flatten().to_numpy(zero_copy_only=False).reshape(num_items, -1)
    mean, quantiles = weekday_counts(units)
    # 8 whole weeks lie before the cutoff: the first of their days has the cutoff's weekday.
    weekday = np.arange(num_targets) % WEEK
    place = np.repeat(np.arange(num_items), num_targets)
    return pa.RecordBatch.from_pydict(
        {
            "item_id": batch.column("item_id").take(pa.array(place)),
            "target_date": pa.array(target_dates * num_items, pa.date32()),
            **{name: values[:, weekday].ravel() for name, values in quantiles.items()},
            "expected_units": mean[:, weekday].ravel(),
        }
    )


def rows_from(
    spark: SparkSession,
    lake: Lake,
    settings: Settings,
    *,
    window: Window,
    reads: Mapping[str, int],
) -> DataFrame:
    """The rows of a run that reads these snapshots."""
    series = lake.read(spark, SERIES, window=window, snapshot_id=reads[SERIES.name])
    return forecast_demand(series, cutoff=window.start, demand_days=settings.horizons.demand_days)


def main(argv: Sequence[str] | None = None) -> int:
    return run(JOB, _body, argv, description=__doc__.splitlines()[0])


def _body(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    cutoff: date = options.cutoff
    if settings.series.history_days < WEEKS * WEEK:
        raise ConfigError(
            f"{settings.file}: series.history_days",
            found=str(settings.series.history_days),
            expected=f"at least {WEEKS * WEEK}",
            do=f"The forecast {MODEL_VERSION} needs {WEEKS} whole weeks.",
        )
    lake = open_lake(settings)
    series = lake.require(SERIES, cutoff, producer=f"nightshift series --cutoff {cutoff}")
    spark, window = open_spark(settings, JOB), one_day(cutoff)
    reads = {SERIES.name: series.snapshot_id}
    commit = lake.replace(
        rows_from(spark, lake, settings, window=window, reads=reads),
        DEMAND,
        window=window,
        run_key=new_run_key(JOB, cutoff),
        reads=reads,
        facts=remembered(settings, "horizons"),
    )
    return {
        "rows": commit.num_rows,
        "model_version": MODEL_VERSION,
        "run_key": commit.run_key,
        "tables": {DEMAND.name: commit.said},
    }


if __name__ == "__main__":
    sys.exit(main())
