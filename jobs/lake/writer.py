"""Files of a lake table that the executors write themselves, without Spark's committer.

A file is part of the table only when the driver names it in a commit, and the driver learns only of
the files of those attempts that Spark has counted: what a failed, killed or speculated attempt has
written stays unreferenced, until `nightshift vacuum` removes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem


@dataclass(frozen=True)
class FileWriter:
    """Where a run's files of one table go; made by the driver, used by its executors."""

    table: str
    partition: str  # the column
    filesystem: FileSystem
    folder: str  # in the filesystem
    prefix: str  # what makes such a path the lake's again

    def write(self, rows: pa.Table) -> Iterator[str]:
        """Write rows that are sorted by partition, a file for each; yields the files' paths."""
        for value, part in _parts(rows, self.partition):
            folder = f"{self.folder}/partition={value}"
            self.filesystem.create_dir(folder)
            path = f"{folder}/part-{uuid4()}.parquet"
            with self.filesystem.open_output_stream(path) as sink:
                pq.write_table(part, sink, compression="zstd")
            yield self.prefix + path


def _parts(rows: pa.Table, column: str) -> Iterator[tuple[object, pa.Table]]:
    """(value, the rows that have it), in order."""
    if not rows.num_rows:
        return
    days = rows[column].cast(pa.int32()).to_numpy()
    starts = np.flatnonzero(np.append(True, days[1:] != days[:-1]))
    for start, end in zip(starts, [*starts[1:], len(days)], strict=True):
        yield rows[column][int(start)].as_py(), rows.slice(int(start), int(end - start))
