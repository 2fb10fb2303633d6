"""How far a program is: a line for a console that asked for it, and a bar for people.

A program that knows its length prints such lines when ``NIGHTSHIFT_PROGRESS`` is set, which the
command line does on a terminal; anywhere else it prints a sentence now and then (`Pause`).
"""

import os
import sys
import time
from dataclasses import dataclass

from jobs.running.lines import say_line

ASKED = "NIGHTSHIFT_PROGRESS"
MARK = "progress"
PAUSE_SECONDS = 0.5  # between two lines


@dataclass(frozen=True)
class Progress:
    done: int
    total: int
    speed: str  # with its unit
    seconds_left: float

    def line(self) -> str:
        return f"{MARK}\t{self.done}\t{self.total}\t{self.speed}\t{self.seconds_left:.0f}"


def progress_in(line: str) -> Progress | None:
    """What a line says of progress, if it does."""
    mark, *parts = line.split("\t")
    if mark != MARK or len(parts) != 4:
        return None
    done, total, speed, seconds_left = parts
    return Progress(int(done), int(total), speed, float(seconds_left))


class Pause:
    """Lets something happen at most once in so many seconds; the first time at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.over_at = seconds, 0.0

    def is_over(self) -> bool:
        """May it happen now? Then the next pause begins."""
        now = time.monotonic()
        if now < self.over_at:
            return False
        self.over_at = now + self.seconds
        return True


class Reporter:
    """Prints lines of progress, not too many of them, where they were asked for."""

    def __init__(self) -> None:
        self.is_asked = bool(os.environ.get(ASKED))
        self.said_at = 0.0

    def say(self, progress: Progress) -> None:
        is_last = progress.done == progress.total
        now = time.monotonic()
        if self.is_asked and (is_last or now - self.said_at >= PAUSE_SECONDS):
            self.said_at = now
            say_line(progress.line(), sys.stderr)


def time_left(seconds: float) -> str:
    """As people say it: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
