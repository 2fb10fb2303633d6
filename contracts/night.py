"""The programs of Nightshift, how each is started, and the order in which they make a night.

``dags/`` and the ``nightshift`` command both read this file, so that a night through Airflow and a
night without it run the same programs with the same arguments in the same order.
"""

from dataclasses import dataclass
from typing import Literal

Engine = Literal["spark", "python", "torchrun"]

ENCODERS = ("transformer", "lstm", "gru", "cnn")
NIGHT_LOCK = "night.lock"  # under the home folder; held by whoever runs a night without Airflow

# Exit codes after which trying again cannot help: something has to be corrected first.
REFUSALS = {
    2: "the call or the configuration has to be corrected",
    3: "the data was refused",
    4: "the gate refused",
}


@dataclass(frozen=True)
class Program:
    """One file of ``jobs/``, started as a process of its own."""

    name: str  # jobs/<name>.py
    command: str  # nightshift <command>
    engine: Engine
    meaning: str

    @property
    def file(self) -> str:
        return f"jobs/{self.name}.py"

    @property
    def module(self) -> str:
        return f"jobs.{self.name}"


@dataclass(frozen=True)
class Step:
    """A program's place in a night: it starts when all of ``after`` are done."""

    program: Program
    after: tuple[str, ...]  # names of programs


NO_VERSION = "none"  # `promote --version` of a question that showed no version

WRITE_RAW = Program("write_raw", "raw", "python", "Write the demo's raw logs.")
INGEST = Program("ingest_events", "ingest", "spark", "Read raw logs into events.")
SESSIONS = Program("build_sessions", "sessions", "spark", "Cut each user's events into sessions.")
SEQUENCES = Program(
    "build_sequences", "sequences", "spark", "Bring each user's sequence up to date."
)
SERIES = Program("build_series", "series", "spark", "Count units per item and day.")
PROMOTIONS = Program(
    "build_promotions", "promotions", "spark", "Bring the plan of promotions into the lake."
)
TRAIN = Program("train", "train", "torchrun", "Train a candidate model.")
EVALUATE = Program("evaluate", "evaluate", "python", "Judge candidates on matured cutoffs.")
PROMOTE = Program("promote", "promote", "python", "Make the best admitted candidate champion.")
REVIEW = Program("review_promotion", "review", "python", "Show what a promotion would change.")
ROLLBACK = Program("rollback", "rollback", "python", "Restore the champion before this one.")
TRAIN_DEMAND = Program(
    "train_demand", "train-demand", "spark", "Train a demand forecaster, judge and promote it."
)
SCORE = Program("score", "score", "spark", "Score every user with the champion.")
DEMAND = Program("forecast_demand", "demand", "spark", "Forecast units per item and day.")
PUBLISH = Program("publish", "publish", "python", "Audit, then switch the warehouse tables.")
REPORT = Program("report", "report", "python", "Write the night's HTML page.")
REPLAY = Program("replay", "replay", "spark", "Rebuild a past night and compare.")

PROGRAMS = (
    WRITE_RAW, INGEST, SESSIONS, SEQUENCES, SERIES, PROMOTIONS, TRAIN,
    EVALUATE, REVIEW, PROMOTE, ROLLBACK, TRAIN_DEMAND, SCORE, DEMAND, PUBLISH, REPORT, REPLAY,
)  # fmt: skip

DATA = (
    Step(INGEST, after=()),
    Step(SESSIONS, after=(INGEST.name,)),
    Step(SEQUENCES, after=(INGEST.name,)),
    Step(SERIES, after=(INGEST.name,)),
)
NIGHT = (
    *DATA,
    Step(SCORE, after=(SEQUENCES.name,)),
    Step(DEMAND, after=(SERIES.name,)),
    Step(PUBLISH, after=(SCORE.name, DEMAND.name, SESSIONS.name)),
    Step(REPORT, after=(PUBLISH.name,)),
)


def night_arguments(cutoff: str) -> list[str]:
    """What every program of a night is told: its cutoff, and to answer in JSON."""
    return ["--cutoff", cutoff, "--json"]


def train_arguments(
    cutoff: str, *, encoder: str, epochs: str = "", max_minutes: str = "", start_from: str = ""
) -> list[str]:
    """Arguments of ``jobs/train.py``; what is left empty keeps the value of the configuration."""
    arguments = [*night_arguments(cutoff), "--encoder", encoder]
    if epochs:
        arguments += ["--epochs", epochs]
    if max_minutes:
        arguments += ["--max-minutes", max_minutes]
    if start_from:
        arguments += ["--from", start_from]
    return arguments


def torchrun_arguments(devices: str) -> list[str]:
    """One process for each device, on this machine."""
    return ["--standalone", "--nnodes", "1", "--nproc-per-node", devices]
