"""Cut the events of some users into sessions: Arrow in, Arrow out, numpy between.

Pure, and exact whichever users come together. The order within a user is total: event_time,
event_id, and the ingestion day for an id that came again later.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.money import Money
from contracts.tables import PURCHASE, SESSION_EVENTS, SESSIONS, Table
from contracts.windows import Window
from jobs.histories.user_order import in_micros, is_long, order_events, rank
from jobs.lake.column_types import arrow_schema
from models.money import counted_amounts, in_money, is_bought, sums, whole_units

# What the cut reads of `events`.
COLUMNS = [
    "event_id", "user_id", "item_id", "event_type", "event_time",
    "category", "price", "quantity", "amount", "session_hint", "ingest_date",
]  # fmt: skip
LONGEST_GAP_DAYS = 7  # a hint that comes back after a longer silence starts a new session
LONGEST_PRELUDE_DAYS = 1  # events without a hint that began earlier keep a session of their own
_CARRIED = [name for name in COLUMNS if name in SESSION_EVENTS.column_names]
_LONGEST_GAP = LONGEST_GAP_DAYS * 24 * 60  # minutes
_LONGEST_PRELUDE = LONGEST_PRELUDE_DAYS * 24 * 60  # minutes
_TIES = ["event_id", "ingest_date"]


@dataclass(frozen=True)
class Cut:
    """Sessions, and their events with a place in them; both by session day, user and time."""

    sessions: pa.Table
    events: pa.Table
    continued_events: int  # new events of sessions that began before the window: changed nothing


def cut_sessions(
    events: pa.Table,
    *,
    window: Window,
    new_from: date,
    gap_minutes: int,
    zone: str,
    money: Money,
) -> Cut:
    """The sessions whose first event lies in the window's days of that zone.

    ``events`` holds all events of each of its users from LONGEST_GAP_DAYS before the window on, so
    that a session which began before it is recognised, and left to its own day. Those ingested from
    ``new_from`` on are new.
    """
    user, _ = rank(events["user_id"])
    time = in_micros(events["event_time"])
    order = order_events(user, time, lambda rows: events.select(_TIES).take(pa.array(rows)))
    user, time = user[order], time[order]
    hint = _codes(events["session_hint"])[order]
    session = _sessions(user, time, hint, gap_minutes)  # (N,) event → its session
    if (np.diff(session) < 0).any():  # sessions lie between each other: bring each together
        together = np.argsort(session, kind="stable")
        order, time, session = order[together], time[together], session[together]
    starts = np.append(True, np.diff(session) > 0)[: len(session)]
    first = np.flatnonzero(starts)  # (S,) places of the sessions' first events
    dates = _local_dates(time[first], zone)
    is_kept = (dates >= _day(window.start)) & (dates < _day(window.end))

    last = np.append(first, len(time))[1:] - 1
    spend = _spend(events, money=money)
    sessions = {
        "session_id": events["event_id"].take(pa.array(order[first])),
        "user_id": events["user_id"].take(pa.array(order[first])),
        "start_time": time[first],
        "end_time": time[last],
        "num_events": last - first + 1,
        "num_items": _distinct(session, _codes(events["item_id"])[order], len(first)),
        "spend": in_money(sums(whole_units(spend[order]), first)),
        "is_converted": _any(_bought(events)[order], first),
        "session_date": dates,
    }
    by_date = np.argsort(dates.astype(np.int64), kind="stable")
    kept = by_date[is_kept[by_date]]  # the sessions of the window, by day
    lengths = (last - first + 1)[kept]
    # The events of the kept sessions, session by session: each start repeated, and counted on.
    ends = np.cumsum(lengths)
    place = np.arange(int(lengths.sum())) - np.repeat(ends - lengths, lengths)
    rows = pa.array(order[np.repeat(first[kept], lengths) + place])
    of_session = pa.array(np.repeat(kept, lengths))
    placed = {name: events[name].take(rows) for name in _CARRIED}
    return Cut(
        _table(SESSIONS, {name: _take(column, kept) for name, column in sessions.items()}),
        _table(
            SESSION_EVENTS,
            {
                **placed,
                "session_id": sessions["session_id"].take(of_session),
                "position": place + 1,
                "session_date": np.repeat(dates[kept], lengths),
            },
        ),
        continued_events=_count_new(events, order, first, dates < _day(window.start), new_from),
    )


def _count_new(
    events: pa.Table, order: np.ndarray, first: np.ndarray, is_earlier: np.ndarray, new_from: date
) -> int:
    """How many new events the earlier sessions hold."""
    if not is_earlier.any():
        return 0
    is_new = pc.greater_equal(events["ingest_date"], pa.scalar(new_from)).to_numpy()[order]
    return int(np.add.reduceat(is_new.astype(np.int64), first)[is_earlier].sum())


def _spend(events: pa.Table, *, money: Money) -> np.ndarray:
    """(N,) what each event adds to spend."""
    kinds = events["event_type"].combine_chunks().dictionary_encode()
    codes = kinds.indices.to_numpy(zero_copy_only=False)
    names = np.asarray(kinds.dictionary.to_pylist(), dtype=str)
    amounts = events["amount"].fill_null(0.0).to_numpy()
    return counted_amounts(amounts, names, codes, money=money)


def _sessions(user: np.ndarray, time: np.ndarray, hint: np.ndarray, gap_minutes: int) -> np.ndarray:
    """(N,) each event's session, numbered in the order of their first events.

    An event with a hint belongs to the session of its hint. One without belongs to that of the
    event before it, unless the silence is long. Where events without a hint stand right before a
    hint that begins, they are its session's first.

    Letters: P parts, each a hinted event, or one that follows nothing, with those that follow it.
    """
    is_near = np.zeros(len(time), dtype=bool)  # (N,) of the same user, and soon after
    is_near[1:] = (user[1:] == user[:-1]) & ~is_long(np.diff(time), gap_minutes)
    is_head = (hint >= 0) | ~is_near
    head = np.flatnonzero(is_head)  # (P,)
    root = np.arange(len(head))  # (P,) part → the first part of its session
    hinted = np.flatnonzero(hint[head] >= 0)
    root[hinted] = hinted[_first_alike(user[head[hinted]], hint[head[hinted]], time[head[hinted]])]

    begins = hinted[(root[hinted] == hinted) & is_near[head[hinted]]]
    prelude = begins - 1
    is_taken = (hint[head[prelude]] < 0) & ~is_long(
        time[head[begins]] - time[head[prelude]], _LONGEST_PRELUDE
    )
    taken = np.arange(len(head))
    taken[begins[is_taken]] = prelude[is_taken]
    root = taken[root]
    number = np.cumsum(root == np.arange(len(head))) - 1  # (P,) of the sessions that begin here
    sessions: np.ndarray = number[root][np.cumsum(is_head) - 1]
    return sessions


def _first_alike(user: np.ndarray, hint: np.ndarray, time: np.ndarray) -> np.ndarray:
    """(H,) the place of the first of the events of one user and hint with no long silence between.

    The events are in the order of user and time.
    """
    alike = np.lexsort((hint, user))  # stable: in the order of time where both are equal
    is_first = np.ones(len(alike), dtype=bool)
    is_first[1:] = (
        (np.diff(user[alike]) != 0)
        | (np.diff(hint[alike]) != 0)
        | is_long(np.diff(time[alike]), _LONGEST_GAP)
    )
    first = np.empty(len(alike), dtype=np.int64)
    first[alike] = alike[np.maximum.accumulate(np.where(is_first, np.arange(len(alike)), 0))]
    return first


def _codes(values: pa.ChunkedArray) -> np.ndarray:
    """(N,) int64: equal values have equal codes; a null has -1."""
    indices = values.combine_chunks().dictionary_encode().indices
    codes: np.ndarray = indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _local_dates(micros: np.ndarray, zone: str) -> np.ndarray:
    """(S,) int32: days since 1970-01-01 by the clocks of the zone."""
    local = pc.local_timestamp(pa.array(micros, pa.timestamp("us", zone)))
    days: np.ndarray = local.cast(pa.date32()).cast(pa.int32()).to_numpy()
    return days


def _day(day: date) -> int:
    return int(np.datetime64(day, "D").astype(int))


def _distinct(session: np.ndarray, code: np.ndarray, num_sessions: int) -> np.ndarray:
    """(S,) number of different codes in each session."""
    num_codes = int(code.max(initial=-1)) + 1
    pairs = np.sort(session * num_codes + code)
    is_new = np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)]
    return np.bincount(pairs[is_new] // max(num_codes, 1), minlength=num_sessions)


def _bought(events: pa.Table) -> np.ndarray:
    """(N,) bool: a purchase for which something was paid, or of which the log says no amount."""
    is_purchase = pc.equal(events["event_type"], PURCHASE).to_numpy()
    return is_bought(events["amount"].fill_null(float("nan")).to_numpy(), is_purchase)


def _any(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """(N,) bool → (S,) bool: does it hold of any event of the session?"""
    return np.logical_or.reduceat(values, first) if len(first) else np.zeros(0, dtype=bool)


def _take(values: Any, places: np.ndarray) -> Any:
    return values[places] if isinstance(values, np.ndarray) else values.take(pa.array(places))


def _table(table: Table, columns: dict[str, Any]) -> pa.Table:
    schema = arrow_schema(table)
    arrays = [_column(columns[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _column(values: Any, kind: pa.DataType) -> Any:
    if isinstance(values, np.ndarray):
        values = pa.array(values)
        if pa.types.is_date(kind):
            values = values.cast(pa.int32())
        elif pa.types.is_timestamp(kind):
            values = values.cast(pa.int64())
    return values.cast(kind)
