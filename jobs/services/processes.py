"""Processes that outlive the command that started them: start, find again, stop without a trace.

Each is started with a mark in its environment that all its descendants inherit. So whatever it has
started, in whatever session or group, is found by the mark; the number of a dead one is no proof.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

MARK = "NIGHTSHIFT_STARTED_BY"  # value: the home folder that the process serves


def start_process(
    command: Sequence[str], *, home: Path, log: Path, env: Mapping[str, str]
) -> psutil.Process:
    """Start it in a session of its own, with its output in ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as said:
        process = subprocess.Popen(
            list(command),
            # A process that sets its own title must not write it over its environment.
            env={**env, MARK: str(home), "SPT_NOENV": "1"},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return psutil.Process(process.pid)


def started_for(home: Path) -> list[psutil.Process]:
    """Every living process that serves this home folder, oldest first, without this one."""
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get(MARK) == str(home)
            if marked and process.pid != os.getpid() and process.status() != "zombie":
                found.append(process)
        except psutil.Error:  # it ended meanwhile, or belongs to somebody else
            continue
    return sorted(found, key=lambda process: process.create_time())


def stop_all(home: Path, *, patience_seconds: float = 15) -> list[psutil.Process]:
    """Ask the leaders to end, then whatever is left, then end it. Returns what is left: nothing."""
    everything = started_for(home)
    leaders = [process for process in everything if process.ppid() not in _pids(everything)]
    _end(leaders, patience_seconds=patience_seconds)
    _end(started_for(home), patience_seconds=patience_seconds / 3)
    for process in started_for(home):
        process.kill()
    psutil.wait_procs(started_for(home), timeout=patience_seconds)
    return started_for(home)


def listener_of(port: int) -> str | None:
    """Who listens on this port of 127.0.0.1; None where nobody does."""
    for connection in psutil.net_connections(kind="inet"):
        if connection.status != psutil.CONN_LISTEN or connection.laddr.port != port:
            continue
        if connection.pid is None:
            return "a process of somebody else"
        try:
            return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
        except psutil.Error:
            return f"process {connection.pid}"
    return None


def _end(processes: list[psutil.Process], *, patience_seconds: float) -> None:
    for process in processes:
        try:
            process.terminate()
        except psutil.Error:
            continue
    psutil.wait_procs(processes, timeout=patience_seconds)


def _pids(processes: list[psutil.Process]) -> set[int]:
    return {process.pid for process in processes}
