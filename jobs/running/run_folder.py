"""One training at a time in a run's folder.

The lock is held by an open file beside the folder: the system lets go of it when its holder dies.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from contracts.errors import TrainingBusyError
from jobs.running.private_files import open_private


def lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold a run's folder to the end of the block. Raises TrainingBusyError while another does."""
    file = lock_of(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with open_private(file, "a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise _busy(folder, lock.read()) from None
            if not _is_at(file, lock.fileno()):
                continue  # its holder ended, and removed it, after we had opened it
            lock.truncate(0)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
            lock.write(json.dumps(holder))
            lock.flush()
            try:
                yield
            finally:
                file.unlink(missing_ok=True)
            return


def _is_at(file: Path, descriptor: int) -> bool:
    """Is the open file still the one at this path?"""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _busy(folder: Path, text: str) -> TrainingBusyError:
    try:
        holder = json.loads(text)
    except json.JSONDecodeError:  # it holds the lock, and has not written its name yet
        holder = {}
    return TrainingBusyError(
        str(folder),
        pid=str(holder.get("pid", "?")),
        host=str(holder.get("host", "?")),
        since=str(holder.get("since", "?")),
    )
