"""All of a night without Airflow: the same programs, one after another.

nightshift night --cutoff 2017-11-29 --json
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from contracts.errors import BusyError
from contracts.night import NIGHT, NIGHT_LOCK, Program, night_arguments
from jobs.running.private_files import open_private
from jobs.running.settings import Settings
from jobs.running.steps import Result

RunProgram = Callable[[Program, list[str]], Result]


def run_night(cutoff: str, settings: Settings, run: RunProgram) -> tuple[int, dict[str, Any]]:
    """Run every program; the first that fails ends the night. Returns its code and what it said."""
    start = time.monotonic()
    said: dict[str, Any] = {"job": "night", "cutoff": cutoff, "steps": {}, "tables": {}}
    with hold_night(settings, cutoff):
        for step in NIGHT:
            result = run(step.program, night_arguments(cutoff))
            said["steps"][step.program.name] = {**result.summary, "wall_seconds": result.seconds}
            if result.exit_code:
                said |= {"failed": step.program.name, "message": result.message}
                return result.exit_code, said
            said["tables"] |= result.summary.get("tables", {})
    said["seconds"] = round(time.monotonic() - start, 2)
    return 0, said


@contextlib.contextmanager
def hold_night(settings: Settings, cutoff: str) -> Iterator[None]:
    """Hold the right to run a night here. Raises BusyError while another process holds it.

    The operating system lets go of the lock when its holder dies, so that none is ever stale.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    file = settings.home / NIGHT_LOCK
    with open_private(file, "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = json.loads(lock.read() or "{}")
            raise BusyError(
                str(file),
                found=f"process {holder.get('pid', '?')} at the night {holder.get('cutoff', '?')}",
                expected="no other night to be running",
                do="Wait until it ends, then run this again: a repeated night replaces its rows.",
            ) from None
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid(), "cutoff": cutoff}))
        lock.flush()
        yield
        lock.truncate(0)
