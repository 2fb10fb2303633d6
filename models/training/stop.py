"""Being told to stop: SIGTERM of a scheduler, SIGINT of a person, heard at the end of a step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Was this process told to stop, and how?"""

    def __init__(self) -> None:
        self.name = ""  # of the signal

    def __bool__(self) -> bool:
        return bool(self.name)

    def hear(self, number: int, frame: Any) -> None:
        """A signal handler: it only remembers, for a step cannot be left in the middle."""
        self.name = signal.Signals(number).name


@contextmanager
def listening() -> Iterator[Stop]:
    """Hear the signals as long as the block lasts; in the main thread, the only one that can.

    The block lasts until the program has said how it ended: torchrun sends SIGTERM to all
    processes as soon as one of them has failed.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.hear) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
