"""Where users lie: the files of a commit of `sequences` hold a bucket of users each.

They say which in their names, so what a bucket's users have is read without a shuffle: its file of
the whole partition, and that of each night upon it. Files in which users lie otherwise (another
program's, an older layout's, of buckets far too large or small) are dealt by user, as events are.
"""

import re
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem

from contracts.tables import SEQUENCES
from jobs.histories.fold_sequences import CODED
from jobs.lake.column_types import arrow_schema, with_columns
from jobs.lake.files import RowGroup

EVENTS_PER_BUCKET = 1_250_000  # what one task holds: some 200 bytes each
ROW_COLUMNS = [name for name in SEQUENCES.column_names if name != "since"]  # what a fold reads
_NAME = re.compile(r"/part-(?P<bucket>\d+)-of-(?P<buckets>\d+)-[^/]*\.parquet$")


@dataclass(frozen=True)
class Earlier:
    """Rows that are there: of a whole partition, then of each night upon it."""

    row_groups: list[RowGroup] = field(default_factory=list)
    num_events: int = 0  # that their arrays hold


@dataclass(frozen=True)
class Plan:
    """Who does what: users in buckets, and where each bucket's earlier rows lie."""

    num_buckets: int
    files: dict[int, list[str]]  # bucket → files that hold its users and no others, oldest first
    dealt: list[RowGroup]  # rows that lie otherwise


def plan_buckets(earlier: Earlier, *, num_new: int, at_least: int) -> Plan:
    """Keep the buckets that are there while they are neither far too large nor far too small."""
    wanted = max(at_least, 1 + (num_new + earlier.num_events) // EVENTS_PER_BUCKET)
    plan = find_buckets(earlier)
    if plan and wanted <= 2 * plan.num_buckets <= 4 * wanted:
        return plan
    return Plan(wanted, {}, earlier.row_groups)


def find_buckets(earlier: Earlier) -> Plan | None:
    """The buckets in which the rows lie; None where some lie otherwise, or there are none."""
    files: dict[int, list[str]] = {}
    known = set()
    for path in dict.fromkeys(group.path for group in earlier.row_groups):
        if (found := _NAME.search(path)) is None:
            return None
        known.add(int(found["buckets"]))
        files.setdefault(int(found["bucket"]), []).append(path)
    return Plan(known.pop(), files, []) if len(known) == 1 else None


def label_of(bucket: int, num_buckets: int) -> str:
    """What the name of a bucket's file says."""
    return f"{bucket:05}-of-{num_buckets:05}-"


def read_bucket(path: str, filesystem: FileSystem, columns: list[str] | None = None) -> pa.Table:
    """A bucket's rows, with the words that repeat as their file has them: as codes."""
    coded = [f"{name}.list.element" for name in CODED]
    with pq.ParquetFile(path, filesystem=filesystem, read_dictionary=coded) as file:
        rows = file.read(columns or ROW_COLUMNS, use_threads=False)
    return with_columns(rows, arrow_schema(SEQUENCES, columns or ROW_COLUMNS))
