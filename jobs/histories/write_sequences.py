"""The executors' part of sequences: a bucket of users' new events in, the file of their rows out.

A night's rows are those of the new events alone; a whole partition's are these folded into all
rows that were there. Users stay in their buckets, so neither shuffles rows that are there.

A module of its own, not a part of the program, so that every executor process imports it once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.fs import FileSystem
from pyspark.sql import DataFrame, SparkSession

from contracts.money import Money
from contracts.tables import EVENTS, SEQUENCES
from jobs.histories.fold_sequences import COLUMNS, fold_sequences, no_events, no_rows
from jobs.histories.sequence_buckets import ROW_COLUMNS, Plan, label_of, read_bucket
from jobs.histories.user_blocks import Source, deal_by_user, gather
from jobs.lake.column_types import arrow_schema, spark_schema, with_columns
from jobs.lake.files import RowGroup
from jobs.lake.writer import FileWriter

BATCH_ROWS = 10_000
WRITTEN = "path string, num_events long, num_users long"
_ARROW_WRITTEN = pa.schema(
    [("path", pa.string()), ("num_events", pa.int64()), ("num_users", pa.int64())]
)


@dataclass(frozen=True)
class Request:
    """What the executors have to know of a run."""

    cutoff: date
    max_events: int
    gap_minutes: int
    money: Money  # what counts as spend
    since: date | None = None  # the cutoff upon which a night builds; None where rows are whole


@dataclass(frozen=True)
class Written:
    """What the executors say of a run."""

    files: list[str]
    num_events: int  # in the arrays of the rows
    num_users: int  # of the rows; in a night only those whom no earlier row has


def write_sequences(
    spark: SparkSession, events: list[RowGroup], plan: Plan, request: Request, writer: FileWriter
) -> Written:
    """Write a file for each bucket that has rows."""
    filesystem = writer.filesystem

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for bucket, rows in _folded(batches, plan, request, filesystem):
            num_events = len(pc.list_flatten(rows["event_ids"]))
            known = plan.files.get(bucket, []) if request.since else []
            num_users = rows.num_rows - _num_known(rows["user_id"], known, filesystem)
            for path in writer.write(rows, label=label_of(bucket, plan.num_buckets)):
                yield pa.record_batch([[path], [num_events], [num_users]], schema=_ARROW_WRITTEN)

    found = _dealt(spark, events, plan, request, filesystem).mapInArrow(write, WRITTEN).collect()
    return Written(
        [row["path"] for row in found],
        sum(row["num_events"] for row in found),
        sum(row["num_users"] for row in found),
    )


def sequence_rows(
    spark: SparkSession,
    events: list[RowGroup],
    plan: Plan,
    request: Request,
    *,
    filesystem: FileSystem,
) -> DataFrame:
    """The rows that `write_sequences` would write."""
    schema = arrow_schema(SEQUENCES)

    def rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _, folded in _folded(batches, plan, request, filesystem):
            yield from folded.cast(schema).to_batches(max_chunksize=BATCH_ROWS)

    dealt = _dealt(spark, events, plan, request, filesystem)
    return dealt.mapInArrow(rows, spark_schema(SEQUENCES))


def _dealt(
    spark: SparkSession,
    events: list[RowGroup],
    plan: Plan,
    request: Request,
    filesystem: FileSystem,
) -> DataFrame:
    sources = [Source(events, COLUMNS)]
    if request.since is None:
        sources.append(Source(plan.dealt, ROW_COLUMNS))
    return deal_by_user(spark, sources, num_buckets=plan.num_buckets, filesystem=filesystem)


def _folded(
    batches: Iterator[pa.RecordBatch], plan: Plan, request: Request, filesystem: FileSystem
) -> Iterator[tuple[int, pa.Table]]:
    """The bucket of a task, and its rows; nothing where it has no users."""
    pa.set_cpu_count(1)  # as many tasks as cores run beside each other
    if (found := gather(batches)) is None:
        return
    bucket, dealt = found
    of_event, of_row = arrow_schema(EVENTS, COLUMNS), arrow_schema(SEQUENCES, ROW_COLUMNS)
    events = [with_columns(table, of_event) for table in dealt if "event_id" in table.column_names]
    rows = [with_columns(table, of_row) for table in dealt if "event_ids" in table.column_names]
    if request.since is None:
        rows += [read_bucket(path, filesystem) for path in plan.files.get(bucket, [])]
    folded = fold_sequences(
        pa.concat_tables(rows) if rows else no_rows(),
        pa.concat_tables(events) if events else no_events(),
        cutoff=request.cutoff,
        max_events=request.max_events,
        gap_minutes=request.gap_minutes,
        money=request.money,
        since=request.since,
    )
    if folded.num_rows:
        yield bucket, folded


def _num_known(user_ids: pa.ChunkedArray, paths: list[str], filesystem: FileSystem) -> int:
    """How many of these users have a row in the files."""
    rows = [read_bucket(path, filesystem, ["user_id"])["user_id"] for path in paths]
    known = pa.chunked_array([chunk for ids in rows for chunk in ids.chunks], pa.string())
    return int(pc.sum(pc.is_in(user_ids, value_set=known)).as_py() or 0)
