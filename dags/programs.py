"""How a DAG starts a program of ours: as a process, with strings, never by importing it.

Where things are comes from the environment, so that the same DAG runs on a laptop and in an image:
``NIGHTSHIFT_PROJECT`` (folder that holds ``jobs/``), ``NIGHTSHIFT_PYTHON``. So do the pools of a
night and of a training, ``NIGHTSHIFT_NIGHT_POOL`` and ``NIGHTSHIFT_TRAINING_POOL``, and the time
zone of its days, ``NIGHTSHIFT__TIME_ZONE``, which the programs read as their ``time_zone`` too.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from airflow.exceptions import AirflowException
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import BaseOperator, Context, RetryDecision, RetryPolicy

from contracts.night import REFUSALS, Program, torchrun_arguments
from contracts.windows import instant

PROJECT = Path(os.environ.get("NIGHTSHIFT_PROJECT", Path(__file__).resolve().parents[1]))
PYTHON = os.environ.get("NIGHTSHIFT_PYTHON", sys.executable)
DRIVER_MEMORY = os.environ.get("NIGHTSHIFT_SPARK_DRIVER_MEMORY", "1g")
RETRIES = int(os.environ.get("NIGHTSHIFT_RETRIES", "2"))  # of what is no refusal
NIGHT_POOL = os.environ.get("NIGHTSHIFT_NIGHT_POOL", "default_pool")
TRAINING_POOL = os.environ.get("NIGHTSHIFT_TRAINING_POOL", "default_pool")
NIGHT_PRIORITY = 100  # where both share a pool: above every step of a training, which have 1
TIME_ZONE = os.environ.get("NIGHTSHIFT__TIME_ZONE", "UTC")  # whose midnight a cutoff is
ZONE = ZoneInfo(TIME_ZONE)
START_DATE = date.fromisoformat(os.environ.get("NIGHTSHIFT_START_DATE", "2026-01-01"))
START = instant(START_DATE, ZONE)

# The first day that the night may not see: asked for in the form, or the end of the interval.
CUTOFF = "{{ params.cutoff or ((dag_run.data_interval_end or dag_run.run_after) | local_date) }}"


def local_date(moment: datetime) -> str:
    """The day that it is in the deployment's time zone; a filter of every DAG's templates."""
    return moment.astimezone(ZONE).date().isoformat()


FILTERS = {"local_date": local_date}

# How the two operators below say it: spark-submit's at its start, ours at its end.
_EXIT_CODE = re.compile(r"Error code is: (\d+)\.|\(exit code (\d+)\)\Z")


class RefusalsAreFinal(RetryPolicy):
    """Fail at once where trying again cannot help; anything else keeps the task's own retries.

    A program's exit code says which it is: 2, 3 and 4 are refusals.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        found = _EXIT_CODE.search(str(exception))
        refusal = REFUSALS.get(int(found.group(1) or found.group(2))) if found else None
        if refusal is None:
            return RetryDecision.default()
        return RetryDecision.fail(reason=f"Not tried again: {refusal}.")

    def serialize(self) -> dict[str, Any]:
        return {"__type": type(self).__name__}


class ProgramOperator(BaseOperator):
    """Run a command without a shell; the program's own words are why the task failed."""

    template_fields = ("command",)

    def __init__(self, *, command: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.command = command
        self.process: subprocess.Popen[str] | None = None
        self.summary: dict[str, Any] = {}  # what the program said last, as JSON

    def execute(self, context: Context) -> Any:
        self.process = subprocess.Popen(
            list(self.command),
            cwd=PROJECT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        last, said = "(it printed nothing)", None
        self.summary = {}
        for line in self.process.stdout or ():
            self.log.info("%s", line.rstrip())
            last = line.strip() or last
            self.summary = _summary(line) or self.summary
            said = self.summary if "exit_code" in self.summary else said
        if code := self.process.wait():
            if said:  # torchrun ends with 1 whatever its program ended with
                last, code = f"{said['error']}: {said['message']}", said["exit_code"]
            raise AirflowException(f"{last} (exit code {code})")

    def on_kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)


class TellingOperator(ProgramOperator):
    """Run a command, and tell the tasks after it what the program said at its end."""

    def execute(self, context: Context) -> dict[str, Any]:
        super().execute(context)
        return self.summary


def _summary(line: str) -> dict[str, Any] | None:
    """What a program says of its run or its failure, as jobs/running/program.py prints it."""
    if not line.startswith('{"job"'):
        return None
    try:
        said: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return None
    return said


def spark_task(program: Program, arguments: Sequence[str]) -> SparkSubmitOperator:
    """Submit it to the cluster of the connection ``spark_default``."""
    return SparkSubmitOperator(
        task_id=program.name,
        doc=program.meaning,
        name=program.name,
        application=str(PROJECT / program.file),
        application_args=list(arguments),
        driver_memory=DRIVER_MEMORY,
        durable=False,  # the default makes a cleared task report the old job's state
    )


def python_command(program: Program, arguments: Sequence[str]) -> list[str]:
    """One process beside the worker."""
    return [PYTHON, "-m", program.module, *arguments]


def python_task(
    program: Program, arguments: Sequence[str], *, task_id: str | None = None
) -> ProgramOperator:
    """Run it beside the worker."""
    command = python_command(program, arguments)
    return ProgramOperator(task_id=task_id or program.name, doc=program.meaning, command=command)


def torchrun_command(program: Program, arguments: Sequence[str], *, devices: str) -> list[str]:
    """One process for each device, beside the worker."""
    torchrun = [PYTHON, "-m", "torch.distributed.run", *torchrun_arguments(devices)]
    return [*torchrun, "-m", program.module, *arguments]
