"""What rank 0 of a training says and keeps: progress, curves in MLflow, and the registered version.

Where nobody watches on a terminal, as in Airflow's log, a line every half minute tells how far it
is. In MLflow the run has a point of each loss every few seconds (`step/…`, by step), and the means
and the validation of each epoch (`train/…`, `val/…`, by epoch), all while it trains.
Loads MLflow, so only rank 0 imports it.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from contracts.errors import TrainingStoppedError, UnreachableError
from jobs.registries import open_registry
from jobs.running.code_version import code_version
from jobs.running.lines import say_line
from jobs.running.progress import Pause, Progress, Reporter, time_left
from jobs.running.settings import Settings
from models.config import LabelHorizons, TrainConfig
from models.judging.curves import amount_curves, probability_curves
from models.pages.model_card import Card, write_card
from models.pages.plots import curve_figures, save_png
from models.registry.artifact import Manifest, save_artifact
from models.registry.registry import ModelVersion
from models.training.fit import Fitted
from models.training.keeper import BEFORE_THE_FIRST, Step

RUN_ID = "mlflow_run_id"
SCORE = "val/score"
STEP_LOSS = "step/loss"
LINE_SECONDS = 30.0  # between two lines of progress in a log
POINT_SECONDS = 5.0  # between two points of a curve over steps
NO_ANSWER_SECONDS = 300.0  # before the next point, where MLflow gave no answer
SHOWN = {
    "val/purchase_auroc": "purchase AUROC",
    "val/churn_auroc": "churn AUROC",
    "val/spend_mae": "spend MAE",
    "val/next_item_ndcg": "items NDCG@10",
}


class Recorder:
    def __init__(self, settings: Settings, config: TrainConfig, cutoff: date) -> None:
        """Reach MLflow before anything is computed. Raises UnreachableError."""
        self.settings, self.config, self.cutoff = settings, config, cutoff
        self.registry = open_registry(settings)
        self.run_id = ""
        self.logged: set[int] = set()  # epochs that the run has on its curves
        self.logged_step = 0  # the latest that it has
        self.is_terminal = sys.stderr.isatty()
        self.reporter = Reporter()
        self.line_pause, self.point_pause = Pause(LINE_SECONDS), Pause(POINT_SECONDS)
        self.losses: list[float] = []  # of the steps since the last line
        self.seconds_left = 0.0

    @contextmanager
    def recording(
        self, folder: Path, *, snapshots: Mapping[str, int], parent: str = ""
    ) -> Iterator[None]:
        """One MLflow run; a training that goes on after a kill goes on in the run it had."""
        kept = folder / RUN_ID
        if kept.exists() and self.registry.is_run(kept.read_text()):
            self.run_id = kept.read_text()
            self.registry.resume_run(self.run_id)
            self.logged = self.registry.steps_of(self.run_id, SCORE)
            self.logged_step = max(self.registry.steps_of(self.run_id, STEP_LOSS), default=0)
        else:
            self.run_id = self._start(folder.name, snapshots, parent)
            folder.mkdir(parents=True, exist_ok=True)
            kept.write_text(self.run_id)
        try:
            yield
        except TrainingStoppedError:
            self.registry.end_run(self.run_id, "KILLED")
            raise
        except BaseException:
            self.registry.end_run(self.run_id, "FAILED")
            raise
        self.registry.end_run(self.run_id)

    def say(self, what: str) -> None:
        say_line(f"train: {what}", sys.stderr)

    def counted(self, tables: Iterable[pa.Table], num_users: int) -> Iterator[pa.Table]:
        """The same tables, with a line now and then about how many users have been read."""
        self.say(f"reads the sequences of {num_users:,} users")
        pause, num_read = Pause(LINE_SECONDS), 0
        pause.is_over()  # the first line has been written
        for table in tables:
            yield table
            num_read += len(table)
            if not self.is_watched and pause.is_over():
                self.say(f"{num_read:,} of {num_users:,} users read")

    @property
    def is_watched(self) -> bool:
        """Does a terminal show how far it is, here or in the command that started this?"""
        return self.is_terminal or self.reporter.is_asked

    def on_step(self, step: Step) -> None:
        speed = f"{step.events_per_second:,.0f} events/s"
        self.reporter.say(Progress(step.done, step.total, speed, step.seconds_left))
        self._log_step(step)
        self.seconds_left = step.seconds_left
        self.losses += [step.losses["loss"]] if "loss" in step.losses else []
        is_due = not self.is_watched and bool(self.losses) and self.line_pause.is_over()
        if not self.is_terminal and not is_due:
            return
        place = f"epoch {step.epoch + 1}/{self.config.epochs}, step {step.done} of {step.total}"
        loss = f", loss {np.mean(self.losses):.4g}" if self.losses else ""
        text = f"{place}{loss}, {speed}, {time_left(step.seconds_left)} left"
        if self.is_terminal:
            print(f"\rtrain: {text}\x1b[K", end="", file=sys.stderr, flush=True)
            self.losses = self.losses[-1:]
        else:
            self.say(text)
            self.losses = []

    def _log_step(self, step: Step) -> None:
        """A point of each loss. A training does not end because MLflow gives no answer to it."""
        if step.done <= self.logged_step or not step.losses or not self.point_pause.is_over():
            return
        points = {f"step/{name}": value for name, value in step.losses.items()}
        points["step/events_per_second"] = step.events_per_second
        try:
            self.registry.log_metrics(self.run_id, points, step=step.done)
        except UnreachableError as error:
            self.point_pause.over_at += NO_ANSWER_SECONDS
            self.say(f"a point of the curves is left out: {error}")

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        values = ", ".join(
            f"{label} {metrics[name]:.4g}" for name, label in SHOWN.items() if name in metrics
        )
        begin = "\r\x1b[K" if self.is_terminal else ""
        if epoch == BEFORE_THE_FIRST:
            first = {name.replace("val/", "start/"): value for name, value in metrics.items()}
            self.registry.log_metrics(self.run_id, first)
            say_line(f"{begin}train: as it starts: {values}", sys.stderr)
            return
        if epoch not in self.logged:  # an epoch that ended just before a kill is validated again
            self.registry.log_metrics(self.run_id, metrics, step=epoch)
        loss = f"loss {metrics['train/loss']:.4g}, " if "train/loss" in metrics else ""
        said = f"train: epoch {epoch + 1}/{self.config.epochs}: {loss}{values}"
        speed = metrics.get("train/events_per_second", 0.0)
        left = f", {time_left(self.seconds_left)} left" if self.seconds_left else ""
        say_line(f"{begin}{said}, {speed:,.0f} events/s{left}", sys.stderr)

    def register(
        self,
        fitted: Fitted,
        horizons: LabelHorizons,
        directory: Path,
        *,
        snapshots: dict[str, int],
        parent: str = "",
    ) -> str:
        """Save the artifact folder, log it with its metrics, register it; returns the version."""
        manifest = Manifest(
            config=self.config,
            horizons=horizons,
            time_zone=self.settings.time_zone,
            training_cutoff=self.cutoff,
            label_limit=fitted.label_limit,
            snapshot_ids=snapshots,
            parent=parent or None,
            session_gap_minutes=self.settings.sessions.gap_minutes,
            max_events=self.settings.sequences.max_events,
            base_rates=fitted.base_rates,
            calibration=fitted.calibration,
            metrics=fitted.metrics,
        )
        save_artifact(directory, manifest, fitted.vocabulary, fitted.state)
        best = {f"best/{name.split('/')[1]}": value for name, value in fitted.metrics.items()}
        self.registry.log_metrics(self.run_id, best)
        version = self.registry.register(
            directory, self.run_id, self.cutoff, self.config.encoder.kind
        )
        self._show(version, manifest, fitted, directory.parent / "shown")
        return version.version

    def _show(self, version: ModelVersion, manifest: Manifest, fitted: Fitted, to: Path) -> None:
        """Log plots of the validation, and the model's card."""
        curves = {
            head: {
                version.version: (amount_curves if head == "spend" else probability_curves)(
                    truth, said
                )
            }
            for head, (truth, said) in fitted.validation.items()
        }
        versions = {version.version: {"encoder": version.encoder}}
        to.mkdir(exist_ok=True)
        for name, figure in curve_figures(curves, versions).items():
            save_png(figure, to / f"{name}.png")
            self.registry.log_file(self.run_id, to / f"{name}.png", folder="validation")
        card = Card(version.name, version.version, manifest, fitted.vocabulary.num_items)
        for file in write_card(card, None, to):
            self.registry.log_file(self.run_id, file)

    def _start(self, name: str, snapshots: Mapping[str, int], parent: str) -> str:
        values = self.config.model_dump()
        params = {
            f"{section}.{key}": value
            for section, inside in values.items()
            if isinstance(inside, dict)
            for key, value in inside.items()
        }
        params |= {key: value for key, value in values.items() if not isinstance(value, dict)}
        params |= {f"snapshot.{table}": number for table, number in snapshots.items()}
        params |= {"cutoff": self.cutoff, "code_version": code_version()}
        tags = {"encoder": self.config.encoder.kind, "training_cutoff": self.cutoff.isoformat()}
        tags |= {"parent": parent} if parent else {}
        return self.registry.start_run(
            self.settings.mlflow.experiment, name=name, params=params, tags=tags
        )
