"""What people whom the log does not name bought: it counts for how popular an item is.

Counted file by file, so that memory grows with items and days, never with events. A lake in which
every user is known costs nothing: the table's metadata says so of each file.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.tables import EVENTS
from contracts.windows import Window
from jobs.lake.lake import Lake
from models.money import is_bought
from models.sequences.unknown_users import SCHEMA

_COLUMNS = ["user_id", "item_id", "event_type", "event_time", "amount", "session_hint"]
_LINE = ["item_id", "event_type", "event_time", "session_hint"]  # a line repeated counts once


def unknown_users_items(
    lake: Lake, window: Window, *, snapshot_id: int | None, zone: str
) -> pa.Table:
    """Rows of ``SCHEMA``: of the events ingested in the window whose user is not known.

    Without a snapshot there are none. Raises MissingSnapshotError.
    """
    counted = SCHEMA.empty_table()
    if snapshot_id is None:
        return counted
    for events in _events_of_nobody(lake, window, snapshot_id):
        counted = _added(counted, _counts(events, zone))
    return counted


def _events_of_nobody(lake: Lake, window: Window, snapshot_id: int) -> Iterator[pa.Table]:
    filesystem = lake.filesystem()
    groups = lake.row_groups(EVENTS, window=window, snapshot_id=snapshot_id, null_in="user_id")
    for group in groups:
        with pq.ParquetFile(group.path, filesystem=filesystem) as file:
            rows = file.read_row_group(group.number, _COLUMNS)
        yield rows.filter(rows["user_id"].is_null())


def _counts(events: pa.Table, zone: str) -> pa.Table:
    """Events and purchases of each item on each local day."""
    days = pc.local_timestamp(
        events["event_time"].cast(pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us", tz=zone))
    ).cast(pa.date32())
    lines = events.append_column("day", days)
    bought = lines.filter(pa.array(is_bought(_amounts(events), _is_purchase(events))))
    once: dict[str, Any] = {
        "num_events": lines.group_by(["item_id", "day"]).aggregate([([], "count_all")]),
        "num_purchases": bought.group_by([*_LINE, "day"])
        .aggregate([])
        .group_by(["item_id", "day"])
        .aggregate([([], "count_all")]),
    }
    parts = [
        pa.table(
            {
                "item_id": counts["item_id"],
                "day": counts["day"],
                **{
                    column: counts["count_all"] if column == name else pa.repeat(0, len(counts))
                    for column in once
                },
            }
        ).cast(SCHEMA)
        for name, counts in once.items()
    ]
    return _added(*parts)


def _added(one: pa.Table, other: pa.Table) -> pa.Table:
    names = SCHEMA.names[2:]
    both = pa.concat_tables([one, other]).group_by(SCHEMA.names[:2])
    sums = both.aggregate([(name, "sum") for name in names])
    return pa.table(
        {name: sums[f"{name}_sum" if name in names else name] for name in SCHEMA.names}
    ).cast(SCHEMA)


def _is_purchase(events: pa.Table) -> Any:
    return pc.equal(events["event_type"], "purchase").to_numpy(zero_copy_only=False)


def _amounts(events: pa.Table) -> Any:
    return events["amount"].fill_null(float("nan")).to_numpy()


def ingested_before(cutoff: date) -> Window:
    """Everything that was known as of the cutoff."""
    return Window(date.min, cutoff)
