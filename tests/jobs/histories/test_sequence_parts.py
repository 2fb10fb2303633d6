"""What a task reads of sequences: rows as they lie, or nights folded into them."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import LocalFileSystem

from contracts.tables import EVENTS, SEQUENCES
from jobs.histories.fold_sequences import COLUMNS, fold_sequences, no_rows
from jobs.histories.sequence_buckets import ROW_COLUMNS
from jobs.histories.sequence_parts import Folded, Whole
from jobs.lake.column_types import arrow_schema
from jobs.lake.files import RowGroup

FIRST, LAST = date(2017, 1, 9), date(2017, 1, 10)
LIMITS = {"max_events": 3, "gap_minutes": 30, "money": "net"}


def events(*named):
    """One a minute, of the users that are named."""
    start = datetime(2017, 1, 1, tzinfo=UTC)
    bought = "purchase", "c", 1.0, 0.1, None
    rows = [
        (user, start + timedelta(minutes=minute), f"e{minute}", "item", *bought)
        for user, minute in named
    ]
    named_rows = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(named_rows, schema=arrow_schema(EVENTS, COLUMNS))


EARLIER = events(*((user, minute) for user in "abc" for minute in range(3)))
NEW = events(("b", 1), ("b", 9), ("d", 5))


@pytest.fixture
def write(tmp_path):
    """A file of rows, as an executor writes it."""

    def file(rows, name):
        path = tmp_path / name
        pq.write_table(rows, path, store_schema=False)
        return str(path)

    return file


def rows_of(part, columns=ROW_COLUMNS, num_users=2):
    batches = [*part.batches(LocalFileSystem(), num_users, columns)]
    assert all(batch.num_rows <= num_users for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()]


def test_nights_are_folded_into_what_is_there(write):
    """Into the rows of a rebuild, though the event that comes again is there twice."""
    base = write(fold_sequences(no_rows(), EARLIER, cutoff=FIRST, **LIMITS), "base.parquet")
    night = fold_sequences(no_rows(), NEW, cutoff=LAST, since=FIRST, **LIMITS)
    every = pa.concat_tables([EARLIER, NEW])
    rebuilt = fold_sequences(no_rows(), every, cutoff=LAST, **LIMITS)
    found = rows_of(Folded([base, write(night, "night.parquet")], LAST, *LIMITS.values()))

    assert night["since"].to_pylist() == [FIRST, FIRST]
    assert rebuilt["since"].to_pylist() == [None] * 4
    assert (
        found == rebuilt.select(ROW_COLUMNS).cast(arrow_schema(SEQUENCES, ROW_COLUMNS)).to_pylist()
    )


def test_a_row_group_is_read_as_it_lies(write):
    """A whole partition of before the column `since` too, and only the columns asked for."""
    rows = fold_sequences(no_rows(), EARLIER, cutoff=FIRST, **LIMITS).drop_columns(["since"])
    whole = Whole(RowGroup(write(rows, "whole.parquet"), 0, 3))

    assert rows_of(whole) == rows.cast(arrow_schema(SEQUENCES, ROW_COLUMNS)).to_pylist()
    assert rows_of(whole, ["user_id"]) == [{"user_id": user} for user in "abc"]
