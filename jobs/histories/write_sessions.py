"""The executors' part of sessions: blocks of events in, files of sessions and of their events out.

A module of its own, not a part of the program, so that every executor process imports it once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.fs import FileSystem
from pyspark.sql import DataFrame, SparkSession

from contracts.money import Money
from contracts.tables import SESSION_EVENTS, SESSIONS, Table
from contracts.windows import Window
from jobs.histories.cut_sessions import COLUMNS, Cut, cut_sessions
from jobs.histories.user_blocks import Source, deal_by_user, gather
from jobs.lake.column_types import spark_schema
from jobs.lake.files import RowGroup
from jobs.lake.writer import FileWriter

BATCH_ROWS = 50_000
ROWS_PER_BUCKET = 1_250_000  # what one task holds: some 200 bytes each
WRITTEN = "table string, path string, late_events long, continued_events long"
_ARROW_WRITTEN = pa.schema(
    [
        ("table", pa.string()),
        ("path", pa.string()),
        ("late_events", pa.int64()),
        ("continued_events", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Request:
    """What the executors have to know of a run."""

    window: Window  # session days to write
    gap_minutes: int
    zone: str
    money: Money  # what counts as spend
    seen_from: datetime  # earlier events are of no session of the window
    new_from: date  # first ingestion day whose events are new
    on_time_from: datetime  # a new event from before it is late


@dataclass(frozen=True)
class Written:
    """What the executors say of a run."""

    files: dict[str, list[str]]  # table → paths
    late_events: int
    continued_events: int


def write_sessions(
    spark: SparkSession,
    row_groups: list[RowGroup],
    request: Request,
    writers: tuple[FileWriter, FileWriter],
) -> Written:
    """Cut the events into sessions, and write the files of both tables: sessions, their events."""

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        if (found := _cut(batches, request)) is None:
            return
        cut, late_events = found
        yield _said("", "", late_events, cut.continued_events)
        for writer, rows in zip(writers, (cut.sessions, cut.events), strict=True):
            for path in writer.write(rows):
                yield _said(writer.table, path, 0, 0)

    rows = _dealt(spark, row_groups, writers[0].filesystem).mapInArrow(write, WRITTEN).collect()
    return Written(
        {
            writer.table: [row["path"] for row in rows if row["table"] == writer.table]
            for writer in writers
        },
        late_events=sum(row["late_events"] for row in rows),
        continued_events=sum(row["continued_events"] for row in rows),
    )


def session_rows(
    spark: SparkSession,
    row_groups: list[RowGroup],
    request: Request,
    table: Table,
    *,
    filesystem: FileSystem,
) -> DataFrame:
    """The rows that `write_sessions` would write into one of its two tables."""

    def rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        if (found := _cut(batches, request)) is None:
            return
        cut, _ = found
        both = {SESSIONS.name: cut.sessions, SESSION_EVENTS.name: cut.events}
        yield from both[table.name].to_batches(max_chunksize=BATCH_ROWS)

    return _dealt(spark, row_groups, filesystem).mapInArrow(rows, spark_schema(table))


def _dealt(spark: SparkSession, row_groups: list[RowGroup], filesystem: FileSystem) -> DataFrame:
    num_rows = sum(group.num_rows for group in row_groups)
    num_buckets = 1 + num_rows // ROWS_PER_BUCKET
    return deal_by_user(
        spark, [Source(row_groups, COLUMNS)], num_buckets=num_buckets, filesystem=filesystem
    )


def _cut(batches: Iterator[pa.RecordBatch], request: Request) -> tuple[Cut, int] | None:
    """A bucket's sessions, and how many of its events came too late; None where it has none."""
    pa.set_cpu_count(1)  # as many tasks as cores run beside each other
    found = gather(batches)
    if found is None or not found[1]:
        return None
    events = pa.concat_tables(found[1])
    is_late = pc.and_(
        pc.greater_equal(events["ingest_date"], pa.scalar(request.new_from)),
        pc.less(events["event_time"], pa.scalar(request.on_time_from)),
    )
    is_seen = pc.greater_equal(events["event_time"], pa.scalar(request.seen_from))
    cut = cut_sessions(
        events.filter(pc.and_not(is_seen, is_late)),
        window=request.window,
        new_from=request.new_from,
        gap_minutes=request.gap_minutes,
        zone=request.zone,
        money=request.money,
    )
    return cut, pc.sum(is_late).as_py()


def _said(table: str, path: str, late_events: int, continued_events: int) -> pa.RecordBatch:
    values = [[table], [path], [late_events], [continued_events]]
    return pa.record_batch(values, schema=_ARROW_WRITTEN)
