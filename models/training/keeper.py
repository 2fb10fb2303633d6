"""What happens around the steps of a training: it goes on, saves, checks, validates and stops."""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from contracts.errors import LossNotFiniteError, TrainingStoppedError
from models.training.best import best_score, keep_best
from models.training.checkpoints import Checkpoint, Checkpoints, Place
from models.training.epochs import TrainingBatches
from models.training.module import Nightshift
from models.training.ranks import highest
from models.training.steps import GRADIENT_NORM
from models.training.stop import Stop
from models.training.validation import validation_metrics

TELL_SECONDS = 30.0  # between two lines of a long validation
BEFORE_THE_FIRST = -1  # the epoch of a network that another training has made
OnEpoch = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class Step:
    """How far a training is, for whoever watches."""

    epoch: int  # from 0
    done: int  # steps, of all epochs
    total: int
    events_per_second: float  # of all processes
    seconds_left: float
    losses: Mapping[str, float]  # of the latest step that was looked at: `loss`, and each head's


OnStep = Callable[[Step], None]


def last_step(done: int, total: int, *, batches_per_epoch: int, steps_until_late: float) -> int:
    """After which step it ends: the last of all, or of the epoch in which its minutes are over."""
    late = done + max(math.ceil(steps_until_late), 0)
    return min(total, math.ceil(late / batches_per_epoch) * batches_per_epoch)


class Next(IntEnum):
    """What follows a step; the ranks do together what the gravest of them needs."""

    GO_ON = 0
    SAVE = 1
    STOP = 2
    GIVE_UP_GRADIENT = 3  # the mean over ranks is no number
    GIVE_UP_LOSS = 4  # a rank's own losses are no numbers


class Keeper(L.Callback):
    """Keeps a training alive across kills, and tells whoever listens how it goes."""

    def __init__(
        self,
        folder: Path,
        *,
        checkpoints: Checkpoints,
        restored: Checkpoint | None,
        checkpoint_seconds: float,
        max_seconds: float,
        stop: Stop,
        on_epoch: OnEpoch,
        on_step: OnStep,
    ) -> None:
        self.folder, self.checkpoints, self.restored = folder, checkpoints, restored
        self.checkpoint_seconds, self.max_seconds, self.stop = checkpoint_seconds, max_seconds, stop
        self.on_epoch, self.on_step = on_epoch, on_step
        self.events, self.seconds = 0.0, 0.0  # since this process began
        self.before = restored.seconds if restored else 0.0
        self.started_at = self.saved_at = time.monotonic()
        self.saved_step = self.first_step = restored.step if restored else 0
        self.unchecked: tuple[Place, dict[str, Tensor]] | None = None
        self.losses: dict[str, float] = {}
        self.num_asked, self.told_at = 0, time.monotonic()  # in the validation that runs

    @property
    def elapsed(self) -> float:
        """Seconds of this training, those before earlier restarts too."""
        return self.before + time.monotonic() - self.started_at

    # ---- going on ----------------------------------------------------------------------------

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, Nightshift)
        self.started_at = self.saved_at = time.monotonic()
        found = self.restored
        if found is None:
            return
        module.network.load_state_dict(found.network)
        trainer.optimizers[0].load_state_dict(found.optimizer)
        trainer.lr_scheduler_configs[0].scheduler.load_state_dict(found.schedule)
        if trainer.is_global_zero:
            module.sums = {name: value.to(module.device) for name, value in found.sums.items()}

    # ---- steps -------------------------------------------------------------------------------

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: object, *batch: object
    ) -> None:
        """Look at the losses of the step before: those of this one may still be in the making."""
        assert isinstance(module, Nightshift)
        is_last = module.place.batch == module.batches_per_epoch
        wanted = self._judge()
        if wanted is Next.GO_ON:  # else the step before is the one to tell of
            self.unchecked = (Place(module.place.epoch, module.place.batch - 1), module.latest)
        is_due = is_last or time.monotonic() - self.saved_at >= self.checkpoint_seconds
        if is_due or self.stop:
            wanted = max(wanted, self._judge())  # nothing is saved that was not looked at
            wanted = max(wanted, Next.STOP if self.stop else Next.SAVE)
        todo = Next(highest(wanted))
        if todo >= Next.GIVE_UP_GRADIENT:
            self._give_up(trainer, module, is_mine=wanted == todo)
        if todo is not Next.GO_ON and trainer.is_global_zero:
            self._save(trainer, module)
        if todo is Next.STOP:
            raise self._stopped(module)
        if trainer.is_global_zero:
            self.on_step(self._step(trainer, module))

    def _step(self, trainer: L.Trainer, module: Nightshift) -> Step:
        done, total = module.step, module.total_steps
        seconds = max(time.monotonic() - self.started_at, 1e-6)
        pace = seconds / max(done - self.first_step, 1)
        speed = module.num_events * trainer.world_size / max(module.seconds, 1e-3)
        last = last_step(
            done,
            total,
            batches_per_epoch=module.batches_per_epoch,
            steps_until_late=(self.max_seconds - self.elapsed) / pace,
        )
        return Step(module.place.epoch, done, total, speed, (last - done) * pace, self.losses)

    # ---- saving and stopping -----------------------------------------------------------------

    def _save(self, trainer: L.Trainer, module: Nightshift) -> None:
        checkpoint = Checkpoint(
            epoch=module.place.epoch,
            batch=module.place.batch,
            step=module.step,
            seconds=self.elapsed,
            sums=dict(module.sums),
            network=module.network.state_dict(),
            optimizer=trainer.optimizers[0].state_dict(),
            schedule=trainer.lr_scheduler_configs[0].scheduler.state_dict(),
        )
        self.checkpoints.save(checkpoint)
        self.saved_at, self.saved_step = time.monotonic(), module.step

    def _stopped(self, module: Nightshift) -> TrainingStoppedError:
        return TrainingStoppedError(
            self.stop.name or "a signal to another process",
            step=module.step,
            total=module.total_steps,
        )

    # ---- losses that are no numbers ----------------------------------------------------------

    def _judge(self) -> Next:
        """Whether the losses that were not looked at yet are numbers."""
        if self.unchecked is None:
            return Next.GO_ON
        found = self.unchecked[1]
        values = torch.stack([value.double() for value in found.values()]).tolist()
        if np.isfinite(values).all():
            self.unchecked = None
            self.losses = dict(zip(found, values, strict=True))
            return Next.GO_ON
        losses = [float(value) for name, value in found.items() if name != GRADIENT_NORM]
        return Next.GIVE_UP_GRADIENT if np.isfinite(losses).all() else Next.GIVE_UP_LOSS

    def _give_up(self, trainer: L.Trainer, module: Nightshift, *, is_mine: bool) -> None:
        """Keep who was in the batch, then raise LossNotFiniteError on every rank."""
        if is_mine and self.unchecked is not None:
            place, losses = self.unchecked
            rank = trainer.global_rank
            batches = TrainingBatches(
                module.training_data, epoch=place.epoch, rank=rank, num_ranks=trainer.world_size
            )
            kept = {
                "step": place.epoch * module.batches_per_epoch + place.batch + 1,
                "epoch": place.epoch,
                "batch": place.batch,
                "rank": rank,
                "losses": {name: str(float(value)) for name, value in losses.items()},
                "user_ids": batches.user_ids(place.batch),
            }
            file = self.folder / f"not-finite-rank{rank}.json"
            file.write_text(json.dumps(kept, indent=1))
        highest(0)  # every rank has written what it had to
        files = sorted(self.folder.glob("not-finite-rank*.json"))
        found = json.loads(files[0].read_text())
        said = {name: float(value) for name, value in found["losses"].items()}
        raise LossNotFiniteError(
            f"step {found['step']} of {module.total_steps}",
            losses={name: value for name, value in said.items() if not math.isfinite(value)},
            files=[str(file) for file in files],
            learning_rate=module.config.learning_rate,
        )

    # ---- validation --------------------------------------------------------------------------

    def on_validation_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.num_asked, self.told_at = 0, time.monotonic()

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: object,
        batch: Any,
        *place: int,
    ) -> None:
        """The epoch's last step is saved: a validation can be left at any point."""
        assert isinstance(module, Nightshift)
        self.num_asked += len(batch.users)
        if trainer.is_global_zero and time.monotonic() - self.told_at >= TELL_SECONDS:
            self.told_at = time.monotonic()
            total = len(module.answers.purchase.ravel()) // trainer.world_size
            self.checkpoints.say(f"validates: {self.num_asked:,} of about {total:,} answers")
        if self.stop and trainer.world_size == 1:
            raise self._stopped(module)
        module.is_leaving = bool(self.stop)

    def on_validation_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Ranks have unlike many batches: here they agree on having been told to stop."""
        assert isinstance(module, Nightshift)
        if highest(bool(self.stop)):
            raise self._stopped(module)
        answers = module.answers.of_all_ranks()
        mine = torch.tensor(float(module.num_events), device=module.device)
        self.events += float(trainer.strategy.reduce(mine, reduce_op="sum"))
        self.seconds += module.seconds
        metrics = validation_metrics(module.validation_data, answers)
        epoch = BEFORE_THE_FIRST
        if module.step:
            epoch, metrics = module.place.epoch, {**module.training_means(), **metrics}
            module.start_epoch(epoch + 1)
        if not trainer.is_global_zero:
            return
        if self.seconds:
            metrics["train/events_per_second"] = self.events / self.seconds
        if metrics["val/score"] > best_score(self.folder):
            keep_best(self.folder, module.network.state_dict(), answers, epoch, metrics)
        self.on_epoch(epoch, metrics)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if highest(self.elapsed >= self.max_seconds):
            trainer.should_stop = True
