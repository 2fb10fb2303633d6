"""Fitting one network on one set of histories, in one process or in many.

With H the longest label window and C the training cutoff: training sees nothing from C - 2H on,
validation is asked at C - 2H and sees nothing from C - H on, tests are left to the evaluation.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, Timer
from lightning.pytorch.strategies import DDPStrategy
from safetensors.torch import load_file, save_file
from torch import Tensor

from contracts.errors import CutoffError
from contracts.windows import instant, is_matured
from models.config import LabelHorizons, TrainConfig
from models.networks.network import Network
from models.sequences.history import Histories
from models.sequences.vocabulary import Vocabulary
from models.training.calibration import BaseRates, Calibration
from models.training.dataset import TrainingData
from models.training.module import Nightshift
from models.training.preparation import prepare
from models.training.validation import Answers, fit_calibration, validation_metrics
from models.training.validation_data import ValidationData

WEIGHTS, ANSWERS, SCORE = "best.safetensors", "best.npz", "best.json"
OnEpoch = Callable[[int, Mapping[str, float]], None]
OnStep = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Fitted:
    vocabulary: Vocabulary
    state: dict[str, Tensor]  # of the best epoch
    calibration: Calibration
    base_rates: BaseRates
    metrics: dict[str, float]  # of the best epoch
    label_limit: date
    epochs: int  # finished, those before a restart too
    events_per_second: float


@dataclass(frozen=True)
class Prepared:
    """What every process makes for itself from the same histories, alike to the last bit."""

    vocabulary: Vocabulary
    training: TrainingData
    validation: ValidationData
    label_limit: date


def prepare_data(
    histories: Histories,
    *,
    config: TrainConfig,
    horizons: LabelHorizons,
    zone: ZoneInfo,
    cutoff: date,
) -> Prepared:
    """Split by time. Raises CutoffError when nothing is left to train on, or to validate with."""
    longest = timedelta(days=horizons.longest_days)
    limit, validation_limit = cutoff - 2 * longest, cutoff - longest
    assert is_matured(limit, horizon_days=horizons.longest_days, known_before=validation_limit)
    seen = histories.before(instant(limit, zone))
    vocabulary = Vocabulary.of(seen, min_item_count=config.min_item_count)
    training = TrainingData(
        seen, vocabulary, config=config, horizons=horizons, zone=zone, label_limit=limit
    )
    if not len(training.users):
        raise _too_early(cutoff, f"no user with a label window that closed by {limit}")
    validation = ValidationData(
        histories.before(instant(validation_limit, zone)),
        vocabulary,
        config=config,
        horizons=horizons,
        zone=zone,
        cutoffs=[limit],
        limit=validation_limit,
    )
    for name, truth in (("purchase", validation.purchase), ("churn", validation.churn)):
        if len(np.unique(truth[np.isfinite(truth)])) < 2:
            raise _too_early(cutoff, f"one outcome only of {name} at the validation cutoff {limit}")
    return Prepared(vocabulary, training, validation, limit)


def _too_early(cutoff: date, found: str) -> CutoffError:
    return CutoffError(
        f"--cutoff {cutoff}",
        found=found,
        expected="events of users well before it: twice the longest horizon, and the warm-up",
        do="Choose a later cutoff, ingest more history, or shorten the horizons.",
    )


class EpochKeeper(L.Callback):
    """After each epoch: validate, keep the best weights on disk, and tell whoever listens."""

    def __init__(self, folder: Path, on_epoch: OnEpoch, on_step: OnStep) -> None:
        self.folder, self.on_epoch, self.on_step = folder, on_epoch, on_step
        self.events, self.seconds = 0.0, 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, Nightshift)
        module.start_epoch()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: object, *batch: object
    ) -> None:
        assert isinstance(module, Nightshift)
        if trainer.is_global_zero:
            speed = module.num_events * trainer.world_size / max(module.seconds, 1e-3)
            self.on_step(trainer.current_epoch, trainer.global_step, speed)

    def on_validation_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, Nightshift)
        answers = module.answers.of_all_ranks()
        mine = torch.tensor(float(module.num_events), device=module.device)
        self.events += float(trainer.strategy.reduce(mine, reduce_op="sum"))
        self.seconds += module.seconds
        if not trainer.is_global_zero:
            return
        metrics = {
            **module.training_means(),
            **validation_metrics(module.validation_data, answers),
            "train/events_per_second": self.events / max(self.seconds, 1e-3),
        }
        if metrics["val/score"] > best_score(self.folder):
            _keep(self.folder, module.network, answers, trainer.current_epoch, metrics)
        self.on_epoch(trainer.current_epoch, metrics)


def fit(
    prepared: Prepared,
    *,
    config: TrainConfig,
    folder: Path,
    on_epoch: OnEpoch,
    on_step: OnStep,
) -> Fitted | None:
    """Train, going on from the newest checkpoint in ``folder``; only rank 0 gets the result."""
    L.seed_everything(config.seed, verbose=False)
    network = Network(config.encoder, prepared.vocabulary)
    prepare(network, prepared.training)
    module = Nightshift(config, network, prepared.training, prepared.validation)
    folder.mkdir(parents=True, exist_ok=True)
    newest = newest_checkpoint(folder)
    keeper = EpochKeeper(folder, on_epoch, on_step)
    trainer = _trainer(config, folder, keeper)
    trainer.fit(module, ckpt_path=newest, weights_only=True if newest else None)
    is_first = trainer.is_global_zero
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    if not is_first:
        return None
    kept = json.loads((folder / SCORE).read_text())
    with np.load(folder / ANSWERS, allow_pickle=False) as saved:
        answers = Answers(**{name: saved[name] for name in saved.files})
    data = prepared.validation
    return Fitted(
        vocabulary=prepared.vocabulary,
        state=load_file(folder / WEIGHTS),
        calibration=fit_calibration(data, answers),
        base_rates=BaseRates(
            purchase=float(np.nanmean(data.purchase)),
            churn=float(np.nanmean(data.churn)),
            spend=float(np.nanmean(data.spend)),
        ),
        metrics=kept["metrics"],
        label_limit=prepared.label_limit,
        epochs=trainer.current_epoch,
        events_per_second=keeper.events / max(keeper.seconds, 1e-3),
    )


def newest_checkpoint(folder: Path) -> Path | None:
    """The latest whole one: Lightning writes beside and renames, so a torn one has another name."""
    found = sorted(folder.glob("epoch=*.ckpt"), key=lambda file: int(file.stem.split("=")[1]))
    return found[-1] if found else None


def best_score(folder: Path) -> float:
    file = folder / SCORE
    return float(json.loads(file.read_text())["metrics"]["val/score"]) if file.exists() else -1e9


def _keep(
    folder: Path, network: Network, answers: Answers, epoch: int, metrics: Mapping[str, float]
) -> None:
    """Weights, answers, then the score that vouches for them; each beside, then renamed."""
    state = {name: value.detach().cpu().contiguous() for name, value in _state(network).items()}
    save_file(state, folder / f"{WEIGHTS}.part")
    os.replace(folder / f"{WEIGHTS}.part", folder / WEIGHTS)
    with (folder / f"{ANSWERS}.part").open("wb") as file:
        np.savez(file, **vars(answers))
    os.replace(folder / f"{ANSWERS}.part", folder / ANSWERS)
    (folder / f"{SCORE}.part").write_text(json.dumps({"epoch": epoch, "metrics": dict(metrics)}))
    os.replace(folder / f"{SCORE}.part", folder / SCORE)


def _state(network: Network) -> dict[str, Tensor]:
    state: dict[str, Tensor] = network.state_dict()
    return state


def _trainer(config: TrainConfig, folder: Path, keeper: EpochKeeper) -> L.Trainer:
    """Processes as torchrun has started them; alone where it has not."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    on_gpu = torch.cuda.is_available()
    backend = "nccl" if on_gpu else "gloo"
    return L.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=local,
        num_nodes=world // local,
        strategy=DDPStrategy(process_group_backend=backend) if world > 1 else "auto",
        precision="bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true",
        max_epochs=config.epochs,
        gradient_clip_val=1.0,
        reload_dataloaders_every_n_epochs=1,  # an epoch's batches are drawn from its number
        use_distributed_sampler=False,  # each rank makes its own share of the batches
        num_sanity_val_steps=0,
        deterministic=not on_gpu,
        callbacks=[
            keeper,
            Timer(timedelta(minutes=config.max_minutes), interval="epoch", verbose=False),
            ModelCheckpoint(
                dirpath=folder, filename="{epoch}", save_top_k=1, save_on_train_epoch_end=True
            ),
        ],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
