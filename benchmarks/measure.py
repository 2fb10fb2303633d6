"""One side of a comparison: a process of its own, its seconds and its peak memory."""

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil


@dataclass(frozen=True)
class Side:
    """What a side said of itself (its last line, in JSON), and the most memory it all took."""

    said: dict[str, Any]
    peak_gib: float


def run_side(module: str, arguments: Sequence[str], *, env: dict[str, str]) -> Side:
    """Run ``python -m module`` to its end. Raises RuntimeError with what it said last."""
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    peak = _Peak(process.pid)
    peak.start()
    output, _ = process.communicate()
    peak.stop()
    if process.returncode:
        raise RuntimeError(f"{module} ended with {process.returncode}:\n{output[-3000:]}")
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return Side(json.loads(lines[-1]), round(peak.bytes / 2**30, 2))


class _Peak(threading.Thread):
    """Adds up the proportional set sizes of a process and all below it, five times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._over, self.bytes = pid, threading.Event(), 0

    def run(self) -> None:
        while not self._over.wait(0.2):
            try:
                root = psutil.Process(self._pid)
                tree = [root, *root.children(recursive=True)]
            except psutil.Error:
                return
            self.bytes = max(self.bytes, sum(_size(process) for process in tree))

    def stop(self) -> None:
        self._over.set()
        self.join()


def _size(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0
