"""Train a demand forecaster as of a cutoff, judge it, and make it champion where the rule holds.

reads   series      partition cutoff=YYYY-MM-DD: which items are forecast
        events      of the `demand.history_days` before it, at the snapshot that made the series
        promotions  of these days and of those ahead, where the lake has a plan
writes  registry    a run with its metrics, a version, and, last, the alias `champion`
        warehouse   `models`: what was said of the version, where there is a warehouse

    spark-submit jobs/train_demand.py --cutoff 2017-11-28

The window of the last days before the cutoff judges: the training has not seen it. Where the rule
under `demand.gate` does not hold, the version stays a candidate, and the run ends with exit code 4.
With `--hold` nobody is promoted: `nightshift promote --demand` does it later, by the same verdict.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
from pyspark.sql import SparkSession

from contracts.errors import CutoffError, NoChampionError, PromotionRefusedError
from contracts.tables import EVENTS, PROMOTIONS, SERIES
from contracts.windows import CLOCK_DAYS, history_window, one_day
from jobs.build_series import units_by_day
from jobs.champions import move_alias
from jobs.demand.panels import panel_from
from jobs.demand.plans import read_planned
from jobs.lake.commits import Commit
from jobs.lake.lake import Lake, open_lake
from jobs.published_models import tell_readers
from jobs.registries import open_registry, signing_key
from jobs.running.program import run
from jobs.running.settings import PROJECT, Settings
from jobs.running.spark import open_spark
from models.config import DemandConfig, load_demand_config
from models.demand.artifact import load_forecaster, save_forecaster
from models.demand.baselines import LAST_YEAR_DAYS
from models.demand.calendar import Calendar
from models.demand.fit import FIRST_ORIGIN, fit_forecaster
from models.demand.forecast import Forecaster
from models.demand.gate import Cell, Check, checks_of, comparisons_of, judge, plain, reasons_against
from models.demand.panel import Panel
from models.registry.admission import EVALUATION, root_of, signed
from models.registry.registry import CHAMPION, ModelVersion, Registry
from models.registry.signing import SigningKey
from models.registry.version_files import digests_of

JOB = "train_demand"
SERVING = "models.registry.demand_serving"
THE_RULE = "the written rule"


def main(argv: Sequence[str] | None = None) -> int:
    def arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--hold", action="store_true", help="judge, and promote nothing")

    return run(
        JOB,
        body,
        argv,
        description="Train, judge and promote a demand forecaster.",
        arguments=arguments,
    )


def body(options: argparse.Namespace, settings: Settings) -> Mapping[str, Any]:
    cutoff, begun = options.cutoff, time.monotonic()
    torch.set_num_threads(1)  # the tensors are small: two threads wait longer than they work
    config = load_demand_config(demand_file(settings))
    lake = open_lake(settings)
    series = lake.require(SERIES, cutoff, producer=f"nightshift series --cutoff {cutoff}")
    reads = {SERIES.name: series.snapshot_id, EVENTS.name: series.reads[EVENTS.name]}
    plan = lake.snapshot_id(PROMOTIONS)
    if plan is not None:
        reads[PROMOTIONS.name] = plan
    registry = open_registry(settings, settings.demand.model)  # before any row is read
    champion, beside = find_champion(registry, cutoff)
    panel = read_panel(open_spark(settings, JOB), lake, settings, series, cutoff)
    horizon = settings.horizons.demand_days
    refuse_short(panel.since(learnt_from(cutoff, settings)), cutoff, horizon)
    if plan is not None:
        panel = read_planned(lake, panel, horizon_days=horizon, snapshot_id=plan)
    forecaster = fit_forecaster(
        panel.since(learnt_from(cutoff, settings)),
        cutoff=cutoff,
        calendar=Calendar.of(settings.demand.holidays, settings.demand.closed_days),
        horizon_days=horizon,
        config=config,
        on_step=_say,
    )
    cells = judge(forecaster, panel, cutoff, champion=beside)
    version = register(registry, settings, forecaster, cells, cutoff=cutoff, reads=reads)
    checks, key = checks_of(cells, settings.demand.gate), signing_key(settings)
    tell_checks(registry, version, checks)
    compared = comparisons_of(cells, settings.demand.gate)
    version = sign_verdict(
        registry, version, champion, cells, checks, compared, cutoff=cutoff, key=key
    )
    try:
        if not options.hold:
            settle(registry, version, champion, checks, key=key, now=datetime.now(UTC))
    except PromotionRefusedError as refused:
        refused.details["checks"] = plain(checks)
        refused.details["models"] = tell_readers(settings, registry, [version.version])
        raise
    return {
        "models": tell_readers(settings, registry, [version.version]),
        "version": version.version,
        "is_promoted": not options.hold,
        "admitted": not reasons_against(checks),
        "previous_champion": champion.version if champion else None,
        "encoder": config.encoder.kind,
        "sees_promotions": forecaster.sees_promotions,
        "items": panel.num_items,
        "days": panel.item_units.shape[1],
        "train_seconds": round(time.monotonic() - begun, 1),
        "checks": plain(checks),
        "metrics": {k: round(v, 4) for cell in cells for k, v in cell.metrics.items()},
    }


def demand_file(settings: Settings) -> Path:
    """`demand.yaml` beside the settings, or the project's own."""
    beside = settings.file.parent / "demand.yaml"
    return beside if beside.is_file() else PROJECT / "configs" / "demand.yaml"


def read_panel(
    spark: SparkSession, lake: Lake, settings: Settings, series: Commit, cutoff: date
) -> Panel:
    """The items of the series, with all the days that training and rules see."""
    # The rule of last year's weekdays, as of the first window that judges, looks back the furthest.
    days = max(settings.demand.history_days, LAST_YEAR_DAYS + settings.horizons.demand_days)
    window = history_window(cutoff, days=days)
    ingested = history_window(cutoff, days=days + CLOCK_DAYS)
    events = lake.read(spark, EVENTS, window=ingested, snapshot_id=series.reads[EVENTS.name])
    chosen = lake.read(
        spark, SERIES, window=one_day(cutoff), snapshot_id=series.snapshot_id
    ).select("item_id", "category")
    sold = units_by_day(
        events,
        window=window,
        exclusions=settings.exclusions.rules,
        money=settings.money,
        zone=settings.time_zone,
    )
    rows: pa.Table = (
        sold.drop("category").join(chosen.distinct(), on="item_id", how="inner").toArrow()
    )
    first: date | None = pc.min(rows["day"]).as_py()
    return panel_from(rows, first_day=first or window.start, end_day=cutoff)


def learnt_from(cutoff: date, settings: Settings) -> date:
    """The first day that a training sees."""
    return history_window(cutoff, days=settings.demand.history_days).start


def refuse_short(panel: Panel, cutoff: date, horizon_days: int) -> None:
    """Raise CutoffError where nothing would be left to learn from."""
    needed = FIRST_ORIGIN + 3 * horizon_days
    days = panel.item_units.shape[1]
    if days < needed or not panel.num_items:
        raise CutoffError(
            f"--cutoff {cutoff}",
            found=f"{days} days from the first sale on",
            expected=f"at least {needed}",
            do="Choose a later cutoff; until then the nights forecast by weekday means.",
        )


def find_champion(
    registry: Registry, cutoff: date
) -> tuple[ModelVersion | None, Forecaster | None]:
    """Raises CutoffError where the champion has learnt from the days that are to judge."""
    try:
        champion = registry.resolve(CHAMPION)
    except NoChampionError:
        return None, None
    if champion.training_cutoff > cutoff:
        raise CutoffError(
            f"--cutoff {cutoff}",
            found=f"champion {champion.version}, trained at {champion.training_cutoff}, "
            "which knows what came true",
            expected="a champion trained at the cutoff or before it",
            do=f"Train at {champion.training_cutoff} or later, or go back to the champion before "
            "with `nightshift rollback --demand`.",
        )
    with TemporaryDirectory(prefix="nightshift-") as folder:
        return champion, load_forecaster(registry.download(champion, Path(folder)))


def register(
    registry: Registry,
    settings: Settings,
    forecaster: Forecaster,
    cells: Sequence[Cell],
    *,
    cutoff: date,
    reads: Mapping[str, int],
) -> ModelVersion:
    """Log run and metrics, and register the version as a candidate."""
    config: DemandConfig = forecaster.config
    values = config.model_dump()
    encoder = values.pop("encoder")
    params = {**values, **{f"encoder.{key}": value for key, value in encoder.items()}}
    params |= {f"snapshot.{name}": number for name, number in reads.items()}
    tags = {"encoder": config.encoder.kind, "training_cutoff": cutoff.isoformat()}
    run_id = registry.start_run(
        settings.mlflow.experiment, name=f"demand-{cutoff}", params=params, tags=tags
    )
    metrics = {name: value for cell in cells for name, value in cell.metrics.items()}
    registry.log_metrics(run_id, {f"test/{name}": value for name, value in metrics.items()})
    with TemporaryDirectory(prefix="nightshift-") as folder:
        directory = Path(folder) / "artifact"
        save_forecaster(
            directory,
            forecaster,
            training_cutoff=cutoff,
            snapshot_ids=dict(reads),
            metrics=metrics,
        )
        version = registry.register(directory, run_id, cutoff, config.encoder.kind, serving=SERVING)
    registry.end_run(run_id)
    return version


def tell_checks(registry: Registry, version: ModelVersion, checks: Sequence[Check]) -> None:
    """The whole table, what holds too: in the run's log, and as a file of the run."""
    lines = ["cell,what,value,limit,against,passed"]
    for row in plain(checks):
        print(f"{JOB}: {'holds' if row['passed'] else 'FAILS'}  {row}", file=sys.stderr, flush=True)
        lines.append(",".join("" if value is None else str(value) for value in row.values()))
    with TemporaryDirectory(prefix="nightshift-") as folder:
        file = Path(folder) / "checks.csv"
        file.write_text("\n".join(lines) + "\n")
        registry.log_file(version.run_id, file)


def sign_verdict(
    registry: Registry,
    version: ModelVersion,
    champion: ModelVersion | None,
    cells: Sequence[Cell],
    checks: Sequence[Check],
    compared: Sequence[Mapping[str, Any]],
    *,
    cutoff: date,
    key: SigningKey,
) -> ModelVersion:
    """Leave on the version what the gate found of it, signed with its files' digests."""
    reasons = reasons_against(checks)
    with TemporaryDirectory(prefix="nightshift-") as name:
        folder = registry.download(version, Path(name))
        load_forecaster(folder)  # what cannot be asked is not signed
        verdict = {
            "cutoff": str(cutoff),
            "champion": champion.version if champion else None,
            "admitted": not reasons,
            "reasons": reasons,
            "checks": plain(checks),
            "gain": 0.0,  # forecasters are compared with the champion, not with one another
            "gains": {},
            "comparisons": list(compared),
            "metrics": {name: value for cell in cells for name, value in cell.metrics.items()},
            "files": digests_of(root_of(folder)),
        }
    tags = {
        **signed(EVALUATION, version, verdict, key),
        "evaluated_cutoff": str(cutoff),
        "status": "refused" if reasons else "challenger",
    }
    registry.set_tags(version.version, tags)
    return registry.resolve(version.version)


def settle(
    registry: Registry,
    version: ModelVersion,
    champion: ModelVersion | None,
    checks: Sequence[Check],
    *,
    key: SigningKey,
    now: datetime,
) -> None:
    """Move the alias, last, or raise PromotionRefusedError with every reason."""
    reasons = reasons_against(checks)
    if reasons:
        named = f"version {version.version} ({version.encoder})"
        held = f"{named}: {len(checks) - len(reasons)} of {len(checks)} checks hold"
        raise PromotionRefusedError(
            registry.model, reasons=[*(f"{named}: {reason}" for reason in reasons), held]
        )
    previous = champion.version if champion else None
    move_alias(registry, version, key, previous=previous, by=THE_RULE, now=now)


def _say(step: int, loss: float) -> None:
    print(f"{JOB}: step {step}, loss {loss:.4f}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
