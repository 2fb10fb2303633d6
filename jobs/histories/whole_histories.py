"""More of some users' events than `sequences` keeps, read from `events` again.

A night keeps a user's latest `sequences.max_events`. Of a heavy user the newest partition no longer
holds what an earlier night had: whoever judges that night reads these events once more. One row
group is in memory at a time, and of each user what a night of the time could have held.
"""

from collections.abc import Iterator
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.tables import EVENTS
from contracts.windows import Window
from jobs.histories.fold_sequences import COLUMNS, fold_sequences, no_rows
from jobs.histories.read_sequences import GAP_MINUTES, Sequences
from jobs.lake.column_types import arrow_schema, with_columns

_MANY = 1_000_000  # events that are folded at a time


def deepened(
    sequences: Sequences, rows: pa.Table, user_ids: pa.Array, *, max_events: int
) -> pa.Table:
    """The rows, those of the named users with up to so many events instead of what was kept.

    Rows stay as they are where the commit does not say which events it was made from.
    """
    snapshot_id, money = sequences.events_id, sequences.money
    if not len(user_ids) or snapshot_id is None or money is None:
        return rows
    found = no_rows()
    for events in _events_of(sequences, user_ids, snapshot_id=snapshot_id):
        found = fold_sequences(
            found,
            events,
            cutoff=sequences.cutoff,
            max_events=max_events,
            gap_minutes=int(sequences.commits[-1].facts[GAP_MINUTES]),
            money=money,
        )
    others = rows.filter(pc.invert(pc.is_in(rows["user_id"], value_set=found["user_id"])))
    return pa.concat_tables([others, found.select(rows.column_names).cast(rows.schema)])


def _events_of(sequences: Sequences, user_ids: pa.Array, *, snapshot_id: int) -> Iterator[pa.Table]:
    """The users' events of which the newest rows were made, some at a time."""
    lake, days = sequences.lake, Window(date.min, sequences.cutoff)
    schema, filesystem = arrow_schema(EVENTS, COLUMNS), lake.filesystem()
    held: list[pa.Table] = []
    for group in lake.row_groups(EVENTS, window=days, snapshot_id=snapshot_id):
        with pq.ParquetFile(group.path, filesystem=filesystem) as file:
            users = file.read_row_group(group.number, columns=["user_id"])["user_id"]
            is_theirs = pc.is_in(users, value_set=user_ids)
            if not pc.any(is_theirs).as_py():
                continue
            known = [name for name in COLUMNS if name in file.schema_arrow.names]
            events = file.read_row_group(group.number, columns=known).filter(is_theirs)
        held.append(with_columns(events, schema))
        if sum(len(table) for table in held) >= _MANY:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)
