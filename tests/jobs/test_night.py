"""A night without Airflow: order, stop at the first failure, one night at a time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import BusyError
from contracts.night import NIGHT, Program
from jobs.night import hold_night, run_night
from jobs.running.settings import PROJECT, Settings
from jobs.running.steps import Result


class Recorder:
    """Ends each program at once; the one named fails with the code given."""

    def __init__(self, failing: str = "", code: int = 0) -> None:
        self.failing, self.code = failing, code
        self.ran: list[str] = []

    def __call__(self, program: Program, arguments: list[str]) -> Result:
        self.ran.append(program.name)
        if program.name == self.failing:
            summary = {"error": "AuditError", "message": "user_scores: found 3 rows"}
            return Result(program, self.code, 0.1, Path("x.log"), summary)
        tables = {"user_scores": {"rows": 3, "content_hash": "ab"}}
        return Result(
            program, 0, 0.1, Path("x.log"), {"tables": tables} if program.name == "publish" else {}
        )


def test_a_night_runs_every_program_and_tells_the_published_tables(settings):
    """The whole list in order, each step's seconds, each table's rows and hash."""
    run = Recorder()
    code, said = run_night("2017-11-29", settings, run)

    assert code == 0
    assert run.ran == [step.program.name for step in NIGHT]
    assert said["tables"] == {"user_scores": {"rows": 3, "content_hash": "ab"}}
    assert said["steps"]["score"] == {"wall_seconds": 0.1}


def test_a_night_ends_at_the_first_failure_with_its_code(settings):
    """Nothing is published after a refusal."""
    run = Recorder("score", 4)
    code, said = run_night("2017-11-29", settings, run)

    assert code == 4
    assert run.ran[-1] == "score"
    assert said["failed"] == "score"
    assert said["message"] == "user_scores: found 3 rows"
    assert said["tables"] == {}


def hold_elsewhere(settings: Settings) -> subprocess.Popen[str]:
    """Another process that holds the night until it is killed."""
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from jobs.night import hold_night\n"
        "from jobs.running.settings import load_settings\n"
        "with hold_night(load_settings(Path(sys.argv[1])), '2017-11-29'):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(settings.file)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_at_once_is_told_who_holds_the_night(settings):
    """Two writers of one night: the second is refused before it starts anything."""
    other = hold_elsewhere(settings)
    run = Recorder()
    try:
        with pytest.raises(BusyError) as raised:
            run_night("2017-11-29", settings, run)
    finally:
        other.kill()
        other.wait()

    assert run.ran == []
    assert str(raised.value) == (
        f"{settings.home}/night.lock: found process {other.pid} at the night 2017-11-29, "
        "expected no other night to be running. "
        "Wait until it ends, then run this again: a repeated night replaces its rows."
    )


def test_a_killed_run_leaves_no_lock(settings):
    """The lock goes with the process: nobody has to delete a file."""
    other = hold_elsewhere(settings)
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with hold_night(settings, "2017-11-29"):
        pass

    assert (settings.home / "night.lock").read_text() == ""
