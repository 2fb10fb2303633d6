"""The rows of raw Parquet files, each with its file and its number in the file.

A file is read by one task, a batch at a time. Every value becomes text, as a log would have it: an
instant (a timestamp adjusted to UTC) ends in Z, a naive one (INT96 among them) has no offset, and
lists and structs are JSON.
"""

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs
from pyspark.sql import DataFrame, SparkSession

from jobs.ingestion.parse_lines import quoted
from jobs.ingestion.raw_lines import RawFile, list_files, refuse_broken

_BATCH_ROWS = 4096


def read_columns(file: RawFile, folder: str) -> list[str]:
    """The names of a file's columns. Raises DataError where it is no Parquet file."""
    try:
        with _open(file.path) as opened:
            return list(opened.schema_arrow.names)
    except (pa.ArrowInvalid, OSError) as error:
        raise refuse_broken(file.source, folder, _why(error)) from None


def read_rows(
    spark: SparkSession, files: list[RawFile], *, columns: list[str], most: int | None = None
) -> DataFrame:
    """Every row of files that have these columns: source, line from 1, day, values as text."""
    values = ", ".join(f"{quoted(name)}: string" for name in columns)
    schema = f"source string, line long, ingest_date date, broken string, parsed struct<{values}>"
    listed = list_files(spark, files, skip=0, most=most)

    def rows_of(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for file in batch.to_pylist():
                yield from _rows_of_file(columns=columns, **file)

    return listed.mapInArrow(rows_of, schema)


def _rows_of_file(
    path: str, source: str, ingest_date: date, skip: int, most: int | None, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    number = skip
    try:
        with _open(path) as opened:
            for batch in opened.iter_batches(batch_size=_BATCH_ROWS):
                taken = batch if most is None else batch.slice(0, max(most - number, 0))
                if not taken.num_rows:
                    return
                values = [_text(taken.column(name)) for name in columns]
                yield _batch(source, ingest_date, number + 1, values, columns, None)
                number += taken.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        nothing = [pa.nulls(1, pa.string()) for _ in columns]
        yield _batch(source, ingest_date, number + 1, nothing, columns, _why(error))


def _text(values: pa.Array) -> pa.Array:
    """Values as the text that a log in JSON would have."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _text(values.dictionary_decode())
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pc.cast(pc.cast(values, pa.timestamp(kind.unit, "UTC")), pa.string())
    if pa.types.is_floating(kind):
        # An id that was written as a number with a fraction keeps its digits: 13085, not 13085.0.
        is_whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), 2.0**53))
        whole = pc.cast(pc.if_else(is_whole, values, None), pa.int64())
        return pc.if_else(is_whole, pc.cast(whole, pa.string()), pc.cast(values, pa.string()))
    if pa.types.is_nested(kind):
        return pa.array([_json(value) for value in values.to_pylist()], pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        texts = [None if v is None else v.decode(errors="replace") for v in values.to_pylist()]
        return pa.array(texts, pa.string())
    return pc.cast(values, pa.string())


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, default=str)


def _batch(
    source: str,
    ingest_date: date,
    first: int,
    values: list[pa.Array],
    columns: list[str],
    broken: str | None,
) -> pa.RecordBatch:
    count = len(values[0])
    fields = [pa.field(name, pa.string()) for name in columns]
    return pa.RecordBatch.from_arrays(
        [
            pa.repeat(source, count),
            pa.array(range(first, first + count), pa.int64()),
            pa.repeat(pa.scalar(ingest_date, pa.date32()), count),
            pa.repeat(pa.scalar(broken, pa.string()), count),
            pa.StructArray.from_arrays(values, fields=fields),
        ],
        names=["source", "line", "ingest_date", "broken", "parsed"],
    )


def _open(path: str) -> pq.ParquetFile:
    filesystem, name = fs.FileSystem.from_uri(path)
    # INT96 counts nanoseconds, and overflows in 2262: microseconds are what `events` holds.
    return pq.ParquetFile(filesystem.open_input_file(name), coerce_int96_timestamp_unit="us")


def _why(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
