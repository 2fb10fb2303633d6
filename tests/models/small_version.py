"""A small version, trained and judged as the jobs `train` and `evaluate` do it."""

from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from models.config import LabelHorizons, TrainConfig
from models.judging.behaviour import check_behaviour
from models.judging.contestants import Collected, collect
from models.judging.evaluation import evaluate
from models.judging.rule import GateRule
from models.registry.artifact import Manifest, save_artifact
from models.registry.predict import Predictions, Predictor
from models.sequences.history import Histories
from models.sequences.matured import Matured, plans
from models.training.fit import Fitted, fit
from models.training.prepared import Prepared, prepare_data
from models.training.stop import Stop

VERSION = "1"


def prepare_log(
    log: pa.Table,
    config: TrainConfig,
    *,
    horizons: LabelHorizons,
    zone: ZoneInfo,
    cutoff: date,
    folder: Path,
) -> Prepared:
    return prepare_data(
        [log],
        num_users=len(log),
        folder=folder,
        config=config,
        horizons=horizons,
        zone=zone,
        cutoff=cutoff,
    )


def fit_silently(prepared: Prepared, config: TrainConfig, folder: Path) -> Fitted:
    """To the end, without a word or a checkpoint of its own."""
    fitted = fit(
        prepared,
        config=config,
        folder=folder,
        checkpoint_seconds=3600,
        on_epoch=lambda *_: None,
        on_step=lambda _: None,
        say=lambda _: None,
        stop=Stop(),
    )
    assert fitted is not None, "one process gets the result"
    return fitted


def version_of(
    prepared: Prepared,
    config: TrainConfig,
    *,
    horizons: LabelHorizons,
    zone: ZoneInfo,
    cutoff: date,
    folder: Path,
) -> Predictor:
    fitted = fit_silently(prepared, config, folder / "run")
    manifest = Manifest(
        config=config,
        horizons=horizons,
        time_zone=zone.key,
        training_cutoff=cutoff,
        label_limit=fitted.label_limit,
        snapshot_ids={},
        session_gap_minutes=30,
        max_events=2048,
        base_rates=fitted.base_rates,
        calibration=fitted.calibration,
        metrics=fitted.metrics,
    )
    save_artifact(folder / "artifact", manifest, fitted.vocabulary, fitted.state)
    return Predictor.load(folder / "artifact")


class Judged(NamedTuple):
    said: dict[date, Predictions]
    collected: Collected
    verdict: dict[str, Any]


def judge_version(
    predictor: Predictor,
    log: pa.Table,
    *,
    horizons: LabelHorizons,
    zone: ZoneInfo,
    cutoff: date,
    gate: GateRule,
) -> Judged:
    """Beside its baselines, on cutoffs that had matured by the one given."""
    planned = plans(cutoff, horizons)
    cutoffs = sorted({tested for plan in planned.values() for tested in plan.test})
    said = {tested: predictor.predict(log, cutoff=tested, top_k=10) for tested in cutoffs}
    matured = Matured(Histories.from_arrow(log), horizons=horizons, zone=zone)
    found = collect(matured, planned, {VERSION: said})
    checks = check_behaviour(predictor, log, cutoff=cutoffs[0], zone=zone)
    document = evaluate(
        found.rows, {VERSION: checks}, champion=None, gate=gate, left_out=found.left_out
    )
    return Judged(said, found, document["verdicts"][VERSION])
