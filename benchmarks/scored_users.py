"""The users of the scoring benchmark as every side reads them: a few latest items for each.

A shape is a file of the ranking benchmarks, or ``generated:USERS``: that many users of 100,000
items whose popularity falls by Zipf's law, with 1 to 50 events, nine in the mean, as Beauty's have.
The standard library and numpy alone, for every peer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sequence_files import length_of, read_sequences

GENERATED = "generated:"
GENERATED_ITEMS, GENERATED_LENGTH, MEAN_EVENTS = 100_000, 50, 9
CHUNK = 50_000  # users that are made at once


@dataclass(frozen=True)
class Users:
    """Items of consecutive users, oldest first: user ``n`` has ``offsets[n]:offsets[n + 1]``."""

    first: int  # number of the first user
    offsets: NDArray[np.int64]  # (N + 1,)
    items: NDArray[np.int64]  # (E,) 1 to the number of items

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def first_of(self, number: int) -> "Users":
        return self._between(0, min(number, len(self)))

    def divided(self, number: int) -> "Iterator[Users]":
        """In equal parts, or nearly."""
        ends = np.linspace(0, len(self), number + 1).astype(int)
        return (self._between(start, end) for start, end in pairwise(ends) if end > start)

    def _between(self, start: int, end: int) -> "Users":
        first, last = self.offsets[[start, end]]
        offsets = self.offsets[start : end + 1] - first
        return Users(self.first + start, offsets, self.items[first:last])


@dataclass(frozen=True)
class Shape:
    name: str
    max_length: int
    num_items: int
    num_users: int
    item_counts: NDArray[np.int64]  # (num_items,) events of each, the shape's or nearly


def shape_of(text: str) -> Shape:
    if text.startswith(GENERATED):
        num_users = int(text.removeprefix(GENERATED))
        counts = 1 + np.floor(MEAN_EVENTS * num_users * _popularity()).astype(np.int64)
        name = f"generated, {num_users:,} users"
        return Shape(name, GENERATED_LENGTH, GENERATED_ITEMS, num_users, counts)
    (users,) = _read(Path(text))
    counts = np.bincount(users.items)[1:]
    return Shape(
        Path(text).name.split(".")[0], length_of(Path(text)), len(counts), len(users), counts
    )


def users_of(text: str, *, limit: int | None = None) -> Iterator[Users]:
    """Chunk by chunk; ``limit`` users at most."""
    if not text.startswith(GENERATED):
        (users,) = _read(Path(text))
        yield users.first_of(limit or len(users))
        return
    total = min(limit or 1 << 62, int(text.removeprefix(GENERATED)))
    steps = np.cumsum(_popularity())
    for first in range(0, total, CHUNK):
        rng = np.random.default_rng([29, first])
        lengths = np.minimum(rng.geometric(1 / MEAN_EVENTS, CHUNK), GENERATED_LENGTH)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        items = 1 + np.searchsorted(steps, rng.random(offsets[-1])).clip(max=GENERATED_ITEMS - 1)
        yield Users(first, offsets, items).first_of(total - first)


def _read(file: Path) -> list[Users]:
    """The latest items of each user, items numbered by name."""
    sequences = [items[-length_of(file) :] for items in read_sequences(file)]
    number = {item: n for n, item in enumerate(sorted({i for s in sequences for i in s}), 1)}
    offsets = np.concatenate([[0], np.cumsum([len(items) for items in sequences])])
    items = np.asarray([number[item] for items in sequences for item in items])
    return [Users(0, offsets, items)]


def _popularity() -> NDArray[np.float64]:
    weights = 1.0 / np.arange(1, GENERATED_ITEMS + 1)
    return weights / weights.sum()
