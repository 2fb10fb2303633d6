"""One side of a comparison: a process of its own, its seconds and its peak memory."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from jobs.running.settings import load_settings
from jobs.running.steps import environment
from jobs.services.memory import PeakMemory, family


@dataclass(frozen=True)
class Side:
    """What a side said of itself (its last line, in JSON), and the most memory it all took."""

    said: dict[str, Any]
    peak_gib: float


def run_side(module: str, arguments: Sequence[str], *, python: str = sys.executable) -> Side:
    """Run ``python -m module`` to its end, with Spark as a night finds it.

    A peer with an environment of its own has another ``python``.

    Raises RuntimeError with what it said last.
    """
    command = [python, "-m", module, *arguments]
    process = subprocess.Popen(
        command,
        env=environment(load_settings()),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    root = psutil.Process(process.pid)
    memory = PeakMemory(lambda: family(root), every_seconds=0.2)
    memory.start()
    output, _ = process.communicate()
    peak_gib = memory.end()
    if process.returncode:
        raise RuntimeError(f"{module} ended with {process.returncode}:\n{output[-3000:]}")
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return Side(json.loads(lines[-1]), peak_gib)
