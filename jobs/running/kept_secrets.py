"""Passwords and keys of services that run here: made once, each in a file of its owner's."""

from collections.abc import Callable
from pathlib import Path

from jobs.running.private_files import OWNER_ONLY
from models.whole_files import write_whole


def kept_secret(file: Path, make: Callable[[], str]) -> str:
    """What was written here before, or a new secret. A file without a word holds none."""
    if not has_secret(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, make(), mode=OWNER_ONLY, replaces=file.exists())
    return file.read_text()


def has_secret(file: Path) -> bool:
    """An empty file is what a full disk left of one: whoever took it would ask for no password."""
    return file.is_file() and bool(file.read_text().strip())
