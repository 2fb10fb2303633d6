"""The Parquet files of a lake table: written by Spark, listed, read back, counted and hashed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pyarrow.fs import FileSelector, FileSystem, FileType
from pyiceberg.conversions import from_bytes
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.types import TimestamptzType
from pyiceberg.utils.datetime import micros_to_timestamptz
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.tables import Table
from jobs.lake.column_types import is_list, spark_schema

ROWS_PER_FILE = 1_000_000
_FOLDER = "partition"  # a copy of the partition column, which Spark turns into folder names


@dataclass(frozen=True)
class RowGroup:
    """A part of a Parquet file that can be read on its own."""

    path: str  # in the lake's filesystem
    number: int
    num_rows: int  # about: the file's rows, shared out evenly


@dataclass(frozen=True)
class RowCounts:
    num_rows: int
    content_hash: str
    nulls: dict[str, int]  # of the columns that may hold none
    first: date | None  # smallest and largest partition
    last: date | None


def as_table(frame: DataFrame, table: Table) -> DataFrame:
    """The table's columns, in its order and of its types: what its files would hold."""
    schema = spark_schema(table)
    return frame.select(
        *(F.col(c.name).cast(schema[c.name].dataType).alias(c.name) for c in table.columns)
    )


def write_files(frame: DataFrame, table: Table, folder: str) -> None:
    """Write the table's columns, each file with one partition's rows, sorted by key."""
    order = [table.partition, *(name for name in table.key if name != table.partition)]
    (
        as_table(frame, table)
        .sortWithinPartitions(*order)
        .withColumn(_FOLDER, F.col(table.partition))
        .write.mode("errorifexists")
        .partitionBy(_FOLDER)
        .parquet(folder)
    )


def list_parquet(folder: str, properties: Mapping[str, str]) -> list[str]:
    """The Parquet files under a folder or URI, as URIs of the same form, sorted.

    Not those of Spark's `_temporary`, where an executor that was given up may go on writing.
    """
    filesystem, path, start = resolve(folder, properties)
    infos = filesystem.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
    found = [i.path for i in infos if i.type == FileType.File and i.path.endswith(".parquet")]
    return sorted(start + name for name in found if "/_" not in name.removeprefix(path))


def resolve(location: str, properties: Mapping[str, str]) -> tuple[FileSystem, str, str]:
    """The filesystem of a folder or URI, its path there, and what makes such a path a URI again."""
    io = PyArrowFileIO(dict(properties))
    scheme, netloc, path = PyArrowFileIO.parse_location(location)
    return io.fs_by_scheme(scheme, netloc), path, location.removesuffix(path)


def list_row_groups(files: Iterable[DataFile]) -> list[RowGroup]:
    """The row groups of data files, as the table's metadata knows them: no file is opened."""
    groups = []
    for file in sorted(files, key=lambda file: str(file.file_path)):
        path = PyArrowFileIO.parse_location(file.file_path)[2]
        count = max(1, len(file.split_offsets or ()))
        groups += [RowGroup(path, number, file.record_count // count) for number in range(count)]
    return groups


def with_nulls(files: Iterable[DataFile], schema: Schema, column: str) -> list[DataFile]:
    """The files that may have a null in the column, by the counts that each file's entry holds."""
    field_id = schema.find_field(column).field_id
    return [file for file in files if (file.null_value_counts or {}).get(field_id) != 0]


def earliest_of(files: Iterable[DataFile], schema: Schema, column: str) -> datetime | None:
    """The earliest instant in a column, by the bounds that each file's entry holds."""
    field = schema.find_field(column)
    assert isinstance(field.field_type, TimestamptzType), f"{column} holds no instants"
    bounds = [(file.lower_bounds or {}).get(field.field_id) for file in files]
    known: list[Any] = [
        from_bytes(field.field_type, bound) for bound in bounds if bound is not None
    ]
    return micros_to_timestamptz(min(known)) if known and len(known) == len(bounds) else None


def latest_of(files: Iterable[DataFile], schema: Schema, column: str) -> datetime | None:
    """The latest instant in a column, by the bounds that files' entries hold; those without: none.

    Of rows that may be null, it is that of the others.
    """
    field = schema.find_field(column)
    assert isinstance(field.field_type, TimestamptzType), f"{column} holds no instants"
    bounds = [(file.upper_bounds or {}).get(field.field_id) for file in files]
    known: list[Any] = [
        from_bytes(field.field_type, bound) for bound in bounds if bound is not None
    ]
    return micros_to_timestamptz(max(known)) if known else None


def read_files(spark: SparkSession, table: Table, paths: list[str]) -> DataFrame:
    schema = spark_schema(table)
    if not paths:
        return spark.createDataFrame([], schema)
    return spark.read.schema(schema).parquet(*paths).select(*table.column_names)


def summarize(rows: DataFrame, table: Table) -> RowCounts:
    """One pass over rows that have the table's columns and types."""
    required = [column.name for column in table.columns if not column.nullable]
    counts = [F.count_if(F.col(name).isNull()).alias(f"nulls_{name}") for name in required]
    row: Any = rows.select(
        F.count(F.lit(1)).alias("num_rows"),
        # Decimal, because 64-bit words overflow when they are added up.
        F.sum(_row_hash(table).cast("decimal(20,0)")).alias("total"),
        F.min(table.partition).alias("first"),
        F.max(table.partition).alias("last"),
        *counts,
    ).first()
    return RowCounts(
        num_rows=row["num_rows"],
        content_hash=f"{int(row['total'] or 0) % 2**64:016x}-{row['num_rows']}",
        nulls={name: row[f"nulls_{name}"] for name in required},
        first=row["first"],
        last=row["last"],
    )


def _row_hash(table: Table) -> Column:
    """64 bits of a row. Nulls and the lengths of lists are hashed too: xxhash64 skips over both."""
    parts: list[Column] = []
    for column in table.columns:
        if not column.in_hash:
            continue
        value = F.col(column.name)
        if column.type.startswith("map<"):
            value = F.map_entries(value)  # in the order in which the mapping names them
        if is_list(column.type) or column.type.startswith("map<"):
            parts.append(F.size(value))
        if column.nullable:
            parts.append(value.isNull())
        parts.append(value)
    return F.xxhash64(*parts)


def lay_out(frame: DataFrame, table: Table, *, rows_a_day: int) -> DataFrame:
    """Bring each day's rows together, in as few files as their number allows."""
    files_a_day = 1 + rows_a_day // ROWS_PER_FILE
    bucket = F.pmod(F.xxhash64(table.key[0]), F.lit(files_a_day))
    return frame.repartition(table.partition, bucket)
