"""Item sequences alone: what a training of the next-item head iterates over, and is judged by.

A history longer than the encoder reads is cut at another place every epoch: half of the times it
ends where it ends, half of them anywhere, so that its older items are learnt from too.

N users, B users of a batch, S pairs of an instant and an item of the next one, K negatives.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import torch
from torch import Tensor

from models.config import NextItemConfig
from models.sequences.batch import BatchBuilder, SequenceBatch, ranges
from models.sequences.history import Histories, Ints
from models.sequences.vocabulary import Encoder, Vocabulary
from models.training.next_items import NextItems

ZONE = ZoneInfo("UTC")  # no day begins in these sequences, so any would do
EARLIER_SHARE = 0.5  # of the times, a long history is cut before its end


@dataclass(frozen=True)
class ItemBatch:
    sequences: SequenceBatch
    next_instants: Tensor  # (S,)
    next_items: Tensor  # (S,)
    negatives: Tensor  # (K,) ascending, all different
    log_inclusion: Tensor  # (K,) log of the probability that each is among the negatives

    def to(self, device: Any, *args: Any, **kwargs: Any) -> "ItemBatch":
        moved = {f.name: getattr(self, f.name).to(device, *args, **kwargs) for f in fields(self)}
        return replace(self, **moved)


class ItemData:
    """Every user with two instants or more; each instant but the last asks for the one after it."""

    def __init__(
        self, histories: Histories, vocabulary: Vocabulary, *, config: NextItemConfig
    ) -> None:
        self.config = config
        self.builder = BatchBuilder(
            histories, Encoder(vocabulary), max_length=config.encoder.max_length, zone=ZONE
        )
        self.next_items = NextItems(
            self.builder,
            item_counts=np.bincount(self.builder.events.items, minlength=vocabulary.num_items + 1),
            loss=config.next_item_loss,
        )
        lengths = np.diff(self.builder.instants.offsets)
        self.users = np.flatnonzero(lengths >= 2)
        asked = np.minimum(lengths[self.users] - 1, config.encoder.max_length).sum()
        self.asked_per_user = float(asked) / max(len(self.users), 1)  # instants with a next one

    @property
    def sizes(self) -> list[int]:
        """All of them are one shard, which is in memory."""
        return [len(self.users)]

    def open(self, shard: int) -> "ItemData":
        return self

    def batch_of(self, users: Ints, rng: np.random.Generator) -> ItemBatch:
        ends = self.ends_of(users, rng)
        sequences, layout = self.builder.without_queries(ends - 1)
        next_instants, next_items = self.next_items.after(layout)
        negatives, log_inclusion = self.next_items.negatives(rng, next_items)
        return ItemBatch(
            sequences,
            next_instants=torch.from_numpy(next_instants),
            next_items=torch.from_numpy(next_items),
            negatives=torch.from_numpy(negatives),
            log_inclusion=torch.from_numpy(log_inclusion),
        )

    def ends_of(self, users: Ints, rng: np.random.Generator) -> Ints:
        """(B,) -> (B,) the instant that each user's ends before, this time."""
        offsets = self.builder.instants.offsets
        latest = offsets[users + 1]
        earliest = offsets[users] + self.config.encoder.max_length + 1  # read, and one more asked
        anywhere = rng.integers(np.minimum(earliest, latest), latest + 1)
        ends: Ints = np.where(rng.random(len(users)) < EARLIER_SHARE, anywhere, latest)
        return ends


@dataclass(frozen=True)
class Held:
    """Some users' sequences, and the item that was held out of each."""

    sequences: SequenceBatch
    latest: Tensor  # (B,) the slot of each user's last instant
    users: Tensor  # (B,)
    truth: Tensor  # (B,) the held-out item; 0 where it is not in the catalogue
    seen_users: Tensor  # (E,) places in the batch, ascending
    seen_items: Tensor  # (E,) every item that the user had before, once

    def to(self, device: Any, *args: Any, **kwargs: Any) -> "Held":
        moved = {f.name: getattr(self, f.name).to(device, *args, **kwargs) for f in fields(self)}
        return replace(self, **moved)


class HeldOut(torch.utils.data.IterableDataset[Held]):
    """One held-out item a user, ranked from the sequence before it: leave-one-out."""

    def __init__(
        self,
        histories: Histories,
        vocabulary: Vocabulary,
        items: Ints,
        *,
        config: NextItemConfig,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        """``items`` (N,): the held-out item of each user as the catalogue's number."""
        self.builder = BatchBuilder(
            histories, Encoder(vocabulary), max_length=config.encoder.max_length, zone=ZONE
        )
        self.items, self.size = items, 4 * config.batch_size
        lengths = np.diff(self.builder.instants.offsets)
        users = np.flatnonzero(lengths > 0)
        self.users = users[np.argsort(lengths[users], kind="stable")][rank::num_ranks]

    def __len__(self) -> int:
        return -(-len(self.users) // self.size)

    def __iter__(self) -> Iterator[Held]:
        for start in range(0, len(self.users), self.size):
            yield self._batch(self.users[start : start + self.size])

    def _batch(self, users: Ints) -> Held:
        instants, histories = self.builder.instants, self.builder.histories
        sequences, layout = self.builder.without_queries(instants.offsets[users + 1])
        last = np.cumsum(sequences.lengths.numpy()) - 1
        events, owners = ranges(histories.offsets[users], histories.offsets[users + 1])
        seen = np.unique(np.stack([owners, self.builder.events.items[events]]), axis=1)
        return Held(
            sequences,
            latest=torch.from_numpy(layout.instant_slots[last]),
            users=torch.from_numpy(users),
            truth=torch.from_numpy(self.items[users]),
            seen_users=torch.from_numpy(seen[0]),
            seen_items=torch.from_numpy(seen[1]),
        )
