"""Who may train in a run's folder: one process at a time, for as long as it lives."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from contracts.errors import TrainingBusyError
from jobs.running.run_folder import hold_folder, lock_of
from jobs.running.settings import PROJECT

HOLD = """
import sys, time
from pathlib import Path
from jobs.running.run_folder import hold_folder
with hold_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_folder_that_is_held_is_refused_with_its_holder(holder, tmp_path):
    """Process, host and time of the holder stand in the message, and what to do."""
    since = json.loads(lock_of(tmp_path / "run").read_text())["since"]

    with pytest.raises(TrainingBusyError) as error, hold_folder(tmp_path / "run"):
        raise AssertionError("two hold it")

    host = socket.gethostname()
    assert str(error.value) == (
        f"{tmp_path}/run: found a training with the same arguments: process {holder.pid} on "
        f"{host}, since {since}, expected one at a time, for they would share checkpoints. "
        f"Wait until it ends, or stop it with `kill {holder.pid}` on {host}; "
        "then run this again: it goes on from the newest checkpoint, if one is left."
    )
    assert error.value.exit_code == 1  # schedulers try it again


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_holder_that_was_killed_holds_nothing(holder, tmp_path, number):
    """No stale lock: the file stays, and nobody holds it."""
    holder.send_signal(number)
    holder.wait()
    assert lock_of(tmp_path / "run").exists()

    with hold_folder(tmp_path / "run"):
        assert json.loads(lock_of(tmp_path / "run").read_text())["pid"] == os.getpid()

    assert not list(tmp_path.iterdir())


def test_a_folder_is_free_after_its_block_and_after_an_error(tmp_path):
    """The lock's file goes with its holder."""
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), hold_folder(tmp_path / "run"):
            raise ZeroDivisionError

    assert not list(tmp_path.iterdir())


def test_a_lock_whose_holder_has_not_written_its_name_is_still_a_lock(holder, tmp_path):
    """Between taking it and writing into it there is a moment."""
    os.truncate(lock_of(tmp_path / "run"), 0)

    with pytest.raises(TrainingBusyError, match=r"process [?] on [?], since [?]"):
        hold_folder(tmp_path / "run").__enter__()


def test_two_folders_are_held_at_once(holder, tmp_path):
    """Trainings with other arguments go on side by side."""
    with hold_folder(tmp_path / "other"):
        assert holder.poll() is None
