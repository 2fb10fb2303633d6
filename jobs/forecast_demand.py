"""Forecast the units of each item, category and day, by the demand champion or by weekday means.

reads   series              the partition of the cutoff
        promotions          of the days before it and ahead, where the champion learnt from them
        registry            the forecaster with the alias `champion`
writes  demand_by_category  partition cutoff=YYYY-MM-DD, replaced whole, so a re-run is safe
        demand              the same, by the same run, and last: it says done
key     (category, target_date, cutoff) and (item_id, target_date, cutoff)

    spark-submit jobs/forecast_demand.py --cutoff 2017-11-29

`model_version` says who forecast: `<registered model>/<version>`, or `weekday-mean-8w` where no
forecaster has passed its gate yet. The champion runs beside the driver, in one process: what it
reads is bounded by `series.top_items`, and 5,000 items take it seconds.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from pyspark.sql import DataFrame, SparkSession

from contracts.errors import ConfigError, NoChampionError
from contracts.tables import DEMAND, DEMAND_BY_CATEGORY, PROMOTIONS, SERIES, Table
from contracts.windows import Window, history_window, one_day
from jobs.demand.panels import demand_rows, panel_from
from jobs.demand.plans import read_planned, require_plan
from jobs.demand.weekday_mean import MODEL_VERSION, WEEK, WEEKS, weekday_mean
from jobs.lake.column_types import spark_schema
from jobs.lake.lake import Lake, new_run_key, open_lake
from jobs.registries import open_registry, verdict_key
from jobs.running.program import run
from jobs.running.settings import Settings, remembered
from jobs.running.spark import open_spark
from models.demand.artifact import load_forecaster
from models.demand.forecast import Forecaster
from models.registry.admission import fetch_admitted, require_admitted
from models.registry.registry import CHAMPION
from models.registry.signing import VerdictKey

JOB = "forecast_demand"
VERSION = "model_version"  # the fact that says who forecast


def rows_from(
    spark: SparkSession,
    lake: Lake,
    settings: Settings,
    *,
    window: Window,
    reads: Mapping[str, int],
    forecaster: Forecaster | None,
    model_version: str,
) -> dict[Table, DataFrame]:
    """The rows of a run that reads these snapshots and asks this forecaster; None: the rule."""
    cutoff, snapshot = window.start, reads[SERIES.name]
    if forecaster is None:
        series = lake.read(spark, SERIES, window=window, snapshot_id=snapshot)
        return weekday_mean(series, cutoff=cutoff, demand_days=settings.horizons.demand_days)
    torch.set_num_threads(1)  # a second run of a night does the same sums in the same order
    columns = ["item_id", "category", "day", "units"]
    rows = lake.read_arrow(SERIES, window=window, columns=columns, snapshot_id=snapshot)
    seen = history_window(cutoff, days=settings.series.history_days)
    panel = panel_from(rows, first_day=seen.start, end_day=seen.end)
    if PROMOTIONS.name in reads:
        horizon, plan = settings.horizons.demand_days, reads[PROMOTIONS.name]
        panel = read_planned(lake, panel, horizon_days=horizon, snapshot_id=plan)
    found = demand_rows(forecaster, panel, cutoff, model_version=model_version)
    return {
        table: spark.createDataFrame(rows, spark_schema(table)) for table, rows in found.items()
    }


@contextmanager
def asked(
    settings: Settings, model_version: str, *, key: VerdictKey | None
) -> Iterator[Forecaster | None]:
    """The forecaster that a fact names; None is the rule. Raises UnreachableError, ConfigError.

    With a key, NotAdmittedError and DamagedModelError too; a past night is rebuilt without one.
    """
    if model_version == MODEL_VERSION:
        yield None
        return
    registry = open_registry(settings, settings.demand.model)
    with TemporaryDirectory(prefix="nightshift-") as folder:
        version, to = registry.resolve(model_version.rpartition("/")[2]), Path(folder)
        source = (
            fetch_admitted(registry, version, key, to) if key else registry.download(version, to)
        )
        yield load_forecaster(source)


def champion_of(settings: Settings) -> str:
    """Who forecasts tonight, pinned by version. Raises UnreachableError, NotAdmittedError."""
    registry = open_registry(settings, settings.demand.model)
    try:
        champion = registry.resolve(CHAMPION)
    except NoChampionError:
        return MODEL_VERSION
    require_admitted(champion, verdict_key(settings))
    return f"{registry.model}/{champion.version}"


def refuse_other_horizon(forecaster: Forecaster, settings: Settings, version: str) -> None:
    """Raise ConfigError where the champion forecasts more or fewer days than is asked for."""
    wanted = settings.horizons.demand_days
    if forecaster.horizon_days != wanted:
        raise ConfigError(
            version,
            found=f"a forecaster of {forecaster.horizon_days} days",
            expected=f"horizons.demand_days, {wanted}",
            do="Run `nightshift train-demand`, or set horizons.demand_days back.",
        )


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
    window, reads = one_day(cutoff), {SERIES.name: series.snapshot_id}
    version = champion_of(settings)
    with asked(settings, version, key=verdict_key(settings)) as forecaster:
        if forecaster is not None:
            refuse_other_horizon(forecaster, settings, version)
        if forecaster is not None and forecaster.sees_promotions:
            reads[PROMOTIONS.name] = require_plan(lake, cutoff)
        rows = rows_from(
            open_spark(settings, JOB),
            lake,
            settings,
            window=window,
            reads=reads,
            forecaster=forecaster,
            model_version=version,
        )
    run_key = new_run_key(JOB, cutoff)
    staged = [
        lake.stage(rows[table], table, window=window, run_key=run_key)
        for table in (DEMAND_BY_CATEGORY, DEMAND)  # demand last: it says done
    ]
    facts = {**remembered(settings, "horizons", "series", "exclusions"), VERSION: version}
    commits = [lake.commit(one, reads=reads, facts=facts) for one in staged]
    return {
        "rows": commits[-1].num_rows,
        "model_version": version,
        "run_key": run_key,
        "tables": {commit.table: commit.said for commit in commits},
    }


if __name__ == "__main__":
    sys.exit(main())
