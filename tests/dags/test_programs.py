"""How a DAG starts a program: arguments arrive whole, refusals end the task at once."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import jinja2
import psutil
import pytest
from airflow.exceptions import AirflowException
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import RetryAction
from airflow.sdk.definitions._internal.templater import SandboxedEnvironment

from contracts.night import INGEST, NIGHT, PUBLISH, night_arguments
from dags.programs import (
    CUTOFF,
    FILTERS,
    PROJECT,
    ProgramOperator,
    RefusalsAreFinal,
    python_task,
    spark_task,
)

pytestmark = pytest.mark.airflow
NAMES = ("score_nightly", "train_weekly")


def decide(error: BaseException) -> RetryAction:
    return RefusalsAreFinal().evaluate(error, try_number=1, max_tries=3).action


def ending_with(code: int, line: str = "publish: AuditError: 3 rows") -> AirflowException:
    """The error of a task whose program really ended so."""
    program = f"import sys; print('before'); print({line!r}, file=sys.stderr); sys.exit({code})"
    task = ProgramOperator(task_id="x", command=[sys.executable, "-c", program])
    with pytest.raises(AirflowException) as raised:
        task.execute({})
    return raised.value


@pytest.mark.parametrize(
    ("code", "action"),
    [
        (1, RetryAction.DEFAULT),  # anything else: a server that did not answer
        (2, RetryAction.FAIL),  # the call
        (3, RetryAction.FAIL),  # the data
        (4, RetryAction.FAIL),  # the gate
        (143, RetryAction.DEFAULT),  # ended from outside
    ],
)
def test_only_a_refusal_ends_a_task_without_another_try(code, action):
    """A program's exit code decides whether trying again can help."""
    assert decide(ending_with(code)) == action


def test_the_reason_of_a_red_task_is_the_programs_last_line():
    """Nobody has to look for the message."""
    assert str(ending_with(3)) == "publish: AuditError: 3 rows (exit code 3)"


def test_the_reason_is_the_programs_own_where_its_starter_talks_after_it():
    """torchrun prints a page of its own and ends with 1, whatever the training said."""
    said = {"job": "train", "error": "MissingPartitionError", "message": "x", "exit_code": 3}
    error = ending_with(1, f"{json.dumps(said)}\n=====")

    assert str(error) == "MissingPartitionError: x (exit code 3)"
    assert decide(error) == RetryAction.FAIL


def test_a_message_that_speaks_of_exit_codes_does_not_decide():
    """Only how the program ended counts, not what it wrote."""
    assert decide(ending_with(1, "it said Error (exit code 3) before")) == RetryAction.DEFAULT


@pytest.mark.slow
@pytest.mark.parametrize(("code", "action"), [(3, RetryAction.FAIL), (1, RetryAction.DEFAULT)])
def test_spark_submit_passes_a_refusal_on(tmp_path, monkeypatch, code, action):
    """The exit code of a Spark program survives two processes and Airflow's operator."""
    monkeypatch.setenv("PATH", f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    program = tmp_path / "refuses.py"
    program.write_text(f"import sys; print('ingest: MissingRawError: x'); sys.exit({code})")
    task = SparkSubmitOperator(task_id="x", application=str(program), durable=False)
    with pytest.raises(AirflowException) as raised:
        task.execute({})

    assert decide(raised.value) == action
    assert "ingest: MissingRawError: x" in str(raised.value)


def test_an_argument_reaches_the_program_as_it_was_written(tmp_path):
    """What a person types into the form is never read by a shell."""
    typed = f"2017-11-29; touch {tmp_path}/made $(id)"
    code = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
    task = ProgramOperator(
        task_id="x", command=[sys.executable, "-c", code, f"{tmp_path}/said", typed]
    )
    task.execute({})

    assert (tmp_path / "said").read_text() == typed
    assert not (tmp_path / "made").exists()


def render(*, cutoff: str | None, end: datetime | None) -> str:
    """The cutoff as Airflow's own templates make it."""
    environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined)
    run = SimpleNamespace(data_interval_end=end, run_after=datetime(2026, 3, 5, 9, tzinfo=UTC))
    environment.filters.update(FILTERS)
    return environment.from_string(CUTOFF).render(params={"cutoff": cutoff}, dag_run=run)


def test_the_cutoff_is_the_one_asked_for_else_the_end_of_the_interval():
    """A scheduled night ends at its interval; one started by hand, on the day it was started."""
    end = datetime(2026, 3, 4, 6, tzinfo=UTC)

    assert render(cutoff="2017-11-29", end=end) == "2017-11-29"
    assert render(cutoff=None, end=end) == "2026-03-04"
    assert render(cutoff=None, end=None) == "2026-03-05"


SCHEDULED = """
from datetime import UTC, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo
from airflow.dag_processing.dagbag import DagBag
from airflow.timetables.interval import CronDataIntervalTimetable
from contracts.windows import refuse_future
from dags.programs import CUTOFF, ZONE
from datetime import date, datetime

for name, dag in sorted(DagBag("dags").dags.items()):
    told = dag.timetable
    timetable = CronDataIntervalTimetable(told.expression, told.timezone)
    template = dag.get_template_env().from_string(CUTOFF)
    for month in (1, 7):
        by_hand = datetime(2026, month, 1, 12, tzinfo=UTC)
        end = timetable.infer_manual_data_interval(run_after=dag.timezone.convert(by_hand)).end
        run = SimpleNamespace(data_interval_end=end, run_after=end)
        cutoff = template.render(params={"cutoff": None}, dag_run=run)
        refuse_future(date.fromisoformat(cutoff), now=end, zone=ZONE)
        print(name, cutoff, end.astimezone(ZONE).strftime("%Y-%m-%d %H:%M"), dag.start_date)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "zone", ["America/Los_Angeles", "Pacific/Honolulu", "Australia/Sydney", "UTC"]
)
def test_a_scheduled_run_is_of_the_day_that_has_just_begun_where_the_shop_is(zone):
    """At six in the morning there, with that day's date, which has begun."""
    environment = {
        **os.environ, "NIGHTSHIFT__TIME_ZONE": zone, "NIGHTSHIFT_START_DATE": "2025-12-01"
    }  # fmt: skip
    said = subprocess.run(
        [sys.executable, "-c", SCHEDULED], cwd=PROJECT, env=environment, capture_output=True,
        text=True,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    lines = [line.split() for line in said.stdout.splitlines() if line.startswith(NAMES)]

    assert len(lines) == 4
    for name, cutoff, day, hour, *start in lines:
        assert cutoff == day
        assert hour == {"score_nightly": "06:00", "train_weekly": "08:00"}[name]
        begun = datetime.fromisoformat(" ".join(start)).astimezone(ZoneInfo(zone))
        assert begun.isoformat()[:16] == "2025-12-01T00:00"


def test_a_night_in_airflow_tells_its_programs_what_the_command_line_tells_them():
    """One list of steps, one list of arguments, for both."""
    spark = spark_task(INGEST, night_arguments(CUTOFF))
    python = python_task(PUBLISH, night_arguments(CUTOFF))

    assert spark.application.endswith(INGEST.file)
    assert spark.application_args == night_arguments(CUTOFF)
    assert spark.name == "ingest_events"
    assert spark.durable is False
    assert python.command[1:] == ["-m", "jobs.publish", *night_arguments(CUTOFF)]
    assert {step.program.engine for step in NIGHT} == {"spark", "python"}


def living(group: int) -> list[psutil.Process]:
    """The processes of a group, without those that only wait to be counted by their parent."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def test_a_killed_task_takes_its_program_with_it(tmp_path):
    """Airflow's timeout or a person's click ends the program too."""
    code = "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    task = ProgramOperator(task_id="x", command=[sys.executable, "-c", code])
    threading.Timer(1.0, task.on_kill).start()
    with pytest.raises(AirflowException):
        task.execute({})

    for _ in range(50):  # a signal is on its way to who runs on another core
        left = living(task.process.pid)
        if not left:
            break
        time.sleep(0.1)
    assert left == []
