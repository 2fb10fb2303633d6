"""One shuffle by user, of columns instead of rows.

Each task reads a row group, deals its rows into buckets by a hash of the user, and hands Spark one
compressed Arrow block for each bucket; Spark's shuffle brings a bucket's blocks together. So all
rows of a user meet in one task, and the JVM moves a few large values in place of every row.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.util import hash_array
from pyarrow.fs import FileSystem
from pyspark.sql import DataFrame, SparkSession

from jobs.lake.files import RowGroup

BLOCKS = "bucket int, block binary"
_PARTS = "source int, path string, number int"
_ARROW_BLOCKS = pa.schema([("bucket", pa.int32()), ("block", pa.binary())])
_CALL = b""
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True)
class Source:
    """Rows with a column ``user_id``, and the columns that are dealt."""

    row_groups: list[RowGroup]
    columns: list[str]


def deal_by_user(
    spark: SparkSession,
    sources: list[Source],
    *,
    num_buckets: int,
    filesystem: FileSystem,
) -> DataFrame:
    """``bucket`` and ``block``, in as many partitions as buckets: each holds one bucket.

    Each bucket has an empty block too, so that its task is called though no row is dealt to it.
    """

    def deal(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        pa.set_cpu_count(1)  # as many tasks as cores run beside each other
        for batch in batches:
            for part in batch.to_pylist():
                if part["path"] is None:
                    yield _call(part["number"])
                    continue
                columns = sources[part["source"]].columns
                with pq.ParquetFile(part["path"], filesystem=filesystem) as file:
                    rows = file.read_row_group(part["number"], columns, use_threads=False)
                yield from blocks_of(rows, num_buckets)

    parts = [
        (number, group.path, group.number)
        for number, source in enumerate(sources)
        for group in source.row_groups
    ]
    tasks = max(1, min(len(parts), 4 * spark.sparkContext.defaultParallelism))
    calls = [(None, None, bucket) for bucket in range(num_buckets)]
    listed = spark.createDataFrame([*parts, *calls], _PARTS)
    dealt = listed.repartition(tasks).mapInArrow(deal, BLOCKS)
    return dealt.repartitionById(num_buckets, "bucket")


def blocks_of(rows: pa.Table, num_buckets: int) -> Iterator[pa.RecordBatch]:
    """The rows, dealt: a record of bucket and Arrow stream for each bucket that has any.

    Rows without a user are dealt to nobody.
    """
    if rows["user_id"].null_count:
        rows = rows.filter(rows["user_id"].is_valid())
    bucket = buckets_of(rows["user_id"], num_buckets)
    order = np.argsort(bucket, kind="stable")  # of 16-bit numbers: a counting sort
    dealt = rows.take(pa.array(order)).combine_chunks()
    ends = np.cumsum(np.bincount(bucket, minlength=num_buckets))
    for number, end in enumerate(ends):
        start = int(ends[number - 1]) if number else 0
        if end > start:
            block = _serialized(dealt.slice(start, int(end) - start))
            yield pa.record_batch([pa.array([number], pa.int32()), block], schema=_ARROW_BLOCKS)


def buckets_of(user_ids: pa.ChunkedArray, num_buckets: int) -> np.ndarray:
    """(N,) uint16: the bucket of each user, the same on every machine."""
    encoded = user_ids.combine_chunks().dictionary_encode()
    users = encoded.dictionary.to_numpy(zero_copy_only=False)
    bucket = (hash_array(users, categorize=False) % num_buckets).astype(np.uint16)
    dealt: np.ndarray = bucket[encoded.indices.to_numpy(zero_copy_only=False)]
    return dealt


def gather(batches: Iterator[pa.RecordBatch]) -> tuple[int, list[pa.Table]] | None:
    """The bucket of a task, and the tables that were dealt to it; None for a task without one."""
    bucket, tables = None, []
    for batch in batches:
        for number, block in zip(batch.column("bucket"), batch.column("block"), strict=True):
            bucket = number.as_py()
            if len(block.as_buffer()):
                tables.append(pa.ipc.open_stream(block.as_buffer()).read_all())
    return None if bucket is None else (bucket, tables)


def _call(bucket: int) -> pa.RecordBatch:
    return pa.record_batch([pa.array([bucket], pa.int32()), [_CALL]], schema=_ARROW_BLOCKS)


def _serialized(rows: pa.Table) -> pa.Array:
    """One binary value: the rows as an Arrow stream, not copied again."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=_OPTIONS) as stream:
        stream.write_table(rows)
    stream_of_rows = sink.getvalue()
    ends = pa.array([0, stream_of_rows.size], pa.int32()).buffers()[1]
    return pa.Array.from_buffers(pa.binary(), 1, [None, ends, stream_of_rows])
