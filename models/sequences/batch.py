"""A batch of sequences as the network reads it, built the same way for training and for scoring.

One token per instant: the events of one instant (a basket's lines) have no order, so they are
pooled. As-of query tokens stand between the instants before their moment and the rest.

B users, T tokens of the longest, I instants, E events, G n-grams of their texts, Q queries, R of
which rank items, C copy candidates.
A slot is ``user in batch x T + position``.
"""

from dataclasses import dataclass, fields, replace
from datetime import date
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.sequences.copying import Copies, CopyCandidates
from models.sequences.history import Floats, Histories, Ints
from models.sequences.instants import DAY, SECOND, Instants, signed_log1p
from models.sequences.labels import midnights
from models.sequences.query_features import QUERY_FEATURES, QueryFeatures
from models.sequences.vocabulary import EncodedEvents, Encoder

NUM_INSTANT_FEATURES = 8
EVENT_FEATURES = ("item", "category", "event_type", "amount", "quantity", "text")
FEATURES = (*EVENT_FEATURES, *QUERY_FEATURES)  # that a network has to have been trained with


@dataclass(frozen=True)
class SequenceBatch:
    is_query: Tensor  # (B, T) bool
    lengths: Tensor  # (B,) tokens of each user, instants and queries
    event_items: Tensor  # (E,)
    event_categories: Tensor  # (E,)
    event_types: Tensor  # (E,)
    event_amounts: Tensor  # (E,)
    event_quantities: Tensor  # (E,)
    event_offsets: Tensor  # (I,) first event of each instant
    event_ngrams: Tensor  # (G,)
    ngram_offsets: Tensor  # (I,) first n-gram of each instant
    instant_slots: Tensor  # (I,)
    instant_features: Tensor  # (I, NUM_INSTANT_FEATURES)
    query_slots: Tensor  # (Q,)
    query_features: Tensor  # (Q, F) as `QUERY_FEATURES`, not standardised
    query_weekdays: Tensor  # (Q,) 0 is Monday
    ranked_queries: Tensor  # (R,) the queries for which items are ranked
    copy_queries: Tensor  # (C,) which of the R
    copy_items: Tensor  # (C,) an item that its user had before it
    copy_features: Tensor  # (C, copying.NUM_FEATURES)

    def to(self, device: Any, *args: Any, **kwargs: Any) -> "SequenceBatch":
        moved = {f.name: getattr(self, f.name).to(device, *args, **kwargs) for f in fields(self)}
        return replace(self, **moved)


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a batch come from: what training needs to attach its targets."""

    instants: Ints  # (I,) indices into `Instants`
    instant_slots: Ints  # (I,)
    events: Ints  # (E,) indices into `Histories`
    event_counts: Ints  # (I,)


class BatchBuilder:
    """Builds batches from one set of histories."""

    def __init__(
        self, histories: Histories, encoder: Encoder, *, max_length: int, zone: ZoneInfo
    ) -> None:
        self.histories, self.max_length, self.zone = histories, max_length, zone
        self.instants = Instants.of(histories)
        self.events: EncodedEvents = encoder.encode(histories)
        self.instant_features = _instant_features(self.instants, zone)

    @cached_property
    def features(self) -> QueryFeatures:
        """Made when the first query is asked: a training without queries needs none."""
        return QueryFeatures(self.histories, self.instants)

    @cached_property
    def candidates(self) -> CopyCandidates:
        return CopyCandidates(self.histories, self.events.items, self.features.as_of)

    def query_features(self, users: Ints, moments: Ints) -> NDArray[np.float32]:
        """(P,), (P,) microseconds -> (P, F) as `QUERY_FEATURES`"""
        return self.features.at(users, moments)

    def build(
        self,
        users: Ints,
        query_owners: Ints,
        query_cutoffs: Ints,
        *,
        ranked_queries: Ints | None = None,
    ) -> tuple[SequenceBatch, Layout]:
        """(B,) users; (Q,) places in ``users`` and ordinals of cutoffs, in any order.

        Items are ranked for the (R,) ``ranked_queries``, by default for every query.
        A user's instants are the latest ``max_length`` before the user's latest query.
        """
        moments = midnights(query_cutoffs, self.zone)
        owners = users[query_owners]
        before = self.instants.first_from(owners, moments)  # (Q,) what it sees ends here
        ends = self.instants.offsets[users].copy()
        np.maximum.at(ends, query_owners, before)
        starts = np.maximum(self.instants.offsets[users], ends - self.max_length)
        ranked = np.arange(len(owners)) if ranked_queries is None else ranked_queries
        copies = self.candidates.at(owners[ranked], moments[ranked])
        return self._build(
            starts,
            ends,
            query_owners,
            np.maximum(before, starts[query_owners]),
            query_features=self.query_features(owners, moments),
            query_weekdays=(query_cutoffs - 1) % 7,  # ordinal 1 was a Monday
            ranked_queries=ranked,
            copies=copies,
        )

    def without_queries(self, ends: Ints) -> tuple[SequenceBatch, Layout]:
        """(B,) the instant that each of B users' ends before -> the latest ``max_length``."""
        first = self.instants.offsets[self.instants.users[ends - 1]]
        none = np.zeros(0, dtype=np.int64)
        return self._build(
            np.maximum(first, ends - self.max_length),
            ends,
            none,
            none,
            query_features=np.zeros((0, len(QUERY_FEATURES)), dtype=np.float32),
            query_weekdays=none,
            ranked_queries=none,
            copies=Copies.none(),
        )

    def _build(
        self,
        starts: Ints,
        ends: Ints,
        query_owners: Ints,
        before: Ints,
        *,
        query_features: NDArray[np.float32],
        query_weekdays: Ints,
        ranked_queries: Ints,
        copies: Copies,
    ) -> tuple[SequenceBatch, Layout]:
        """(B,) half-open ranges of instants; (Q,) a query stands just before instant ``before``."""
        instants, owners = ranges(starts, ends)
        is_query, lengths, slots = _interleave(len(starts), owners, instants, query_owners, before)
        instant_slots, query_slots = slots[: len(instants)], slots[len(instants) :]
        first = self.instants.starts[instants]
        counts = self.instants.num_events[instants]
        events, _ = ranges(first, first + counts)
        offsets = np.cumsum(counts) - counts
        ngrams, ngram_offsets = self._ngrams(events, offsets)
        batch = SequenceBatch(
            is_query=torch.from_numpy(is_query),
            lengths=torch.from_numpy(lengths),
            event_items=torch.from_numpy(self.events.items[events]),
            event_categories=torch.from_numpy(self.events.categories[events]),
            event_types=torch.from_numpy(self.events.event_types[events]),
            event_amounts=torch.from_numpy(self.events.amounts[events]),
            event_quantities=torch.from_numpy(self.events.quantities[events]),
            event_offsets=torch.from_numpy(offsets),
            event_ngrams=torch.from_numpy(ngrams),
            ngram_offsets=torch.from_numpy(ngram_offsets),
            instant_slots=torch.from_numpy(instant_slots),
            instant_features=torch.from_numpy(self.instant_features[instants]),
            query_slots=torch.from_numpy(query_slots),
            query_features=torch.from_numpy(query_features),
            query_weekdays=torch.from_numpy(query_weekdays),
            ranked_queries=torch.from_numpy(ranked_queries),
            copy_queries=torch.from_numpy(copies.queries),
            copy_items=torch.from_numpy(copies.items),
            copy_features=torch.from_numpy(copies.features),
        )
        return batch, Layout(instants, instant_slots, events, counts)

    def _ngrams(self, events: Ints, offsets: Ints) -> tuple[Ints, Ints]:
        """(E,), (I,) -> (G,), (I,)"""
        texts = self.events.texts
        if not len(texts.ngrams):
            return texts.ngrams, np.zeros(len(offsets), dtype=np.int64)
        codes = self.events.text_codes[events]
        first, end = texts.starts[codes], texts.starts[codes + 1]
        places, _ = ranges(first, end)
        before = np.append(0, np.cumsum(end - first))  # (E + 1,) n-grams of the events before
        return texts.ngrams[places], before[offsets]


def ranges(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """All numbers of the half-open ranges in turn, and which range each is from."""
    lengths = ends - starts
    owners = np.repeat(np.arange(len(starts)), lengths)
    offsets = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(starts - offsets, lengths), owners


def _interleave(
    num_users: int, instant_owners: Ints, instants: Ints, query_owners: Ints, before: Ints
) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], Ints, Ints]:
    """Slots of all instants, then of all queries; a query stands just before instant ``before``."""
    owners = np.concatenate([instant_owners, query_owners])
    places = np.concatenate([2 * instants + 1, 2 * before])
    order = np.lexsort((places, owners))
    lengths = np.bincount(owners, minlength=num_users).astype(np.int64)
    T = max(int(lengths.max(initial=1)), 1)
    positions = np.arange(len(owners)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    slots = np.empty(len(owners), dtype=np.int64)
    slots[order] = owners[order] * T + positions
    is_query = np.zeros(num_users * T, dtype=bool)
    is_query[slots[len(instants) :]] = True
    return is_query.reshape(num_users, T), lengths, slots


def _instant_features(instants: Instants, zone: ZoneInfo) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(I, 8) gap to the instant before, size, spend, local hour and weekday, session start."""
    if not len(instants):
        return np.zeros((0, NUM_INSTANT_FEATURES), dtype=np.float32)
    gaps = np.diff(instants.times, prepend=instants.times[0]) / DAY
    gaps[instants.offsets[:-1][np.diff(instants.offsets) > 0]] = 0.0
    hours, weekdays = _local(instants.times, zone)
    columns = [
        np.log1p(gaps * 24.0) / 3.0,  # about 0 to 3: an hour is 0.2, a month 2.2
        np.log1p(instants.num_events) / 3.0,
        signed_log1p(instants.spend) / 4.0,
        np.sin(2 * np.pi * hours / 24),
        np.cos(2 * np.pi * hours / 24),
        np.sin(2 * np.pi * weekdays / 7),
        np.cos(2 * np.pi * weekdays / 7),
        instants.session_starts,
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _local(times: Ints, zone: ZoneInfo) -> tuple[Floats, Ints]:
    """Hour since local midnight, and weekday."""
    first = date(1970, 1, 1).toordinal() + int(times.min() // DAY) - 1
    ordinals = np.arange(first, first + int((times.max() - times.min()) // DAY) + 4)
    starts = midnights(ordinals, zone)
    days = np.searchsorted(starts, times, side="right") - 1
    return (times - starts[days]) / (3600.0 * SECOND), (ordinals[days] - 1) % 7
