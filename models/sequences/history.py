"""Users' histories as flat numpy columns: the one view of `sequences` rows that every model reads.

N users, E events. Events of a user are contiguous, oldest first; user ``n`` owns the events
``offsets[n]:offsets[n + 1]``. Strings are codes into small vocabularies.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.money import Money
from contracts.tables import PURCHASE
from models.money import counted_amounts, in_money, is_bought, running, signed, whole_units

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# What `Histories.from_arrow` reads, of `contracts.tables.SEQUENCES`.
COLUMNS = (
    "user_id",
    "event_times",
    "item_ids",
    "event_types",
    "categories",
    "quantities",
    "amounts",
    "texts",
    "session_starts",
    "lifetime_events",
    "lifetime_spend",
    "first_event_time",
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970 of an instant that knows its time zone."""
    return (instant - EPOCH) // MICROSECOND


@dataclass(frozen=True)
class Histories:
    user_ids: NDArray[np.object_]  # (N,)
    offsets: Ints  # (N + 1,)
    times: Ints  # (E,) microseconds since 1970, UTC
    item_codes: Ints  # (E,) into item_ids
    event_type_codes: Ints  # (E,) into event_types
    category_codes: Ints  # (E,) into categories
    quantities: Floats  # (E,) below 0 for what comes back
    amounts: Floats  # (E,) the same; of other types than purchase and return no money
    has_amount: Bools  # (E,) is it known? Where not, the amount is 0
    session_starts: Bools  # (E,)
    item_ids: NDArray[np.object_]
    event_types: NDArray[np.object_]
    categories: NDArray[np.object_]
    text_codes: Ints  # (E,) into texts
    texts: NDArray[np.object_]  # "" where an event has none
    lifetime_events: Ints  # (N,) events ever, stored or not
    lifetime_spend: Floats  # (N,) paid in all events ever, counted as ``money`` says
    first_times: Ints  # (N,) the first event ever, microseconds; meaningless without history
    money: Money = "net"  # what counts as spend: `contracts.money`

    def __len__(self) -> int:
        return len(self.user_ids)

    @property
    def num_events(self) -> Ints:
        """(N,) events stored for each user."""
        return np.diff(self.offsets)

    @property
    def has_history(self) -> Bools:
        """(N,) was the user ever seen?"""
        return self.lifetime_events > 0

    @property
    def is_whole(self) -> Bools:
        """(N,) are all of the user's events stored, none cut off at the old end?"""
        return np.asarray(self.lifetime_events == self.num_events, dtype=bool)

    @cached_property
    def event_users(self) -> Ints:
        """(E,) the user of each event."""
        return np.repeat(np.arange(len(self)), self.num_events)

    @cached_property
    def is_purchase(self) -> Bools:
        """(E,) does the event make its user a buyer? Not where nothing was paid: docs/money.md."""
        is_named = np.asarray(self.event_types == PURCHASE, dtype=bool)[self.event_type_codes]
        amounts = np.where(self.has_amount, self.amounts, np.nan)
        return np.asarray(is_bought(amounts, is_named), dtype=bool)

    @cached_property
    def spend_units(self) -> Ints:
        """(E,) what each event adds to spend, in whole ten-thousandths."""
        paid = counted_amounts(
            self.amounts, self.event_types, self.event_type_codes, money=self.money
        )
        return whole_units(paid)

    @cached_property
    def lifetime_units(self) -> Ints:
        """(N,) `lifetime_spend` in whole ten-thousandths."""
        return whole_units(self.lifetime_spend)

    @property
    def known_amounts(self) -> Floats:
        """(E,) the amounts; none where nothing was ever paid, whatever is said of prices."""
        return self.amounts if (self.spend_units > 0).any() else np.zeros(0)

    @classmethod
    def from_arrow(
        cls,
        sequences: pa.Table | pa.RecordBatch,
        *,
        money: Money = "net",
        before: datetime | None = None,
    ) -> "Histories":
        """Read rows with the `COLUMNS` of `contracts.tables.SEQUENCES`; their order is kept.

        ``money`` is what their totals were counted by; with ``before``, what the method of that
        name leaves. Of a row whose oldest events were cut off the oldest instant left is not read,
        for some of its lines may be among those.
        """
        times = _lists(sequences, "event_times")
        offsets = _offsets(times)
        item_codes, item_ids = _encoded(_lists(sequences, "item_ids"))
        event_type_codes, event_types = _encoded(_lists(sequences, "event_types"))
        category_codes, categories = _encoded(_lists(sequences, "categories"))
        text_codes, texts = _texts(_lists(sequences, "texts"), np.diff(offsets))
        numbers = {
            name: signed(_floats(_lists(sequences, name).flatten()), event_types, event_type_codes)
            for name in ("quantities", "amounts")
        }
        rows = cls(
            user_ids=np.asarray(sequences.column("user_id").to_pylist(), dtype=object),
            offsets=offsets,
            times=_microseconds(times.flatten()),
            item_codes=item_codes,
            event_type_codes=event_type_codes,
            category_codes=category_codes,
            **numbers,
            has_amount=_known(_lists(sequences, "amounts").flatten()),
            session_starts=_bools(_lists(sequences, "session_starts").flatten()),
            item_ids=item_ids,
            event_types=event_types,
            categories=categories,
            text_codes=text_codes,
            texts=texts,
            lifetime_events=np.asarray(_array(sequences, "lifetime_events"), dtype=np.int64),
            lifetime_spend=np.asarray(_array(sequences, "lifetime_spend"), dtype=np.float64),
            first_times=_microseconds(_array(sequences, "first_event_time")),
            money=money,
        )
        rows = rows.before(before) if before else rows
        return rows._without_oldest_instant(~rows.is_whole)

    def before(self, instant: datetime) -> "Histories":
        """The same users with only the events strictly before ``instant``, and totals to match.

        A user who was not seen before it stays, with ``has_history`` False.
        """
        keep = self.times < microseconds(instant)
        if keep.all():
            return self
        kept, dropped = self._per_user(keep), self._per_user(~keep)
        totals = running(np.where(keep, 0, self.spend_units))
        dropped_units = totals[self.offsets[1:]] - totals[self.offsets[:-1]]
        return replace(
            self._only(keep),
            offsets=np.concatenate([[0], np.cumsum(kept)]).astype(np.int64),
            lifetime_events=self.lifetime_events - dropped.astype(np.int64),
            lifetime_spend=in_money(self.lifetime_units - dropped_units),
        )

    def latest(self, max_events: int) -> "Histories":
        """Only each user's latest so many events, as a night keeps and reads them; totals stay.

        Whoever is cut loses the rest of the instant that the cut goes through, too.
        """
        is_cut = self.num_events > max_events
        if not is_cut.any():
            return self
        kept = np.minimum(self.num_events, max_events)
        place = np.arange(len(self.times)) - np.repeat(self.offsets[1:] - kept, self.num_events)
        return self._oldest_dropped(place >= 0)._without_oldest_instant(is_cut)

    def _without_oldest_instant(self, users: Bools) -> "Histories":
        """(N,) users whose oldest events are gone, without the instant that may be incomplete.

        Which of its lines are left is an accident: the lines of an instant have no order. An
        instant that is all that is left stays.
        """
        if not users.any():
            return self
        owners, offsets = self.event_users, self.offsets
        ends = np.append(self.times, 0)
        oldest, newest = ends[offsets[:-1]], ends[np.maximum(offsets[1:] - 1, 0)]  # (N,)
        users = users & (oldest < newest)
        return self._oldest_dropped(~(users[owners] & (self.times == oldest[owners])))

    def _oldest_dropped(self, keep: Bools) -> "Histories":
        """Only the events kept, (E,), of which each user's first starts a session."""
        counts = self._per_user(keep).astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        rows = replace(self._only(keep), offsets=offsets)
        rows.session_starts[offsets[:-1][counts > 0]] = True  # a copy: `_only` has made it
        return rows

    def _only(self, events: Ints | Bools) -> "Histories":
        names = ("times", "item_codes", "event_type_codes", "category_codes", "text_codes")
        more = ("quantities", "amounts", "has_amount", "session_starts")
        columns: dict[str, Any] = {name: getattr(self, name)[events] for name in names + more}
        return replace(self, **columns)

    def _per_user(self, values: NDArray[Any]) -> Floats:
        """(E,) -> (N,) sums."""
        sums = np.bincount(self.event_users, weights=values, minlength=len(self))
        return np.asarray(sums, dtype=np.float64)


def _array(table: pa.Table | pa.RecordBatch, name: str) -> pa.Array:
    column = table.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _lists(table: pa.Table | pa.RecordBatch, name: str) -> pa.ListArray:
    array = _array(table, name)
    if isinstance(array, pa.ChunkedArray):  # a table without a single chunk
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    return array


def _offsets(lists: pa.ListArray) -> Ints:
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _encoded(lists: pa.ListArray) -> tuple[Ints, NDArray[np.object_]]:
    """Codes and vocabulary, in order of first appearance."""
    encoded = lists.flatten().cast(pa.string()).fill_null("").dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, np.asarray(encoded.dictionary.to_pylist(), dtype=object)


def _texts(lists: pa.ListArray, lengths: Ints) -> tuple[Ints, NDArray[np.object_]]:
    """Codes and texts, of which the first is none: a user's row without any is null."""
    is_there = np.repeat(lists.is_valid().to_numpy(zero_copy_only=False), lengths)
    codes = np.zeros(len(is_there), dtype=np.int64)
    found, texts = _encoded(lists)
    codes[is_there] = found + 1
    return codes, np.asarray(["", *texts], dtype=object)


def _microseconds(values: pa.Array) -> Ints:
    cast = values.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).fill_null(0)
    return np.asarray(cast.to_numpy(zero_copy_only=False), dtype=np.int64)


def _known(values: pa.Array) -> Bools:
    """An unknown number is nan in the lake, and may be null in what a caller sends."""
    cast = values.cast(pa.float64()).fill_null(np.nan)
    return np.asarray(~np.isnan(cast.to_numpy(zero_copy_only=False)), dtype=bool)


def _floats(values: pa.Array) -> Floats:
    """0 where unknown."""
    cast = values.cast(pa.float64()).fill_null(0.0)
    return np.nan_to_num(np.asarray(cast.to_numpy(zero_copy_only=False), dtype=np.float64), nan=0.0)


def _bools(values: pa.Array) -> Bools:
    return np.asarray(values.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)
