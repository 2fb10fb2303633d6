"""Train a candidate model as of a cutoff, and register it.

reads   sequences  partition cutoff=YYYY-MM-DD
writes  registry   a run with parameters, curves and metrics, and a version with alias `candidate`

Started by torchrun, once for each device, or alone:

    torchrun --standalone --nproc-per-node 2 -m jobs.train --cutoff 2017-11-28 --encoder lstm

The first process deals the users into shards in the run's folder; each process holds one of them
at a time. A training that was killed, or told to stop, goes on from its newest whole checkpoint
when it is started again with the same arguments; a second one with the same arguments is refused
while the first runs. Processes other than the first say nothing.
"""

import argparse
import contextlib
import hashlib
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__" and __package__ is None:  # started by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from contracts.errors import ConfigError, TrainingBusyError
from contracts.exclusions import NOTHING, Exclusions
from contracts.night import ENCODERS
from contracts.tables import SEQUENCES
from jobs.histories.read_sequences import sequences_as_of
from jobs.lake.lake import open_lake
from jobs.running.program import run
from jobs.running.run_folder import hold_folder
from jobs.running.settings import PROJECT, Settings
from jobs.unknown_users import ingested_before, unknown_users_items
from models.config import LabelHorizons, TrainConfig, load_train_config
from models.sequences.history import COLUMNS
from models.training.fit import Fitted, fit
from models.training.label_days import refuse_unlabelled
from models.training.prepared import prepare_data
from models.training.ranks import end_together, highest, join
from models.training.stop import Stop, listening

if TYPE_CHECKING:
    from jobs.train_recorder import Recorder
    from models.training.warm_start import Start

RANK = int(os.environ.get("RANK", "0"))
WORLD_SIZE = int(os.environ.get("WORLD_SIZE", "1"))


def main(argv: Sequence[str] | None = None) -> int:
    """Rank 0 answers for all; what the others would say is the same.

    torchrun ends all processes with the first that fails, so each listens until it has said why.
    """
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(listening())
        if RANK:
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        return run(
            "train",
            partial(train, stop=stop),
            argv,
            description="Train a candidate model.",
            arguments=add_arguments,
            is_kept=RANK == 0,
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--encoder", choices=ENCODERS, required=True)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--max-minutes", type=float, help="stop after the epoch that exceeds it")
    parser.add_argument(
        "--from",
        dest="start_from",
        metavar="VERSION",
        help="go on from this version's weights: models:/NAME@champion, or its number",
    )
    parser.add_argument("--devices", type=int, help="processes that torchrun was told to start")


def train(options: argparse.Namespace, settings: Settings, *, stop: Stop) -> Mapping[str, Any]:
    config = load_train_config(
        models_folder(settings) / f"{options.encoder}.yaml",
        epochs=options.epochs,
        seed=options.seed,
        max_minutes=options.max_minutes,
    )
    horizons = settings.label_horizons
    _check_devices(options.devices)
    _settle()
    cutoff: date = options.cutoff
    lake = open_lake(settings)
    sequences = sequences_as_of(lake, cutoff)
    sequences.require_money(settings.money)
    first = sequences.first_event_time()
    if first is not None:
        refuse_unlabelled(
            cutoff, first_event=first, config=config, horizons=horizons, zone=settings.zone
        )
    # Before any row is read: a registry that cannot be reached must not cost a training.
    recorder = _recorder(settings, config, cutoff) if RANK == 0 else None
    parent = _parent(settings, options.start_from, config, cutoff)
    key = run_key(
        config,
        horizons,
        cutoff,
        sequences.content,
        parent=parent.name if parent else "",
        exclusions=settings.exclusions.rules,
    )
    folder = settings.runs_folder / key
    with _held(folder):
        tables = sequences.read_buckets(COLUMNS)
        prepared = prepare_data(
            recorder.counted(tables, sequences.num_users) if recorder else tables,
            num_users=sequences.num_users,
            folder=folder / "data",
            config=config,
            horizons=horizons,
            zone=settings.zone,
            cutoff=cutoff,
            known=parent.vocabulary if parent else None,
            unknown=partial(
                unknown_users_items,
                lake,
                ingested_before(cutoff),
                snapshot_id=sequences.events_id,
                zone=settings.time_zone,
            ),
            exclusions=settings.exclusions.rules,
            stop=stop,
        )
        fitting = partial(
            fit,
            prepared,
            config=config,
            folder=folder,
            checkpoint_seconds=settings.training.checkpoint_seconds,
            stop=stop,
            start=parent,
        )
        if recorder is None:
            fitting(on_epoch=_nothing, on_step=_nothing, say=_nothing)
            return {"rank": RANK}
        snapshots = {SEQUENCES.name: sequences.snapshot_id}
        about = _fit_and_register(
            fitting, recorder, folder, horizons, snapshots=snapshots, parent=parent
        )
        shutil.rmtree(folder)  # the version holds all of it that matters
    return {
        **about,
        "users": prepared.training.num_users,
        "items": prepared.vocabulary.num_items,
        "devices": WORLD_SIZE,
    }


def _fit_and_register(
    fitting: Callable[..., Fitted | None],
    recorder: "Recorder",
    folder: Path,
    horizons: LabelHorizons,
    *,
    snapshots: dict[str, int],
    parent: "Start | None",
) -> dict[str, Any]:
    """Train in one MLflow run, and register what came of it. Returns what the summary tells."""
    name = parent.name if parent else ""
    with recorder.recording(folder, snapshots=snapshots, parent=name):
        fitted = fitting(on_epoch=recorder.on_epoch, on_step=recorder.on_step, say=recorder.say)
        assert fitted is not None, "rank 0 gets the result"
        version = recorder.register(
            fitted, horizons, folder / "artifact", snapshots=snapshots, parent=name
        )
    return {
        "version": version,
        "run_id": recorder.run_id,
        "encoder": recorder.config.encoder.kind,
        "parent": name or None,
        "epochs": fitted.epochs,
        "events_per_second": round(fitted.events_per_second),
        "metrics": {name: round(value, 5) for name, value in fitted.metrics.items()},
    }


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the run's folder on the first rank. Raises TrainingBusyError on all of them."""
    join()
    with contextlib.ExitStack() as stack:
        busy = None
        if RANK == 0:
            try:
                stack.enter_context(hold_folder(folder))
            except TrainingBusyError as error:
                busy = error
        if highest(busy is not None):
            end_together()
            raise busy or TrainingBusyError(str(folder), pid="?", host="?", since="?")
        yield


def models_folder(settings: Settings) -> Path:
    """`models/` beside the settings, or the project's own."""
    beside = settings.file.parent / "models"
    return beside if beside.is_dir() else PROJECT / "configs" / "models"


def run_key(
    config: TrainConfig,
    horizons: LabelHorizons,
    cutoff: date,
    content: str,
    *,
    parent: str = "",
    exclusions: Exclusions = NOTHING,
) -> str:
    """The same for the same training, so that a second start finds what the first has kept."""
    said = f"{config.model_dump_json()} {horizons.model_dump_json()} {content} {WORLD_SIZE}{parent}"
    said += f" {exclusions}" if exclusions != NOTHING else ""
    digest = hashlib.sha256(said.encode()).hexdigest()[:8]
    return f"train-{cutoff}-{config.encoder.kind}-{digest}"


def _check_devices(devices: int | None) -> None:
    if devices is not None and devices != WORLD_SIZE:
        raise ConfigError(
            f"--devices {devices}",
            found=f"{WORLD_SIZE} processes",
            expected="as many as torchrun was told to start",
            do=f"Start it with torchrun --standalone --nproc-per-node {devices}.",
        )


def _settle() -> None:
    """Share the cores among this machine's processes; keep the libraries' advice off the page."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // local))
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(lightning|torch|mlflow)\..*")


def _recorder(settings: Settings, config: TrainConfig, cutoff: date) -> "Recorder":
    from jobs.train_recorder import Recorder  # MLflow costs seconds, and only rank 0 needs it

    return Recorder(settings, config, cutoff)


def _parent(
    settings: Settings, asked: str | None, config: TrainConfig, cutoff: date
) -> "Start | None":
    """What ``--from`` names, on every rank. Raises ConfigError, CutoffError, NoChampionError."""
    if not asked:
        return None
    from jobs.registries import open_registry
    from models.registry.parent import find_parent  # loads MLflow

    registry = open_registry(settings)
    return find_parent(registry, asked, config=config, cutoff=cutoff)


def _nothing(*_: object) -> None:
    """What the other ranks do where rank 0 speaks."""


if __name__ == "__main__":
    sys.exit(main())
