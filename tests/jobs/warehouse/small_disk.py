"""A disk of a few megabytes: a tmpfs of the test's own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """Skips the test, with the system's reason, where mounting is not allowed."""
    disk = folder / "small-disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "nightshift-tests", str(disk)]
    said = subprocess.run(mount, capture_output=True, text=True, check=False)
    if said.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {said.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
