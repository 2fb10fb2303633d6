"""The rows of raw Parquet files, each with its file and its number in the file.

A file is read by one task, a batch at a time. Every value becomes text, as a log would have it: an
instant (a timestamp adjusted to UTC) ends in Z, a naive one (INT96 among them) has no offset, lists
and structs are JSON, bytes that are no text are hexadecimal. NaN is no value: pandas writes it so.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs
from pyspark.sql import DataFrame, SparkSession

from jobs.ingestion.flaws import INEXACT, NESTED, NOT_UTF8, as_array
from jobs.ingestion.raw_lines import RawFile, list_files, refuse_broken
from jobs.ingestion.sql_names import quoted

_BATCH_ROWS = 4096
_EXACT_BITS = {16: 11, 32: 24, 64: 53}  # of a float: whole numbers beyond are rounded
_ERRORS = (pa.ArrowException, OSError, EOFError)


@dataclass(frozen=True)
class Columns:
    """The columns of a file in order, no two of one name, and the paths of values within them."""

    names: tuple[str, ...]
    paths: tuple[str, ...]  # `user.id` for the member `id` of the struct `user`
    twice: tuple[str, ...] = ()  # names that several columns have; only the first keeps it


def read_columns(file: RawFile, folder: str) -> Columns:
    """What a file has. Raises DataError where it is no Parquet file."""
    try:
        with _open(file.path) as opened:
            schema = opened.schema_arrow
    except _ERRORS as error:
        raise refuse_broken(file.source, folder, _why(error)) from None
    names: list[str] = []
    for name in schema.names:
        number = 2
        unique = name
        while unique in names:
            unique, number = f"{name} ({number})", number + 1
        names.append(unique)
    paths = [path for field in schema for path in _paths_in(field)]
    twice = [name for name in dict.fromkeys(schema.names) if schema.names.count(name) > 1]
    return Columns(tuple(names), tuple(dict.fromkeys(paths)), tuple(twice))


def _paths_in(field: pa.Field) -> Iterator[str]:
    if pa.types.is_struct(field.type):
        for inner in field.type:
            yield f"{field.name}.{inner.name}"
            yield from (f"{field.name}.{path}" for path in _paths_in(inner))


def read_rows(
    spark: SparkSession,
    files: list[RawFile],
    *,
    columns: Sequence[str],
    paths: Sequence[str] = (),
    most: int | None = None,
) -> DataFrame:
    """Every row of files that have these columns: source, line from 1, day, values as text.

    ``parsed`` has the columns, and after them the values at ``paths``. ``flaws`` says of a column
    what is wrong with its value, and is null where nothing is.
    """
    values = ", ".join(f"{quoted(name)}: string" for name in (*columns, *paths))
    schema = (
        "source string, line long, ingest_date date, broken string, "
        f"parsed struct<{values}>, flaws map<string,string>"
    )
    listed = list_files(spark, files, skip=0, most=most)

    def rows_of(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for file in batch.to_pylist():
                yield from rows_of_file(columns=columns, paths=paths, **file)

    return listed.mapInArrow(rows_of, schema)


def rows_of_file(
    path: str,
    source: str,
    ingest_date: date,
    skip: int,
    most: int | None,
    columns: Sequence[str],
    paths: Sequence[str] = (),
) -> Iterator[pa.RecordBatch]:
    """The rows of a file in batches; one that cannot be read on ends in ``broken``."""
    number, names = skip, [*columns, *paths]
    try:
        with _open(path) as opened:
            for batch in opened.iter_batches(batch_size=_BATCH_ROWS):
                taken = batch if most is None else batch.slice(0, max(most - number, 0))
                if not taken.num_rows:
                    return
                flaws: dict[int, dict[str, str]] = {}
                values = [taken.column(n) for n in range(len(columns))]
                values += [_at(taken, inner) for inner in paths]
                texts = [
                    _text(value, name, flaws) for name, value in zip(names, values, strict=True)
                ]
                yield _batch(source, ingest_date, number + 1, names, texts, flaws)
                number += taken.num_rows
    except _ERRORS as error:
        nothing = [pa.nulls(1, pa.string()) for _ in names]
        yield _batch(source, ingest_date, number + 1, names, nothing, {}, _why(error))


def _at(batch: pa.RecordBatch, path: str) -> pa.Array:
    top, *inner = path.split(".")
    return pc.struct_field(batch.column(batch.schema.names.index(top)), inner)


def _text(values: pa.Array, name: str, flaws: dict[int, dict[str, str]]) -> pa.Array:
    """Values as the text that a log in JSON would have; ``flaws`` takes what is wrong with them."""
    kind = values.type
    if isinstance(values, pa.ExtensionArray):
        texts = [None if value is None else str(value) for value in values.to_pylist()]
        return pa.array(texts, pa.string())
    if pa.types.is_dictionary(kind):
        return _text(values.dictionary_decode(), name, flaws)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pc.cast(pc.cast(values, pa.timestamp(kind.unit, "UTC")), pa.string())
    if pa.types.is_floating(kind):
        return _text_of_floats(values, name, flaws)
    if pa.types.is_nested(kind):
        _mark(values.is_valid(), NESTED, name, flaws)
        return pa.array([_json(value) for value in values.to_pylist()], pa.string())
    if pa.types.is_fixed_size_binary(kind):
        return pa.array([None if v is None else v.hex() for v in values.to_pylist()], pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array([_text_of_bytes(value) for value in values.to_pylist()], pa.string())
    texts = pc.cast(values, pa.string())
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return _marked(texts, name, flaws)
    return texts


def _text_of_floats(values: pa.Array, name: str, flaws: dict[int, dict[str, str]]) -> pa.Array:
    """An id that was written as a number with a fraction keeps its digits: 13085, not 13085.0."""
    exact = 2.0 ** _EXACT_BITS[values.type.bit_width]
    values = pc.cast(pc.if_else(pc.is_nan(values), None, values), pa.float64())
    is_whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), exact))
    _mark(pc.greater_equal(pc.abs(values), exact), INEXACT, name, flaws)
    whole = pc.cast(pc.if_else(is_whole, values, None), pa.int64())
    return pc.if_else(is_whole, pc.cast(whole, pa.string()), pc.cast(values, pa.string()))


def _mark(is_flawed: pa.Array, flaw: str, name: str, flaws: dict[int, dict[str, str]]) -> None:
    if pc.any(is_flawed).as_py():
        for n, yes in enumerate(is_flawed.to_pylist()):
            if yes:
                flaws.setdefault(n, {})[name] = flaw


def _text_of_bytes(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return f"0x{value.hex()}" if value else ""


def _marked(texts: pa.Array, name: str, flaws: dict[int, dict[str, str]]) -> pa.Array:
    """Text that some writer did not check, with a mark in the place of what is no UTF-8."""
    plain = []
    for n, value in enumerate(pc.cast(texts, pa.binary()).to_pylist()):
        text = None if value is None else value.decode(errors="replace")
        if text is not None and text.encode() != value:
            flaws.setdefault(n, {})[name] = NOT_UTF8
        plain.append(text)
    return pa.array(plain, pa.string())


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, default=str)


def _batch(
    source: str,
    ingest_date: date,
    first: int,
    names: list[str],
    texts: list[pa.Array],
    flaws: dict[int, dict[str, str]],
    broken: str | None = None,
) -> pa.RecordBatch:
    count = len(texts[0])
    fields = [pa.field(name, pa.string()) for name in names]
    return pa.RecordBatch.from_arrays(
        [
            pa.repeat(source, count),
            pa.array(range(first, first + count), pa.int64()),
            pa.repeat(pa.scalar(ingest_date, pa.date32()), count),
            pa.repeat(pa.scalar(broken, pa.string()), count),
            pa.StructArray.from_arrays(texts, fields=fields),
            as_array(flaws, count),
        ],
        names=["source", "line", "ingest_date", "broken", "parsed", "flaws"],
    )


def _open(path: str) -> pq.ParquetFile:
    filesystem, name = fs.FileSystem.from_uri(path)
    # INT96 counts nanoseconds, and overflows in 2262: microseconds are what `events` holds.
    return pq.ParquetFile(filesystem.open_input_file(name), coerce_int96_timestamp_unit="us")


def _why(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
