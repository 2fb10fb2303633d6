"""Background processes: found by their mark, stopped with all that they started."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.services.processes import listener_of, start_process, started_for, stop_all

# A parent that starts a child in a session of its own and ignores nobody; both sleep.
FAMILY = (
    "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True)\n"
    "time.sleep(60)"
)
SLEEPER = "import time; time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


def start(home: Path, code: str, *, expected: int) -> None:
    start_process([sys.executable, "-c", code], home=home, log=home / "logs/x.log", env=os.environ)
    for _ in range(100):
        if len(started_for(home)) == expected:
            return
        time.sleep(0.05)
    raise AssertionError("the processes did not start")


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path):
    yield
    for process in started_for(tmp_path):
        process.kill()


@pytest.mark.parametrize("child", [SLEEPER, STUBBORN], ids=["willing", "stubborn"])
def test_nothing_is_left_of_what_was_started(tmp_path, child):
    """A child in another session, one that ignores the signal too, ends with its parent."""
    start(tmp_path, FAMILY.format(child=child), expected=2)
    time.sleep(0.3)  # until the child ignores the signal
    left = stop_all(tmp_path, patience_seconds=1)

    assert left == []
    assert started_for(tmp_path) == []


def test_a_process_that_sets_its_title_is_still_found(tmp_path):
    """Airflow writes its title over its arguments; it must not write it over the mark."""
    code = f"import setproctitle; setproctitle.setproctitle('x' * 3000); {SLEEPER}"
    start(tmp_path, code, expected=1)
    time.sleep(0.3)

    assert len(started_for(tmp_path)) == 1


def test_only_processes_of_the_same_home_are_found(tmp_path):
    """Two deployments on one machine leave each other alone."""
    other = subprocess.Popen([sys.executable, "-c", SLEEPER])
    start(tmp_path, SLEEPER, expected=1)
    stop_all(tmp_path, patience_seconds=2)
    is_alive = other.poll() is None
    other.kill()
    other.wait()

    assert is_alive
    assert started_for(tmp_path / "elsewhere") == []


def test_whoever_listens_on_a_port_is_named():
    """`port 8080 is taken` is of no use without by whom."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        holder = listener_of(port)

    assert holder is not None
    assert holder.startswith("process ")
    assert listener_of(port) is None
