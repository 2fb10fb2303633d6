"""Purchases of people whom the log does not name: counts of items by day, for popularity alone.

I items of a vocabulary, D rows (an item on a day).
"""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.sequences.history import Floats

SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("day", pa.date32()),  # business time zone
        ("num_events", pa.int64()),
        ("num_purchases", pa.int64()),  # an item of one instant and session counts once
    ]
)


def purchases_between(
    counts: pa.Table, item_ids: NDArray[np.object_], start: date, end: date
) -> Floats:
    """Rows of ``SCHEMA``, (I,) names -> (I,) purchases on the days ``start <= day < end``."""
    return _of_items(counts, "num_purchases", item_ids, start, end)


def events_before(counts: pa.Table, end: date) -> dict[str, int]:
    """Item -> its events before a day."""
    before = counts.filter(pc.less(counts["day"], pa.scalar(end)))
    sums = before.group_by("item_id").aggregate([("num_events", "sum")])
    return dict(zip(sums["item_id"].to_pylist(), sums["num_events_sum"].to_pylist(), strict=True))


def _of_items(
    counts: pa.Table, column: str, item_ids: NDArray[np.object_], start: date, end: date
) -> Floats:
    inside = pc.and_(
        pc.greater_equal(counts["day"], pa.scalar(start)), pc.less(counts["day"], pa.scalar(end))
    )
    rows = counts.filter(inside)
    place = pc.index_in(rows["item_id"], value_set=pa.array(item_ids.tolist(), pa.string()))
    is_known = place.is_valid().to_numpy()
    values = rows[column].to_numpy()[is_known]
    codes = place.drop_null().to_numpy()
    sums = np.bincount(codes, weights=values, minlength=len(item_ids))
    return np.asarray(sums, dtype=np.float64)
