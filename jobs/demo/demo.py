"""The main job end to end on real shopping logs: what `make demo` runs.

Writes Complete Journey as raw logs, loads the history in bulk and a night step by step, trains a
Transformer and an LSTM, lets the gate choose, and runs the next night through Airflow. Whatever is
already there is left as it is, so that running the demo again goes on where things stand.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from contracts.night import (
    DATA,
    EVALUATE,
    INGEST,
    PROMOTE,
    SEQUENCES,
    SERIES,
    SESSIONS,
    TRAIN,
    TRAIN_DEMAND,
    WRITE_RAW,
    Program,
    night_arguments,
    train_arguments,
)
from jobs.demo.page import show_end
from jobs.running import console
from jobs.running.settings import Settings
from jobs.services.airflow_run import follow
from jobs.services.memory import PeakMemory, deployment
from jobs.services.services import start, stop
from jobs.standing import Standing

HISTORY = date(2017, 11, 27)  # loaded in bulk: every day before it
TRAINING = date(2017, 11, 28)  # one night by hand, and the cutoff of the training
TONIGHT = date(2017, 11, 29)  # through Airflow; December stays for the nights after
ENCODERS = ("transformer", "lstm")
DEVICES = 2


@dataclass
class Demo:
    """The steps so far: what each took, and the exit code that the demo will end with."""

    settings: Settings
    standing: Standing
    seconds: dict[str, float] = field(default_factory=dict)

    def step(self, title: str, program: Program, arguments: Sequence[str], *, is_done: bool) -> int:
        """Run one program, or say that it is already done. Returns its exit code."""
        if is_done:
            console.err.print(f"[dim]already done  {title}[/]")
            return 0
        result = console.run_shown(
            program, arguments, self.settings, devices=DEVICES, as_json=False, title=title
        )
        self.seconds[title] = result.seconds
        return result.exit_code


def run_demo(
    settings: Settings, *, airflow_port: int, mlflow_port: int
) -> tuple[int, dict[str, Any]]:
    """Returns the exit code, and what the demo said at its end."""
    begun = time.monotonic()
    memory = PeakMemory(lambda: deployment(settings.home))
    memory.start()
    demo = Demo(settings, Standing(settings))
    parts: list[tuple[str, Callable[[], int]]] = [
        ("Raw logs and history", lambda: load_history(demo)),
        (f"The night {TRAINING}, step by step", lambda: run_data_night(demo)),
        ("Training, two processes each", lambda: train_and_judge(demo)),
        (
            f"The night {TONIGHT}, through Airflow",
            lambda: run_night_in_airflow(demo, airflow_port=airflow_port, mlflow_port=mlflow_port),
        ),
    ]
    for number, (title, part) in enumerate(parts, start=1):
        console.err.print(f"\n[bold]{number}. {title}[/]")
        if code := part():
            return code, {}
    facts = {
        "cutoff": str(TONIGHT),
        "seconds": round(time.monotonic() - begun, 1),
        "peak_memory_gib": memory.end(),
        "seconds_per_step": demo.seconds,
    }
    return 0, {**facts, **show_end(settings, facts, evaluated=TRAINING, published=TONIGHT)}


def load_history(demo: Demo) -> int:
    """Everything before HISTORY in one go: raw logs, events, sessions, sequences."""
    if code := demo.step("write raw logs", WRITE_RAW, ["--json"], is_done=False):
        return code
    first = demo.standing.first_raw_day()
    bulk = [*night_arguments(str(HISTORY)), "--since", str(first)]
    last = HISTORY - timedelta(days=1)
    steps = (
        ("ingest the history", INGEST, bulk, last),
        ("sessions of the history", SESSIONS, bulk, last),
        ("sequences", SEQUENCES, night_arguments(str(HISTORY)), HISTORY),
    )
    for title, program, arguments, day in steps:
        is_done = demo.standing.has_written(program, day)
        if code := demo.step(title, program, arguments, is_done=is_done):
            return code
    return 0


def run_data_night(demo: Demo) -> int:
    """One day more, as every night will do it: each job only takes in what is new."""
    before = TRAINING - timedelta(days=1)
    for step in DATA:
        day = TRAINING if step.program in (SEQUENCES, SERIES) else before
        title = f"{step.program.command} {TRAINING}"
        is_done = demo.standing.has_written(step.program, day)
        if code := demo.step(title, step.program, night_arguments(str(TRAINING)), is_done=is_done):
            return code
    return 0


def train_and_judge(demo: Demo) -> int:
    """Train both, judge both, promote what the rule admits; a refusal does not end the demo."""
    for encoder in ENCODERS:
        arguments = train_arguments(str(TRAINING), encoder=encoder)
        is_done = demo.standing.has_trained(encoder, TRAINING)
        if code := demo.step(f"train the {encoder}", TRAIN, arguments, is_done=is_done):
            return code
    arguments = night_arguments(str(TRAINING))
    is_done = demo.standing.has_evaluated(TRAINING)
    if code := demo.step("evaluate both", EVALUATE, arguments, is_done=is_done):
        return code
    is_done = demo.standing.has_champion()
    code = demo.step("promote the better one", PROMOTE, arguments, is_done=is_done)
    if code not in (0, 4):
        return code
    is_done = demo.standing.has_trained_demand(TRAINING)
    demand = demo.step("train the demand forecaster", TRAIN_DEMAND, arguments, is_done=is_done)
    if demand not in (0, 4):  # refused: tonight's demand is the weekday means', and says so
        return demand
    if code == 4:
        console.err.print("The gate admitted neither: tonight's scoring will stop and say so.")
        return 0
    return code


def run_night_in_airflow(demo: Demo, *, airflow_port: int, mlflow_port: int) -> int:
    """Start Airflow and MLflow, run the night there, and stop them again."""
    if demo.standing.has_published(TONIGHT):
        console.err.print(f"[dim]already done  the night {TONIGHT}[/]")
        return 0
    begun = time.monotonic()
    running = start(demo.settings, airflow_port=airflow_port, mlflow_port=mlflow_port)
    demo.seconds["start Airflow and MLflow"] = round(time.monotonic() - begun, 2)
    console.err.print(f"Airflow {running.airflow}  MLflow {running.mlflow}  login {running.user}")
    try:
        begun = time.monotonic()
        run = follow(running.api(), "score_nightly", {"cutoff": str(TONIGHT)}, say=console.say_task)
    finally:
        stop(demo.settings)
    demo.seconds["the night in Airflow"] = round(time.monotonic() - begun, 2)
    demo.seconds |= {f"  {task}": seconds for task, seconds in run.seconds.items()}
    for task, reason in run.reasons.items():
        console.err.print(f"[red]{task}:[/] ", end="")
        console.err.print(reason, markup=False)
    if run.state == "success":
        return 0
    return 1 if demo.standing.has_champion() else 4
