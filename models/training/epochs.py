"""The batches of an epoch: drawn anew from its number, the same for a seed, a shard at a time.

Users lie in shards, of which one is in memory. Every rank makes its own batches from the same plan
and takes every n-th of a shard's; all ranks get equally many, so none waits for another at the end
of an epoch.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch

from models.config import NextItemConfig, TrainConfig
from models.sequences.batch import BatchBuilder
from models.sequences.history import Ints

Batch_co = TypeVar("Batch_co", covariant=True)
BATCHES_SORTED = 64  # batches whose users are sorted by length together, to pad little


class Drawable(Protocol[Batch_co]):
    """Users in memory, from whom batches are drawn."""

    @property
    def users(self) -> Ints: ...

    @property
    def builder(self) -> BatchBuilder: ...

    def batch_of(self, users: Ints, rng: np.random.Generator) -> Batch_co: ...


class Shards(Protocol[Batch_co]):
    """All users, of whom those of one shard are in memory."""

    @property
    def config(self) -> NextItemConfig | TrainConfig: ...

    @property
    def sizes(self) -> Sequence[int]: ...  # users of each shard

    def open(self, shard: int) -> Drawable[Batch_co]: ...


class Visit(NamedTuple):
    """A shard's turn in an epoch."""

    shard: int
    seed: int
    first: int  # number of its first batch, in this rank's epoch
    num_batches: int  # of this rank


class TrainingBatches(torch.utils.data.IterableDataset[Batch_co], Generic[Batch_co]):
    """One epoch of one rank, from its batch ``start`` on.

    A batch is drawn from its own number, so a training that goes on in the middle of an epoch draws
    what an unbroken one would have drawn.
    """

    def __init__(
        self, data: Shards[Batch_co], *, epoch: int, rank: int, num_ranks: int, start: int = 0
    ) -> None:
        super().__init__()
        self.data, self.epoch, self.rank, self.num_ranks = data, epoch, rank, num_ranks
        self.start = start

    def __len__(self) -> int:
        return batches_per_epoch(self.data, num_ranks=self.num_ranks) - self.start

    def __iter__(self) -> Iterator[Batch_co]:
        for visit in self._visits():
            if visit.first + visit.num_batches > self.start:
                yield from self._batches(visit)

    def user_ids(self, number: int) -> list[str]:
        """Who is in this rank's batch of that number."""
        visit = next(v for v in self._visits() if number < v.first + v.num_batches)
        data = self.data.open(visit.shard)
        users = self._plan(data, visit)[number - visit.first]
        return [str(user_id) for user_id in data.builder.histories.user_ids[users]]

    def _batches(self, visit: Visit) -> Iterator[Batch_co]:
        """In a frame of its own, which lets go of the shard before the next one is opened."""
        data = self.data.open(visit.shard)
        for number, users in enumerate(self._plan(data, visit), visit.first):
            if number >= self.start:
                rng = np.random.default_rng([self.data.config.seed, self.epoch, self.rank, number])
                yield data.batch_of(users, rng)

    def _visits(self) -> Iterator[Visit]:
        """The shards in the epoch's order, alike on every rank."""
        rng = np.random.default_rng([self.data.config.seed, self.epoch])
        order = rng.permutation(len(self.data.sizes))
        seeds = rng.integers(1 << 63, size=len(order))
        first = 0
        for shard, seed in zip(order.tolist(), seeds.tolist(), strict=True):
            count = _batches_of(self.data.sizes[shard], self.data.config, self.num_ranks)
            yield Visit(shard, seed, first, count)
            first += count

    def _plan(self, data: Drawable[Batch_co], visit: Visit) -> list[Ints]:
        """The users of each of this rank's batches of a shard: like lengths together.

        Of all ranks together: every user once, a few twice to fill the last batches.
        """
        size, rng = self.data.config.batch_size, np.random.default_rng(visit.seed)
        wanted = visit.num_batches * self.num_ranks * size
        users = rng.permutation(data.users)
        users = np.resize(users, wanted) if len(users) < wanted else users
        lengths = np.diff(data.builder.instants.offsets)
        batches: list[Ints] = []
        for start in range(0, len(users), size * BATCHES_SORTED):
            group = users[start : start + size * BATCHES_SORTED]
            group = group[np.argsort(lengths[group], kind="stable")]
            batches += [group[n : n + size] for n in range(0, len(group), size)]
        order = rng.permutation(len(batches))
        return [batches[n] for n in order[self.rank :: self.num_ranks]]


def batches_per_epoch(data: Shards[Any], *, num_ranks: int) -> int:
    """Batches that each rank trains on in an epoch."""
    return sum(_batches_of(size, data.config, num_ranks) for size in data.sizes)


def _batches_of(num_users: int, config: NextItemConfig | TrainConfig, num_ranks: int) -> int:
    return -(-num_users // (config.batch_size * num_ranks))
