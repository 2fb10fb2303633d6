"""Files that other accounts of the machine may not open.

A lock file must be its owner's alone: whoever can open it, even to read, can `flock` it for good.
What else a program makes is closed to all but its owner and its group.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

OWNER_ONLY = 0o600
OTHERS = 0o007


@contextmanager
def open_private(file: Path, mode: str) -> Iterator[IO[str]]:
    """Open a text file, made with mode 0600 if need be; a file that was more open is closed up."""
    with open(file, mode, opener=lambda path, flags: os.open(path, flags, OWNER_ONLY)) as opened:
        with suppress(PermissionError):  # of another account: its mode is not ours to change
            os.fchmod(opened.fileno(), OWNER_ONLY)
        yield opened


@contextmanager
def closed_to_others() -> Iterator[None]:
    """What is made meanwhile, by child processes too, is not for accounts outside the group."""
    before = os.umask(0o077)
    os.umask(before | OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def is_open_to_others(folder: Path) -> bool:
    """Can any account of this machine look into the folder?"""
    return bool(folder.stat().st_mode & OTHERS)
