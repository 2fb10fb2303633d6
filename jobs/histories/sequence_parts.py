"""The executors' part of reading sequences: one task's users, batch by batch.

A module of its own, so that executors need not import the lake to read it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem

from contracts.money import Money
from contracts.tables import SEQUENCES
from jobs.histories.fold_sequences import fold_sequences, no_events
from jobs.histories.sequence_buckets import read_bucket
from jobs.lake.column_types import arrow_schema, with_columns
from jobs.lake.files import RowGroup


@dataclass(frozen=True)
class Whole:
    """A row group that holds everything of its users; never more than a batch is in memory."""

    group: RowGroup

    def batches(
        self, filesystem: FileSystem, num_users: int, columns: list[str]
    ) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self.group.path, filesystem=filesystem) as file:
            schema = arrow_schema(SEQUENCES, columns)
            for batch in file.iter_batches(
                num_users, row_groups=[self.group.number], columns=columns, use_threads=False
            ):
                yield with_columns(batch, schema)


@dataclass(frozen=True)
class Folded:
    """A bucket's users: its file of the whole partition, and those of the nights upon it."""

    paths: list[str]
    cutoff: date
    max_events: int
    gap_minutes: int
    money: Money

    def batches(
        self, filesystem: FileSystem, num_users: int, columns: list[str]
    ) -> Iterator[pa.RecordBatch]:
        rows = fold_sequences(
            pa.concat_tables([read_bucket(path, filesystem) for path in self.paths]),
            no_events(),
            cutoff=self.cutoff,
            max_events=self.max_events,
            gap_minutes=self.gap_minutes,
            money=self.money,
        )
        schema = arrow_schema(SEQUENCES, columns)
        yield from rows.select(columns).cast(schema).to_batches(max_chunksize=num_users)


Part = Whole | Folded
