"""Training's users on disk, of whom those of one shard are in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

import numpy as np

from contracts.windows import instant
from models.config import LabelHorizons, TrainConfig
from models.sequences.vocabulary import Vocabulary
from models.training.dataset import TrainingData
from models.training.dealing import TRAINING, Dealt, read_shard
from models.training.query_days import QueryDays

T = TypeVar("T")


class ShardMemoryError(MemoryError):
    """There is no room for a shard of users; a step need not be to blame."""


class OneOpen(Generic[T]):
    """Keeps the shard that was opened last, and lets go of it before the next one is opened."""

    def __init__(self, read: Callable[[int], T]) -> None:
        self._read = read
        self._open: tuple[int, T] | None = None

    def __call__(self, number: int) -> T:
        if self._open is None or self._open[0] != number:
            self._open = None
            try:
                self._open = (number, self._read(number))
            except MemoryError as error:
                raise ShardMemoryError(str(error)) from error
        return self._open[1]


@dataclass
class TrainingShards:
    """Everything before the label limit."""

    folder: Path
    dealt: Dealt
    vocabulary: Vocabulary
    config: TrainConfig
    horizons: LabelHorizons
    zone: ZoneInfo
    label_limit: date

    def __post_init__(self) -> None:
        self._opened = OneOpen(self._read)
        self.item_counts = np.asarray(self.dealt.item_counts, dtype=np.int64)  # (V,)

    @property
    def sizes(self) -> Sequence[int]:
        return self.dealt.sizes

    @property
    def num_users(self) -> int:
        return sum(self.sizes)

    @property
    def days(self) -> QueryDays:
        return QueryDays.of(
            self.dealt.first_time,
            limit=self.label_limit,
            config=self.config,
            horizons=self.horizons,
            zone=self.zone,
        )

    def open(self, shard: int) -> TrainingData:
        return self._opened(shard)

    def sample(self) -> TrainingData:
        """Users who stand for all: the first shard with any, for each was drawn by chance."""
        return self.open(next(n for n, size in enumerate(self.sizes) if size))

    def _read(self, shard: int) -> TrainingData:
        histories = read_shard(self.folder, TRAINING, shard, money=self.horizons.money)
        return TrainingData(
            histories.before(instant(self.label_limit, self.zone)),
            self.vocabulary,
            item_counts=self.item_counts,
            days=self.days,
            config=self.config,
            horizons=self.horizons,
            zone=self.zone,
        )
