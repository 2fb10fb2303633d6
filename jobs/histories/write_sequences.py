"""The executors' part of sequences: a bucket of users' new events in, the file of their rows out.

A commit's files hold a bucket of users each, and say which in their names. So the next night needs
no shuffle of yesterday's rows: the task that gets a bucket's new events reads that bucket's file.
Files in which users lie otherwise are dealt by user, as the events are.

A module of its own, not a part of the program, so that every executor process imports it once.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem
from pyspark.sql import DataFrame, SparkSession

from contracts.tables import SEQUENCES
from jobs.histories.fold_sequences import CODED, COLUMNS, fold_sequences, no_events, no_rows
from jobs.histories.user_blocks import Source, deal_by_user, gather
from jobs.lake.column_types import arrow_schema, spark_schema
from jobs.lake.files import RowGroup
from jobs.lake.writer import FileWriter

BATCH_ROWS = 10_000
EVENTS_PER_BUCKET = 1_250_000  # what one task holds: some 200 bytes each
EVENTS_KEPT = "events_kept"  # the fact that says how many events a commit's arrays hold
WRITTEN = "path string, events_kept long"
_ARROW_WRITTEN = pa.schema([("path", pa.string()), ("events_kept", pa.int64())])
_NAME = re.compile(r"/part-(?P<bucket>\d+)-of-(?P<buckets>\d+)-[^/]*\.parquet$")


@dataclass(frozen=True)
class Request:
    """What the executors have to know of a run."""

    cutoff: date
    max_events: int
    gap_minutes: int


@dataclass(frozen=True)
class Earlier:
    """The rows that a run builds upon."""

    row_groups: list[RowGroup] = field(default_factory=list)
    facts: Mapping[str, str] = field(default_factory=dict)  # of their commit


@dataclass(frozen=True)
class Plan:
    """Who does what: users in buckets, and where each bucket's earlier rows lie."""

    num_buckets: int
    files: dict[int, list[str]]  # bucket → files that hold its users and no others
    dealt: list[RowGroup]  # rows that lie otherwise


def plan_buckets(earlier: Earlier, *, num_new: int, at_least: int) -> Plan:
    """Keep yesterday's buckets while they are neither far too large nor far too small."""
    num_events = num_new + int(earlier.facts.get(EVENTS_KEPT, 0))
    wanted = max(at_least, 1 + num_events // EVENTS_PER_BUCKET)
    files: dict[int, list[str]] = {}
    known = set()
    for path in sorted({group.path for group in earlier.row_groups}):
        if (found := _NAME.search(path)) is None:
            return Plan(wanted, {}, earlier.row_groups)
        known.add(int(found["buckets"]))
        files.setdefault(int(found["bucket"]), []).append(path)
    num_buckets = known.pop() if len(known) == 1 else 0
    if wanted <= 2 * num_buckets <= 4 * wanted:
        return Plan(num_buckets, files, [])
    return Plan(wanted, {}, earlier.row_groups)


@dataclass(frozen=True)
class Written:
    """What the executors say of a run."""

    files: list[str]
    facts: dict[str, str]


def write_sequences(
    spark: SparkSession,
    events: list[RowGroup],
    earlier: Earlier,
    request: Request,
    writer: FileWriter,
    *,
    at_least: int,
) -> Written:
    """Fold the events into the earlier rows, and write a file for each of ``at_least`` buckets."""
    plan = _plan(events, earlier, at_least)
    filesystem = writer.filesystem

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for bucket, rows in _folded(batches, plan, request, filesystem):
            num_events = len(pc.list_flatten(rows["event_ids"]))
            label = f"{bucket:05}-of-{plan.num_buckets:05}-"
            for path in writer.write(rows, label=label):
                yield pa.record_batch([[path], [num_events]], schema=_ARROW_WRITTEN)

    found = _dealt(spark, events, plan, filesystem).mapInArrow(write, WRITTEN).collect()
    kept = sum(row["events_kept"] for row in found)
    return Written([row["path"] for row in found], {EVENTS_KEPT: str(kept)})


def sequence_rows(
    spark: SparkSession,
    events: list[RowGroup],
    earlier: Earlier,
    request: Request,
    *,
    filesystem: FileSystem,
    at_least: int,
) -> DataFrame:
    """The rows that `write_sequences` would write."""
    plan, schema = _plan(events, earlier, at_least), arrow_schema(SEQUENCES)

    def rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _, folded in _folded(batches, plan, request, filesystem):
            yield from folded.cast(schema).to_batches(max_chunksize=BATCH_ROWS)

    return _dealt(spark, events, plan, filesystem).mapInArrow(rows, spark_schema(SEQUENCES))


def _plan(events: list[RowGroup], earlier: Earlier, at_least: int) -> Plan:
    num_new = sum(group.num_rows for group in events)
    return plan_buckets(earlier, num_new=num_new, at_least=at_least)


def _dealt(
    spark: SparkSession, events: list[RowGroup], plan: Plan, filesystem: FileSystem
) -> DataFrame:
    sources = [Source(events, COLUMNS), Source(plan.dealt, SEQUENCES.column_names)]
    return deal_by_user(spark, sources, num_buckets=plan.num_buckets, filesystem=filesystem)


def _folded(
    batches: Iterator[pa.RecordBatch], plan: Plan, request: Request, filesystem: FileSystem
) -> Iterator[tuple[int, pa.Table]]:
    """The bucket of a task, and its rows; nothing where it has no users."""
    pa.set_cpu_count(1)  # as many tasks as cores run beside each other
    if (found := gather(batches)) is None:
        return
    bucket, dealt = found
    events = [table for table in dealt if "event_id" in table.column_names]
    rows = [table for table in dealt if "event_ids" in table.column_names]
    rows += [read_bucket(path, filesystem) for path in plan.files.get(bucket, [])]
    folded = fold_sequences(
        pa.concat_tables(rows) if rows else no_rows(),
        pa.concat_tables(events) if events else no_events(),
        cutoff=request.cutoff,
        max_events=request.max_events,
        gap_minutes=request.gap_minutes,
    )
    if folded.num_rows:
        yield bucket, folded


def read_bucket(path: str, filesystem: FileSystem) -> pa.Table:
    """A bucket's earlier rows, with the words that repeat as their file has them: as codes."""
    coded = [f"{name}.list.element" for name in CODED]
    with pq.ParquetFile(path, filesystem=filesystem, read_dictionary=coded) as file:
        return file.read(SEQUENCES.column_names, use_threads=False)
