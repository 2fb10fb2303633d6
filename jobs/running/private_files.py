"""Files that only the account which made them may open.

A lock file must be one of them: whoever can open it, even to read, can `flock` it for good.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

OWNER_ONLY = 0o600


@contextmanager
def open_private(file: Path, mode: str) -> Iterator[IO[str]]:
    """Open a text file, made with mode 0600 if need be; a file that was more open is closed up."""
    with open(file, mode, opener=lambda path, flags: os.open(path, flags, OWNER_ONLY)) as opened:
        with suppress(PermissionError):  # of another account: its mode is not ours to change
            os.fchmod(opened.fileno(), OWNER_ONLY)
        yield opened
