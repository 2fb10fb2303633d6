"""How a program of ``jobs/`` is started as a process of its own, and what it answers is read.

A program prints its summary, or its error, as a line of JSON on stdout. All that it says is kept in
``<home>/logs/<program>-<cutoff>.log``, of a second run at the same time in ``….2.log``.
(spark-submit puts its program's stderr on stdout.)
"""

import fcntl
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from contracts.night import Program, torchrun_arguments
from jobs.running.private_files import closed_to_others, open_private
from jobs.running.progress import ASKED, progress_in
from jobs.running.settings import PROJECT, Settings

Listener = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """How a program ended."""

    program: Program
    exit_code: int
    seconds: float
    log: Path
    summary: dict[str, Any] = field(default_factory=dict)  # empty where it printed none
    tail: tuple[str, ...] = ()  # the last lines of its log

    @property
    def message(self) -> str:
        """Why it failed, in its own words where it found any."""
        if "message" in self.summary:
            return str(self.summary["message"])
        last = "\n".join(self.tail) or "(it printed nothing)"
        return f"{self.program.name} ended with exit code {self.exit_code}:\n{last}"


@closed_to_others()
def run_program(
    program: Program,
    arguments: Sequence[str],
    settings: Settings,
    *,
    devices: int = 1,
    listen: Listener = lambda line: None,
    is_watched: bool = False,
) -> Result:
    """Run it to its end; ``listen`` hears each line that it says as it comes.

    Where it ``is_watched``, the program is asked to say how far it is; the log has none of that.
    """
    folder = settings.home / "logs"
    start = time.monotonic()
    with open_log(folder, f"{program.name}{_cutoff_of(arguments)}") as kept:
        process = subprocess.Popen(
            command_of(program, arguments, settings, devices=devices),
            env={**environment(settings), **({ASKED: "1"} if is_watched else {})},
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        tail: deque[str] = deque(maxlen=20)
        stderr = threading.Thread(target=_follow, args=(process.stderr, kept, tail, listen))
        stderr.start()
        try:
            summary = _follow(process.stdout, kept, tail, listen)
            exit_code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        finally:
            stderr.join()
    if exit_code:  # torchrun ends with 1 whatever its program ended with
        exit_code = int(summary.get("exit_code", exit_code))
    return Result(
        program,
        exit_code=exit_code if exit_code >= 0 else 128 - exit_code,  # as a shell counts signals
        seconds=round(time.monotonic() - start, 2),
        log=Path(kept.name),
        summary=summary,
        tail=tuple(tail),
    )


@contextmanager
def open_log(folder: Path, name: str) -> Iterator[IO[str]]:
    """`<name>.log`, emptied; `<name>.2.log` and so on while another run writes to that."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        file = folder / (f"{name}.log" if number == 1 else f"{name}.{number}.log")
        with open_private(file, "a") as log:
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            log.truncate(0)
            yield log
            return


def command_of(
    program: Program, arguments: Sequence[str], settings: Settings, *, devices: int = 1
) -> list[str]:
    """The command line that starts it."""
    if program.engine == "spark":
        spark = settings.spark
        submit = ["spark-submit", "--master", spark.master, "--driver-memory", spark.driver_memory]
        return [*submit, "--name", program.name, str(PROJECT / program.file), *arguments]
    if program.engine == "torchrun":
        torchrun = [sys.executable, "-m", "torch.distributed.run"]
        return [*torchrun, *torchrun_arguments(str(devices)), "-m", program.module, *arguments]
    return [sys.executable, "-m", program.module, *arguments]


def environment(settings: Settings) -> dict[str, str]:
    """What a program finds around it; also what Airflow's tasks are given."""
    paths = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    python_paths = [str(PROJECT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    found = {
        **os.environ,
        "PATH": os.pathsep.join(paths),  # pip's spark-submit asks `python3` for its own home
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path for path in python_paths if path)),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_CONF_DIR": str(PROJECT / "configs" / "spark"),
        "SPARK_LAUNCHER_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "NIGHTSHIFT_CONFIG": str(settings.file),
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    if settings.spark.master.startswith("local"):
        found["SPARK_LOCAL_IP"] = "127.0.0.1"
    return found


def _follow(
    stream: IO[str] | None, kept: IO[str], tail: deque[str], listen: Listener
) -> dict[str, Any]:
    """Keep and pass on each line to the end of the stream. Returns the last line of JSON."""
    summary: dict[str, Any] = {}
    for line in stream or ():
        if progress_in(line):
            listen(line.rstrip())
            continue
        kept.write(line)
        kept.flush()
        if found := _object(line):
            summary = found
        elif line.strip():
            tail.append(line.rstrip())
            listen(line.rstrip())
    return summary


def _object(line: str) -> dict[str, Any]:
    """The JSON object that a line holds, or nothing."""
    if not line.startswith("{"):
        return {}
    try:
        found = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _cutoff_of(arguments: Sequence[str]) -> str:
    for name, value in itertools.pairwise(arguments):
        if name == "--cutoff":
            return f"-{value}" if value.replace("-", "").isalnum() else ""
    return ""
