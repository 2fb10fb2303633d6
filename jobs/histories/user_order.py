"""The one order of a user's events: time first, then what is said of an event, column by column.

One sort of packed integers does the work of a window function over every row; only events of one
instant are compared by their words. Letters beside arrays: N events.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_MINUTE = 60 * 1_000_000  # of microseconds


def order_events(
    user: np.ndarray,
    time: np.ndarray,
    ties: Callable[[np.ndarray], pa.Table],
    *,
    num_ordered: int = 0,
) -> np.ndarray:
    """(N,) the events' places by user, time and the columns of ``ties``.

    ``user`` (N,) is a number from 0 on, ``time`` (N,) in microseconds. ``ties`` gives the columns
    that decide among some places, of which the first counts most. The first ``num_ordered`` events
    are in this order already.
    """
    if not len(time):
        return np.zeros(0, dtype=np.int64)
    order = _by_user_and_time(user, time, num_ordered)
    same = (np.diff(user[order]) == 0) & (np.diff(time[order]) == 0)
    if same.any():
        tied = np.append(same, False) | np.append(False, same)
        run = np.cumsum(np.append(True, ~same)) - 1
        has_new = np.bincount(run, weights=order >= num_ordered) > 0
        places = np.flatnonzero(tied & has_new[run])  # the others lie as they did
        rows = order[places]
        columns = ties(rows)
        keys = [("run", "ascending"), *((name, "ascending") for name in columns.column_names)]
        by_words = pc.sort_indices(columns.append_column("run", pa.array(run[places])), keys)
        order[places] = rows[by_words.to_numpy()]
    return order


def _by_user_and_time(user: np.ndarray, time: np.ndarray, num_ordered: int) -> np.ndarray:
    """(N,) places; a stable merge of what is in order with the others, once those are sorted."""
    since = time - time.min()
    time_bits = int(since.max()).bit_length()
    if int(user.max()).bit_length() + time_bits >= 64:  # too many users and years for one word
        return np.lexsort((time, user))
    key = (user << time_bits) | since
    if not num_ordered:
        return np.argsort(key)
    order = np.append(np.arange(num_ordered), num_ordered + np.argsort(key[num_ordered:]))
    merged: np.ndarray = order[np.argsort(key[order], kind="stable")]
    return merged


def rank(values: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """(N,) int64: each value's place among the different values; and these, sorted."""
    encoded = values.combine_chunks().dictionary_encode()
    by_value = pc.sort_indices(encoded.dictionary)
    places = np.empty(len(by_value), dtype=np.int64)
    places[by_value.to_numpy()] = np.arange(len(by_value))
    ranks: np.ndarray = places[encoded.indices.to_numpy(zero_copy_only=False)]
    return ranks, encoded.dictionary.take(by_value)


def in_micros(values: pa.ChunkedArray) -> np.ndarray:
    """(N,) int64: microseconds since 1970-01-01 UTC."""
    micros: np.ndarray = values.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    return micros


def is_long(silence: np.ndarray, gap_minutes: int) -> np.ndarray:
    """(N,) bool: is this silence, in microseconds, longer than the gap that ends a session?"""
    long: np.ndarray = silence > gap_minutes * _MINUTE
    return long
