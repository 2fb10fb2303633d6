"""Fold new events of some users into their sequences: Arrow in, Arrow out, numpy between.

Pure, and exact whichever users and nights come together: the latest N of (some events' latest N
and other events) are the latest N of all of them. With no earlier row it builds rows from events
alone, with no event it makes one row of all that a user has. The order within a user is that of the
columns of `FIELDS`.

Letters beside arrays: U users, N events (those of earlier rows first, then the new), K events kept.
"""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.money import Money
from contracts.tables import EVENTS, SEQUENCES
from jobs.histories.user_order import in_micros, is_long, order_events, rank
from jobs.lake.column_types import arrow_schema
from models.money import counted_amounts, in_money, sums, whole_units

# An event's column → the array of it. Their order is the sort order, so that ties have one too.
FIELDS = {
    "event_time": "event_times",
    "event_id": "event_ids",
    "item_id": "item_ids",
    "event_type": "event_types",
    "category": "categories",
    "quantity": "quantities",
    "amount": "amounts",
    "text": "texts",
}
COLUMNS = ["user_id", *FIELDS]  # what is read of `events`
CODED = ("item_ids", "event_types", "categories")  # words that come again and again
_UNKNOWN = {"category": "", "quantity": 0.0, "amount": float("nan"), "text": ""}
_INSTANT = pa.timestamp("us", "UTC")


def fold_sequences(
    earlier: pa.Table,
    events: pa.Table,
    *,
    cutoff: date,
    max_events: int,
    gap_minutes: int,
    money: Money,
    since: date | None = None,
) -> pa.Table:
    """Rows of `sequences` as of the cutoff, sorted by user; the arrays of `CODED` are dictionaries.

    ``earlier`` holds rows of any cutoffs, none of whose events is in two of them: it is quick where
    the largest of these cutoffs comes first. ``events`` are those in no row yet; what they add to
    spend is counted as ``money`` says, as it was in the earlier rows. ``since`` is what the rows
    say of themselves.
    """
    ranks, user_ids = rank(_chain(earlier["user_id"], events["user_id"]))
    of_row, of_event = ranks[: earlier.num_rows], ranks[earlier.num_rows :]
    lengths = pc.list_value_length(earlier["event_times"]).to_numpy()
    user = np.append(np.repeat(of_row, lengths), of_event)  # (N,)
    columns = {
        one: _both(one, _spelled(one, earlier[many], lengths), events[one])
        for one, many in FIELDS.items()
        if one != "text" or _has_text(earlier, events)
    }
    time = in_micros(columns["event_time"])
    num_earlier = int(lengths.sum())
    num_ordered = int(lengths[: _num_different(of_row)].sum())
    order = order_events(user, time, lambda at: _words(columns, at), num_ordered=num_ordered)

    held = np.bincount(user, minlength=len(user_ids))  # (U,)
    kept = np.minimum(held, max_events)
    ends = np.cumsum(kept)
    cut = np.cumsum(held) - ends  # (U,) events that are left out so far
    rows = order[np.arange(int(kept.sum())) + np.repeat(cut, kept)]  # (K,)
    offsets = pa.array(np.append(0, ends).astype(np.int32))
    new = order[order >= num_earlier]
    lists = {
        FIELDS[one]: pa.ListArray.from_arrays(offsets, _take(column, rows))
        for one, column in columns.items()
    }
    lists["texts"] = _or_null(lists.get("texts"), kept)
    return _table(
        {
            "user_id": user_ids,
            **lists,
            "session_starts": pa.ListArray.from_arrays(
                offsets, pa.array(_session_starts(time[rows], ends - kept, gap_minutes))
            ),
            **_totals(earlier, of_row, user[new], time[new], _spend(columns, new, money=money)),
            "since": pa.repeat(pa.scalar(since, pa.date32()), len(user_ids)),
            "cutoff": pa.repeat(pa.scalar(cutoff, pa.date32()), len(user_ids)),
        }
    )


def no_rows() -> pa.Table:
    """The earlier rows, where there are none."""
    return arrow_schema(SEQUENCES).empty_table()


def no_events() -> pa.Table:
    """The new events, where there are none."""
    return arrow_schema(EVENTS, COLUMNS).empty_table()


def _totals(
    earlier: pa.Table, of_row: np.ndarray, user: np.ndarray, time: np.ndarray, spend: np.ndarray
) -> dict[str, pa.Array]:
    """Of all events ever: the earlier rows' totals, to which the new events are added."""
    everyone = np.append(of_row, user)
    by_user = np.argsort(everyone, kind="stable")  # a few runs, each in order already
    first = np.flatnonzero(np.append(True, np.diff(everyone[by_user]) != 0)[: len(by_user)])
    spend = np.append(earlier["lifetime_spend"].to_numpy(), spend)[by_user]

    def reduced(how: np.ufunc, name: str, values: np.ndarray) -> np.ndarray:
        old = earlier[name]
        known = in_micros(old) if pa.types.is_timestamp(old.type) else old.to_numpy()
        every = np.append(known, values)[by_user]
        return how.reduceat(every, first) if len(first) else every

    ones = np.ones(len(user), dtype=np.int64)
    return {
        "lifetime_events": pa.array(reduced(np.add, "lifetime_events", ones)),
        "lifetime_spend": pa.array(in_money(sums(whole_units(spend), first))),
        "first_event_time": pa.array(reduced(np.minimum, "first_event_time", time), _INSTANT),
        "last_event_time": pa.array(reduced(np.maximum, "last_event_time", time), _INSTANT),
    }


def _spend(columns: dict[str, pa.Array], rows: np.ndarray, *, money: Money) -> np.ndarray:
    """What the events of these places add to their users' totals."""
    kinds = columns["event_type"]
    codes = kinds.indices.to_numpy()[rows]
    names = np.asarray(kinds.dictionary.to_pylist(), dtype=str)
    return counted_amounts(columns["amount"].to_numpy()[rows], names, codes, money=money)


def _num_different(of_row: np.ndarray) -> int:
    """How many rows come before the first that is a user's second."""
    is_first = np.zeros(len(of_row), dtype=bool)
    is_first[np.unique(of_row, return_index=True)[1]] = True
    return len(of_row) if is_first.all() else int(is_first.argmin())


def _session_starts(time: np.ndarray, first: np.ndarray, gap_minutes: int) -> np.ndarray:
    """(K,) True for the first event kept, and for each after a silence longer than the gap."""
    starts = np.append(True, is_long(np.diff(time), gap_minutes))[: len(time)]
    starts[first] = True
    return starts


def _has_text(earlier: pa.Table, events: pa.Table) -> bool:
    """Most logs have none, and then it costs nothing."""
    return any(c.null_count < len(c) for c in (earlier["texts"], events["text"]))


def _spelled(name: str, lists: pa.ChunkedArray, lengths: np.ndarray) -> pa.ChunkedArray:
    """A value for each earlier event: a row without texts has an empty one for each of them."""
    known = pc.list_flatten(lists)
    if name != "text":
        return known
    is_there = np.repeat(lists.is_valid().to_numpy(), lengths)
    places = pa.array(np.maximum(np.cumsum(is_there) - 1, 0), mask=~is_there)
    return known.take(places).fill_null("")


def _or_null(texts: pa.ListArray | None, lengths: np.ndarray) -> pa.Array:
    """Null for every row without a text, so that rows are the same however they came to be."""
    if texts is None or not len(texts):
        return pa.nulls(len(lengths), pa.list_(pa.string()))
    words = texts.flatten()
    has_text = pc.not_equal(words, "").to_numpy(zero_copy_only=False)
    is_there = np.add.reduceat(has_text, np.cumsum(lengths) - lengths, dtype=np.int64) > 0
    ends = np.cumsum(np.where(is_there, lengths, 0)).astype(np.int32)
    kept = words.filter(pa.array(np.repeat(is_there, lengths)))
    offsets = pa.array(np.append(0, ends), mask=np.append(~is_there, False))
    return pa.ListArray.from_arrays(offsets, kept)


def _both(name: str, known: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.Array:
    """(N,) a column of the earlier events and of the new ones."""
    if name in _UNKNOWN:
        values = values.fill_null(_UNKNOWN[name])
    if FIELDS[name] in CODED:
        chunks = [_coded(chunk) for chunk in (*known.chunks, *values.chunks)]
        both = pa.chunked_array(chunks, pa.dictionary(pa.int32(), pa.string()))
        return both.unify_dictionaries().combine_chunks()
    return _chain(known, values.cast(known.type)).combine_chunks()


def _coded(words: pa.Array) -> pa.Array:
    return words if pa.types.is_dictionary(words.type) else words.dictionary_encode()


def _take(column: pa.Array, rows: np.ndarray) -> pa.Array:
    """Of a dictionary, only the words that are taken: else it would grow from night to night."""
    if not pa.types.is_dictionary(column.type):
        return column.take(pa.array(rows))
    codes = column.indices.to_numpy()[rows]
    is_used = np.bincount(codes, minlength=len(column.dictionary)) > 0
    codes = (np.cumsum(is_used) - 1)[codes].astype(np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(codes), column.dictionary.filter(is_used))


def _words(columns: dict[str, pa.Array], rows: np.ndarray) -> pa.Table:
    """What orders events of one user and instant."""
    names = [name for name in columns if name != "event_time"]
    taken = {name: columns[name].take(pa.array(rows)) for name in names}
    return pa.table(
        {
            name: column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
            for name, column in taken.items()
        }
    )


def _chain(one: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([*one.chunks, *other.chunks], one.type)


def _table(columns: dict[str, pa.Array]) -> pa.Table:
    return pa.table({name: columns[name] for name in SEQUENCES.column_names})
