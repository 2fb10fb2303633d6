"""The peak memory of processes that come and go, such as a command and all that it starts."""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from jobs.services.processes import started_for


def deployment(home: Path) -> set[psutil.Process]:
    """This process, all that it has started, and the home folder's services."""
    return {*family(psutil.Process()), *started_for(home)}


def family(process: psutil.Process) -> set[psutil.Process]:
    """A process and all below it; none once it has ended."""
    try:
        return {process, *process.children(recursive=True)}
    except psutil.NoSuchProcess:
        return set()


class PeakMemory(threading.Thread):
    """Adds up proportional set sizes every few seconds: a page that two share counts once."""

    def __init__(
        self, processes: Callable[[], Iterable[psutil.Process]], *, every_seconds: float = 2
    ) -> None:
        super().__init__(daemon=True)
        self._processes, self._every_seconds = processes, every_seconds
        self._over = threading.Event()
        self.peak_bytes = 0

    def run(self) -> None:
        while not self._over.wait(self._every_seconds):
            self.peak_bytes = max(self.peak_bytes, self._now())

    def end(self) -> float:
        """Stop measuring. Returns the peak in GiB."""
        self._over.set()
        return round(self.peak_bytes / 2**30, 2)

    def _now(self) -> int:
        return sum(_size(process) for process in self._processes())


def _size(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, AttributeError):  # it ended meanwhile, or the system has no such number
        return 0
