"""Files of a lake table that the executors write themselves, without Spark's committer.

A file is part of the table only when the driver names it in a commit, and the driver learns only of
the files of those attempts that Spark has counted: what a failed, killed or speculated attempt has
written stays unreferenced, until `nightshift vacuum` removes it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem

SAMPLE = 10_000  # values of a column that say whether it repeats
STREAMED_ROWS = 16_384  # of a row group that is written as its batches come
DICTIONARY_BYTES = 4 << 20  # of a row group; above it Parquet's writer falls back to plain


@dataclass(frozen=True)
class FileWriter:
    """Where a run's files of one table go; made by the driver, used by its executors."""

    table: str
    partition: str  # the column
    filesystem: FileSystem
    folder: str  # in the filesystem
    prefix: str  # what makes such a path the lake's again

    def write(self, rows: pa.Table, *, label: str = "") -> Iterator[str]:
        """Write rows that are sorted by partition, a file for each; yields the files' paths.

        The label stands in the files' names, between `part-` and what makes them unique.
        """
        encodings = encodings_of(rows)
        for value, part in _parts(rows, self.partition):
            folder = f"{self.folder}/partition={value}"
            self.filesystem.create_dir(folder)
            path = f"{folder}/part-{label}{uuid4()}.parquet"
            with self.filesystem.open_output_stream(path) as sink:
                pq.write_table(part, sink, compression="zstd", store_schema=False, **encodings)
            yield self.prefix + path

    def write_stream(self, batches: Iterable[pa.RecordBatch], *, label: str = "") -> Iterator[str]:
        """Write batches of one partition into one file as they come; yields its path.

        No more is held than a row group. No row makes no file.
        """
        groups = _row_groups(batches)
        first = next(groups, None)
        if first is None:
            return
        folder = f"{self.folder}/partition={first[self.partition][0].as_py()}"
        self.filesystem.create_dir(folder)
        path = f"{folder}/part-{label}{uuid4()}.parquet"
        options = {"compression": "zstd", "store_schema": False, **encodings_of(first)}
        with (
            self.filesystem.open_output_stream(path) as sink,
            pq.ParquetWriter(sink, first.schema, **options) as file,
        ):
            file.write_table(first)
            for rows in groups:
                file.write_table(rows)
        yield self.prefix + path


def leaf(field: pa.Field) -> str:
    """The Parquet column of a field, or of its lists' elements."""
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else str(field.name)


def encodings_of(rows: pa.Table) -> dict[str, Any]:
    """How to store each column: instants as differences, words that come again in a dictionary.

    A dictionary of what hardly repeats costs more than the rest of the file, and is thrown away.
    """
    instants, repeated = [], []
    for field, column in zip(rows.schema, rows.columns, strict=True):
        values = pc.list_flatten(column) if pa.types.is_list(field.type) else column
        if pa.types.is_timestamp(values.type):
            instants.append(leaf(field))
        elif pa.types.is_dictionary(values.type) or _does_repeat(values.slice(0, SAMPLE)):
            repeated.append(leaf(field))
    return {
        "use_dictionary": repeated or False,
        "dictionary_pagesize_limit": DICTIONARY_BYTES,
        "column_encoding": dict.fromkeys(instants, "DELTA_BINARY_PACKED"),
    }


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches, gathered until they are a row group."""
    gathered: list[pa.RecordBatch] = []
    num_rows = 0
    for batch in batches:
        gathered.append(batch)
        num_rows += batch.num_rows
        if num_rows >= STREAMED_ROWS:
            yield pa.Table.from_batches(gathered)
            gathered, num_rows = [], 0
    if num_rows:
        yield pa.Table.from_batches(gathered)


def _does_repeat(values: pa.ChunkedArray) -> bool:
    return bool(2 * pc.count_distinct(values, mode="all").as_py() <= len(values))


def _parts(rows: pa.Table, column: str) -> Iterator[tuple[object, pa.Table]]:
    """(value, the rows that have it), in order."""
    if not rows.num_rows:
        return
    days = rows[column].cast(pa.int32()).to_numpy()
    starts = np.flatnonzero(np.append(True, days[1:] != days[:-1]))
    for start, end in zip(starts, [*starts[1:], len(days)], strict=True):
        yield rows[column][int(start)].as_py(), rows.slice(int(start), int(end - start))
