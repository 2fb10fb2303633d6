"""What training is shown of users in memory: their sequences, asked at random past cutoffs.

N users, Q queries of a batch, M pairs of a query and an item bought in its window, S pairs of an
instant and an item of the next one, P pairs of an instant and the type of an event of the next one,
K negatives.
"""

from dataclasses import dataclass, fields, replace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import torch
from torch import Tensor

from models.config import LabelHorizons, TrainConfig
from models.sequences.batch import BatchBuilder, Layout, SequenceBatch, ranges
from models.sequences.history import Histories, Ints
from models.sequences.labels import LabelMaker, midnights
from models.sequences.vocabulary import Encoder, Vocabulary
from models.training.next_items import NextItems, following
from models.training.query_days import QueryDays

_ITEMS = 1 << 32  # more than any catalogue has


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
    typed_instants: Tensor  # (P,) none where the log has one event type
    next_event_types: Tensor  # (P,)
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
        item_counts: Ints,
        days: QueryDays,
        config: TrainConfig,
        horizons: LabelHorizons,
        zone: ZoneInfo,
    ) -> None:
        self.config, self.horizons, self.zone = config, horizons, zone
        self.limit, self.latest = days.limit, days.latest
        self.builder = BatchBuilder(
            histories, Encoder(vocabulary), max_length=config.encoder.max_length, zone=zone
        )
        self.has_event_types = vocabulary.has_event_types
        self.labels = LabelMaker(histories, self.builder.instants, horizons, zone)
        self.next_items = NextItems(
            self.builder, item_counts=item_counts, loss=config.next_item_loss
        )
        self.earliest = days.earliest_of(histories)
        self.users = np.flatnonzero(self.earliest <= self.latest)

    def batch_of(self, users: Ints, rng: np.random.Generator) -> TrainingBatch:
        """(B,) -> the batch, asked at cutoffs drawn for it."""
        return self.batch(users, self.draw(rng, users), rng)

    def draw(self, rng: np.random.Generator, users: Ints) -> Ints:
        """(B,) -> (B, num_queries) ordinals, one in each of as many equal parts of the days."""
        count = self.config.num_queries
        place = (np.arange(count) + rng.random((len(users), count))) / count
        span = self.latest - self.earliest[users] + 1
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
        typed_instants, next_event_types = self._next_event_types(layout)
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
            typed_instants=torch.from_numpy(typed_instants),
            next_event_types=torch.from_numpy(next_event_types),
            negatives=torch.from_numpy(negatives),
            log_inclusion=torch.from_numpy(log_inclusion),
        )

    def _next_event_types(self, layout: Layout) -> tuple[Ints, Ints]:
        """(P,) places of instants and (P,) the type of each event of the next."""
        if not self.has_event_types:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        places, events = following(self.builder, layout)
        types = self.builder.events.event_types[events]
        return places[types > 0], types[types > 0]

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


def _copies(sequences: SequenceBatch, queries: Ints, items: Ints) -> Ints:
    """(M,) the candidate that is a target's item; candidates ascend by query, then item."""
    owned = sequences.copy_queries.numpy() * _ITEMS + sequences.copy_items.numpy()
    wanted = queries * _ITEMS + items
    if not len(owned):
        return np.full(len(wanted), -1, dtype=np.int64)
    found = np.minimum(np.searchsorted(owned, wanted), len(owned) - 1)
    return np.where(owned[found] == wanted, found, -1).astype(np.int64)
