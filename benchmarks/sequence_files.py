"""The files of the training and ranking benchmarks; the standard library alone, for every peer.

``user item`` a line (MovieLens-1M) or ``user item item …`` a line (Amazon Beauty), gzip or plain.
"""

import gzip
from pathlib import Path

LENGTHS = {"ml-1m": 200, "beauty-s3rec": 50}  # latest items that are read, by the file's first name


def length_of(file: Path) -> int:
    return LENGTHS.get(file.name.split(".")[0], 50)


def read_sequences(file: Path) -> list[list[str]]:
    """A list of items, oldest first, for each user."""
    content = file.read_bytes()
    text = gzip.decompress(content) if file.suffix == ".gz" else content
    users: dict[str, list[str]] = {}
    for line in text.decode().splitlines():
        user, *items = line.split()
        users.setdefault(user, []).extend(items)
    return list(users.values())
