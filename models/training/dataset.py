"""What training and validation iterate over: batches drawn anew each epoch, the same for a seed.

Every rank makes its own batches from the same plan and takes every n-th of them; all ranks get
equally many, so none waits for another at the end of an epoch.

N users, Q queries of a batch, M pairs of a query and an item bought in its window, S pairs of an
instant and an item of the next one, K negatives.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any, Generic, Protocol, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import torch
from torch import Tensor

from models.config import LabelHorizons, NextItemConfig, TrainConfig
from models.sequences.batch import BatchBuilder, SequenceBatch, ranges
from models.sequences.history import Histories, Ints
from models.sequences.labels import LabelMaker, midnights
from models.sequences.vocabulary import Encoder, Vocabulary
from models.training.next_items import NextItems

Batch_co = TypeVar("Batch_co", covariant=True)
_ITEMS = 1 << 32  # more than any catalogue has
BATCHES_SORTED = 64  # batches whose users are sorted by length together, to pad little


@dataclass(frozen=True)
class TrainingBatch:
    sequences: SequenceBatch
    purchase: Tensor  # (Q,) labels; nan where the window had not closed
    churn: Tensor  # (Q,)
    spend: Tensor  # (Q,) currency
    item_queries: Tensor  # (M,) which of the ranked queries
    items: Tensor  # (M,)
    item_copies: Tensor  # (M,) which copy candidate it is, -1 for none
    next_instants: Tensor  # (S,)
    next_items: Tensor  # (S,)
    negatives: Tensor  # (K,) ascending, all different
    log_inclusion: Tensor  # (K,) log of the probability that each is among the negatives

    def to(self, device: Any, *args: Any, **kwargs: Any) -> "TrainingBatch":
        moved = {f.name: getattr(self, f.name).to(device, *args, **kwargs) for f in fields(self)}
        return replace(self, **moved)


class TrainingData:
    """Everything before the label limit, as sequences with as-of queries at random past cutoffs."""

    def __init__(
        self,
        histories: Histories,
        vocabulary: Vocabulary,
        *,
        config: TrainConfig,
        horizons: LabelHorizons,
        zone: ZoneInfo,
        label_limit: date,
    ) -> None:
        self.config, self.horizons, self.zone = config, horizons, zone
        self.limit = label_limit.toordinal()
        self.builder = BatchBuilder(
            histories, Encoder(vocabulary), max_length=config.encoder.max_length, zone=zone
        )
        self.labels = LabelMaker(histories, self.builder.instants, horizons, zone)
        self.next_items = NextItems(
            self.builder, num_items=vocabulary.num_items, loss=config.next_item_loss
        )
        self.earliest, self.latest = self._query_days(histories)
        self.users = np.flatnonzero(self.earliest <= self.latest)

    def _query_days(self, histories: Histories) -> tuple[Ints, Ints]:
        """(N,), (N,) ordinals of the first and the last cutoff that a user may be asked about.

        There is an event before it, the features are exact, and a label window has closed.
        """
        shortest = min(self.horizons.purchase_days, self.horizons.items_days)
        latest = np.full(len(histories), self.limit - shortest, dtype=np.int64)
        stored = histories.num_events > 0
        if not stored.any():
            return latest + 1, latest
        log_begins = _day(int(histories.times.min()))
        days = np.arange(log_begins, self.limit + 1)
        starts = midnights(days, self.zone)
        seen = self.builder.features.exact_from()
        after = days[0] + np.searchsorted(starts, seen, side="right")  # the next local midnight
        earliest = np.maximum(after, log_begins + self.config.warmup_days)
        return earliest.astype(np.int64), latest

    def batch_of(self, users: Ints, rng: np.random.Generator) -> TrainingBatch:
        """(B,) -> the batch, asked at cutoffs drawn for it."""
        return self.batch(users, self.draw(rng, users), rng)

    def draw(self, rng: np.random.Generator, users: Ints) -> Ints:
        """(B,) -> (B, num_queries) ordinals, one in each of as many equal parts of the days."""
        count = self.config.num_queries
        place = (np.arange(count) + rng.random((len(users), count))) / count
        span = (self.latest - self.earliest + 1)[users]
        return self.earliest[users][:, None] + (place * span[:, None]).astype(np.int64)

    def batch(self, users: Ints, cutoffs: Ints, rng: np.random.Generator) -> TrainingBatch:
        """(B,), (B, n) -> the batch with all of its targets."""
        count = cutoffs.shape[1]
        owners = np.repeat(np.arange(len(users), dtype=np.int64), count)
        days = cutoffs.reshape(-1)
        ranked = self._ranked(rng, cutoffs.shape)
        sequences, layout = self.builder.build(users, owners, days, ranked_queries=ranked)
        purchase, churn, spend = self.labels.at(users[owners], days)
        limits = ((purchase, "purchase_days"), (churn, "churn_days"), (spend, "spend_days"))
        for values, name in limits:
            values[days + getattr(self.horizons, name) > self.limit] = np.nan
        item_queries, items = self._bought(users[owners][ranked], days[ranked])
        next_instants, next_items = self.next_items.within(layout)
        negatives, log_inclusion = self.next_items.negatives(rng, next_items)
        return TrainingBatch(
            sequences=sequences,
            purchase=torch.from_numpy(purchase.astype(np.float32)),
            churn=torch.from_numpy(churn.astype(np.float32)),
            spend=torch.from_numpy(spend.astype(np.float32)),
            item_queries=torch.from_numpy(item_queries),
            items=torch.from_numpy(items),
            item_copies=torch.from_numpy(_copies(sequences, item_queries, items)),
            next_instants=torch.from_numpy(next_instants),
            next_items=torch.from_numpy(next_items),
            negatives=torch.from_numpy(negatives),
            log_inclusion=torch.from_numpy(log_inclusion),
        )

    def _ranked(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Ints:
        """(R,) some of each user's queries: ranking costs a pass over the whole catalogue."""
        places = rng.permuted(np.broadcast_to(np.arange(shape[1]), shape), axis=1)
        return np.flatnonzero(places < self.config.num_ranked_queries).astype(np.int64)

    def _bought(self, users: Ints, days: Ints) -> tuple[Ints, Ints]:
        """(M,) queries and (M,) different catalogue items bought in their closed items windows."""
        horizon = self.horizons.items_days
        instants = self.builder.instants
        starts = instants.first_from(users, midnights(days, self.zone))
        ends = instants.first_from(users, midnights(days + horizon, self.zone))
        ends = np.where(days + horizon <= self.limit, ends, starts)
        events, queries = ranges(instants.starts[starts], instants.starts[ends])
        items = self.builder.events.items[events]
        keep = (items > 0) & self.builder.histories.is_purchase[events]
        pairs = np.unique(np.stack([queries[keep], items[keep]]), axis=1)
        return pairs[0], pairs[1]


class Drawable(Protocol[Batch_co]):
    """What an epoch's batches are drawn from."""

    @property
    def config(self) -> NextItemConfig | TrainConfig: ...

    @property
    def users(self) -> Ints: ...

    @property
    def builder(self) -> BatchBuilder: ...

    def batch_of(self, users: Ints, rng: np.random.Generator) -> Batch_co: ...


class TrainingBatches(torch.utils.data.IterableDataset[Batch_co], Generic[Batch_co]):
    """One epoch of one rank, from its batch ``start`` on.

    A batch is drawn from its own number, so a training that goes on in the middle of an epoch draws
    what an unbroken one would have drawn.
    """

    def __init__(
        self, data: Drawable[Batch_co], *, epoch: int, rank: int, num_ranks: int, start: int = 0
    ) -> None:
        super().__init__()
        self.data, self.epoch, self.rank, self.num_ranks = data, epoch, rank, num_ranks
        self.start = start

    def __len__(self) -> int:
        return batches_per_epoch(self.data, num_ranks=self.num_ranks) - self.start

    def __iter__(self) -> Iterator[Batch_co]:
        for number, users in enumerate(self.users()[self.start :], self.start):
            rng = np.random.default_rng([self.data.config.seed, self.epoch, self.rank, number])
            yield self.data.batch_of(users, rng)

    def users(self) -> list[Ints]:
        """The users of each of this rank's batches, those before ``start`` too."""
        shared = np.random.default_rng([self.data.config.seed, self.epoch])  # alike on every rank
        return self._plan(shared)[self.rank :: self.num_ranks]

    def _plan(self, rng: np.random.Generator) -> list[Ints]:
        """Every user once, a few twice to fill the last batches; like lengths together."""
        size = self.data.config.batch_size
        count = batches_per_epoch(self.data, num_ranks=self.num_ranks) * self.num_ranks
        users = rng.permutation(self.data.users)
        users = np.resize(users, count * size) if len(users) < count * size else users
        lengths = np.diff(self.data.builder.instants.offsets)
        batches: list[Ints] = []
        for start in range(0, len(users), size * BATCHES_SORTED):
            group = users[start : start + size * BATCHES_SORTED]
            group = group[np.argsort(lengths[group], kind="stable")]
            batches += [group[n : n + size] for n in range(0, len(group), size)]
        return [batches[n] for n in rng.permutation(len(batches))]


def batches_per_epoch(data: Drawable[Any], *, num_ranks: int) -> int:
    """Batches that each rank trains on in an epoch."""
    return -(-len(data.users) // (data.config.batch_size * num_ranks))


def _copies(sequences: SequenceBatch, queries: Ints, items: Ints) -> Ints:
    """(M,) the candidate that is a target's item; candidates ascend by query, then item."""
    owned = sequences.copy_queries.numpy() * _ITEMS + sequences.copy_items.numpy()
    wanted = queries * _ITEMS + items
    if not len(owned):
        return np.full(len(wanted), -1, dtype=np.int64)
    found = np.minimum(np.searchsorted(owned, wanted), len(owned) - 1)
    return np.where(owned[found] == wanted, found, -1).astype(np.int64)


def _day(microsecond: int) -> int:
    """Ordinal of the day before the one, in UTC, that holds the microsecond."""
    return date(1970, 1, 1).toordinal() + microsecond // 86_400_000_000 - 1
