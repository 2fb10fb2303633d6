"""The validation cutoffs: users to be scored as a night would score them, and what came true.

What came true is in memory for all of them, their histories a shard at a time. C cutoffs, N users,
B users of a batch, Y event types and the unknown one, or none where the log has but one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from contracts.exclusions import NOTHING, Exclusions
from contracts.windows import instant
from models.config import LabelHorizons, TrainConfig
from models.sequences.batch import BatchBuilder, SequenceBatch, ranges
from models.sequences.census import can_be_offered
from models.sequences.history import Floats, Ints
from models.sequences.labels import LabelMaker, midnights
from models.sequences.vocabulary import Encoder, Vocabulary
from models.training.dealing import VALIDATION, read_shard
from models.training.shards import OneOpen


@dataclass(frozen=True)
class Asked:
    """One cutoff's users of one rank's batch, to be scored as a night would score them."""

    sequences: SequenceBatch
    cutoff_place: int  # in `ValidationData.cutoffs`
    users: Ints

    def to(self, device: Any, *args: Any, **kwargs: Any) -> "Asked":
        return replace(self, sequences=self.sequences.to(device, *args, **kwargs))


@dataclass(frozen=True)
class Truth:
    """What came true of the users of one shard."""

    purchase: Floats  # (C, N) nan where the user is not asked, or the window had not closed
    churn: Floats  # (C, N)
    spend: Floats  # (C, N)
    bought: list[list[Ints]]  # (C, N) different items; those that cannot be hit are below 0
    event_types: Floats  # (C, N, Y) shares among the next instant's events; nan where none is known


class ValidationData:
    """Users at the validation cutoffs, and what came true; nothing of it is trained on."""

    def __init__(
        self,
        folder: Path,
        num_shards: int,
        vocabulary: Vocabulary,
        *,
        config: TrainConfig,
        horizons: LabelHorizons,
        zone: ZoneInfo,
        cutoffs: Sequence[date],
        limit: date,
        exclusions: Exclusions = NOTHING,
    ) -> None:
        self.exclusions = exclusions
        self.folder, self.cutoffs, self.config = folder, list(cutoffs), config
        self.horizons, self.zone, self.limit = horizons, zone, limit
        self.encoder = Encoder(vocabulary)
        self.has_amounts = vocabulary.has_amounts
        self.num_types = len(vocabulary.event_types) + 1 if vocabulary.has_event_types else 0
        self._opened = OneOpen(self._read)
        found = [self._truth(self._opened(shard)) for shard in range(num_shards)]
        nobody = np.zeros((len(self.cutoffs), 0))
        self.purchase = np.concatenate([nobody, *(truth.purchase for truth in found)], axis=1)
        self.churn = np.concatenate([nobody, *(truth.churn for truth in found)], axis=1)
        self.spend = np.concatenate([nobody, *(truth.spend for truth in found)], axis=1)
        self.bought = [
            [items for truth in found for items in truth.bought[place]]
            for place in range(len(self.cutoffs))
        ]
        no_types = np.zeros((len(self.cutoffs), 0, self.num_types))
        self.event_types = np.concatenate([no_types, *(t.event_types for t in found)], axis=1)
        self.starts = np.cumsum([0, *(truth.purchase.shape[1] for truth in found)])  # of shards

    @property
    def num_users(self) -> int:
        return int(self.starts[-1])

    def batches(self, places: Sequence[int], *, rank: int, num_ranks: int) -> Iterator[Asked]:
        """This rank's share of the batches; shares may differ in length.

        Who is in a batch does not depend on the number of ranks, so neither does any answer.
        """
        size, number = 4 * self.config.batch_size, 0
        for shard, (first, end) in enumerate(zip(self.starts, self.starts[1:], strict=False)):
            lengths = np.diff(self._opened(shard).instants.offsets)
            for place in places:
                users = np.flatnonzero(np.isfinite(self.purchase[place, first:end]))
                users = users[np.argsort(lengths[users], kind="stable")]
                for start in range(0, len(users), size):
                    if number % num_ranks == rank:
                        yield self._asked(shard, place, users[start : start + size])
                    number += 1

    def _asked(self, shard: int, place: int, users: Ints) -> Asked:
        days = np.full(len(users), self.cutoffs[place].toordinal(), dtype=np.int64)
        owners = np.arange(len(users), dtype=np.int64)
        sequences, _ = self._opened(shard).build(users, owners, days)
        return Asked(sequences, place, self.starts[shard] + users)

    def _read(self, shard: int) -> BatchBuilder:
        histories = read_shard(self.folder, VALIDATION, shard, money=self.horizons.money)
        return BatchBuilder(
            histories.before(instant(self.limit, self.zone)),
            self.encoder,
            max_length=self.config.encoder.max_length,
            zone=self.zone,
        )

    def _truth(self, builder: BatchBuilder) -> Truth:
        horizons, instants = self.horizons, builder.instants
        labels = LabelMaker(builder.histories, instants, horizons, self.zone)
        users = np.arange(len(builder.histories), dtype=np.int64)
        shape = (len(self.cutoffs), len(users))
        purchase, churn, spend = (np.full(shape, np.nan) for _ in range(3))
        bought: list[list[Ints]] = []
        types = np.full((*shape, self.num_types), np.nan)
        for place, cutoff in enumerate(self.cutoffs):
            days = np.full(len(users), cutoff.toordinal(), dtype=np.int64)
            seen = instants.first_from(users, midnights(days, self.zone)) > instants.offsets[:-1]
            found = labels.at(users, days)
            for target, values, length in (
                (purchase, found[0], horizons.purchase_days),
                (churn, found[1], horizons.churn_days),
                (spend, found[2], horizons.spend_days),
            ):
                if cutoff.toordinal() + length <= self.limit.toordinal():
                    target[place, seen] = values[seen]
            bought.append(self._bought(builder, days))
            if self.num_types:
                types[place, seen] = self._next_event_types(builder, days)[seen]
        return Truth(purchase, churn, spend, bought, types)

    def _next_event_types(self, builder: BatchBuilder, days: Ints) -> Floats:
        """(N, Y) of each user's first instant from the day on; nan for whom none has come."""
        instants, users = builder.instants, np.arange(len(days))
        first = instants.first_from(users, midnights(days, self.zone))
        came = np.flatnonzero(first < instants.offsets[1:])
        events, owners = ranges(instants.starts[first[came]], instants.starts[first[came] + 1])
        places = owners * self.num_types + builder.events.event_types[events]
        counts = np.bincount(places, minlength=len(came) * self.num_types)
        shares = np.full((len(days), self.num_types), np.nan)
        shares[came] = (
            counts.reshape(-1, self.num_types) / instants.num_events[first[came]][:, None]
        )
        return shares

    def _bought(self, builder: BatchBuilder, days: Ints) -> list[Ints]:
        """(N,) different items bought; those outside the catalogue count, as what cannot be hit.

        Excluded ones do not: nobody is to be offered them.
        """
        histories = builder.histories
        is_offered = can_be_offered(histories, self.exclusions)
        start = midnights(days[:1], self.zone)
        end = midnights(days[:1] + self.horizons.items_days, self.zone)
        inside = (histories.times >= start) & (histories.times < end) & histories.is_purchase
        inside &= is_offered[histories.item_codes]
        known = builder.events.items[inside]
        items = np.where(known > 0, known, -1 - histories.item_codes[inside])
        counts = np.bincount(histories.event_users[inside], minlength=len(histories))
        parts = np.split(items, np.cumsum(counts)[:-1])
        return [np.unique(part) for part in parts[: len(histories)]]
