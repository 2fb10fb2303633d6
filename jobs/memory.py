"""The peak memory of this command, of all that it starts, and of its home folder's services."""

import threading
from pathlib import Path

import psutil

from jobs.processes import started_for


class PeakMemory(threading.Thread):
    """Adds up proportional set sizes every few seconds: a page that two share counts once."""

    def __init__(self, home: Path, *, every_seconds: float = 2) -> None:
        super().__init__(daemon=True)
        self._home, self._every_seconds = home, every_seconds
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
        own = psutil.Process()
        everything = {own, *own.children(recursive=True), *started_for(self._home)}
        return sum(_size(process) for process in everything)


def _size(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, AttributeError):  # it ended meanwhile, or the system has no such number
        return 0
