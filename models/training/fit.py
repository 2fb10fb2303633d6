"""Fitting one network on prepared data, in one process or in many."""

import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import lightning as L
import numpy as np
import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from models.config import TrainConfig
from models.networks.network import Network
from models.sequences.history import Floats
from models.sequences.vocabulary import Vocabulary
from models.training.best import forget_best, read_best
from models.training.calibration import BaseRates, Calibration
from models.training.checkpoints import Checkpoints, Say
from models.training.failures import explaining, forget_failures
from models.training.keeper import Keeper, OnEpoch, OnStep
from models.training.module import Nightshift
from models.training.preparation import prepare
from models.training.prepared import Prepared
from models.training.stop import Stop
from models.training.validation import fit_calibration, outcomes
from models.training.warm_start import Start, start_from


@dataclass(frozen=True)
class Fitted:
    vocabulary: Vocabulary
    state: dict[str, Tensor]  # of the best epoch
    calibration: Calibration
    validation: dict[str, tuple[Floats, Floats]]  # head → what came true, what was said of it
    base_rates: BaseRates
    metrics: dict[str, float]  # of the best epoch
    label_limit: date
    epochs: int  # finished, those before a restart too
    events_per_second: float


def fit(
    prepared: Prepared,
    *,
    config: TrainConfig,
    folder: Path,
    checkpoint_seconds: float,
    on_epoch: OnEpoch,
    on_step: OnStep,
    say: Say,
    stop: Stop,
    start: Start | None = None,
) -> Fitted | None:
    """Train, going on from the newest checkpoint in ``folder``; only rank 0 gets the result.

    With a ``start`` its weights are the first, and stay the best where training gains nothing.
    Raises TrainingStoppedError, LossNotFiniteError, TooLittleMemoryError, ProcessLostError.
    """
    rank, num_ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    folder.mkdir(parents=True, exist_ok=True)
    forget_failures(folder)
    with explaining(config, folder, rank=rank, num_ranks=num_ranks):
        L.seed_everything(config.seed, verbose=False)
        network = Network(config.encoder, prepared.vocabulary)
        prepare(network, prepared.training)
        if start:
            start_from(network, start)
        module = Nightshift(
            config, network, prepared.training, prepared.validation, num_ranks=num_ranks
        )
        checkpoints = Checkpoints(folder, say)
        restored = checkpoints.newest({name: v.shape for name, v in network.state_dict().items()})
        if restored:
            module.place = restored.place
        else:
            forget_best(folder)
        keeper = Keeper(
            folder,
            checkpoints=checkpoints,
            restored=restored,
            checkpoint_seconds=checkpoint_seconds,
            max_seconds=60 * config.max_minutes,
            stop=stop,
            on_epoch=on_epoch,
            on_step=on_step,
        )
        if restored:
            say(f"goes on after step {restored.step} of {module.total_steps}")
        _trainer(module, keeper, validates_first=bool(start) and not restored).fit(module)
    if rank:
        return None
    best, data = read_best(folder), prepared.validation
    calibration = fit_calibration(data, best.answers)
    return Fitted(
        vocabulary=prepared.vocabulary,
        state=best.state,
        calibration=calibration,
        validation=outcomes(data, best.answers, calibration),
        base_rates=BaseRates(
            purchase=float(np.nanmean(data.purchase)),
            churn=float(np.nanmean(data.churn)),
            spend=max(float(np.nanmean(data.spend)), 0.0) if data.has_amounts else 0.0,
        ),
        metrics=best.metrics,
        label_limit=prepared.label_limit,
        epochs=module.place.epoch,
        events_per_second=keeper.events / max(keeper.seconds, 1e-3),
    )


def _trainer(module: Nightshift, keeper: Keeper, *, validates_first: bool) -> L.Trainer:
    """Processes as torchrun has started them; alone where it has not."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    on_gpu = torch.cuda.is_available()
    backend = "nccl" if on_gpu else "gloo"
    is_trained = module.place.batch == module.batches_per_epoch  # this epoch, but not validated
    epochs_left = module.config.epochs - module.place.epoch - is_trained
    is_late = keeper.elapsed >= keeper.max_seconds and module.place.batch in (
        0,
        module.batches_per_epoch,
    )
    # No buffer changes in a training, and a rank that has no batch to validate would not send any.
    across = DDPStrategy(process_group_backend=backend, broadcast_buffers=False)
    trainer = L.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=local,
        num_nodes=world // local,
        strategy=across if world > 1 else "auto",
        precision="bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true",
        max_epochs=0 if is_late and keeper.restored else epochs_left,
        gradient_clip_val=1.0,
        reload_dataloaders_every_n_epochs=1,  # an epoch's batches are drawn from its number
        use_distributed_sampler=False,  # each rank makes its own share of the batches
        # Lightning's way to validate before the first step.
        num_sanity_val_steps=-1 if is_trained or validates_first else 0,
        deterministic=not on_gpu,
        callbacks=[keeper],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    # Its own handler broadcasts from within the signal, which hangs when ranks hear it apart.
    setattr(trainer._signal_connector, "register_signal_handlers", lambda: None)  # noqa: B010
    return trainer
