"""Are two lots of rows the same, whatever their order? Quick, and good for one run only.

DuckDB's own hash of a row, summed over the rows. Another version of DuckDB may hash differently, so
it is never kept: the ledger holds `jobs/lake/content_hash.py`'s, which is the same everywhere.

Some columns hold one value in every row, as a night's cutoff and its version's name do. A database
need not send them back: it counts the rows that hold them, and the others are hashed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from jobs.lake.content_hash import is_constant
from jobs.warehouse.sql import quoted


@dataclass(frozen=True)
class Fingerprint:
    num_rows: int
    total: str  # decimal digits: the sum outgrows 64 bits

    def __str__(self) -> str:
        return f"{self.total}-{self.num_rows}"


def fixed_values(rows: pa.Table) -> dict[str, object]:
    """The columns that hold one value in every row, and the value; always fewer than all columns.

    Floats are left out: SQL takes 0 and -0 for equal.
    """
    names = [name for name in rows.column_names if _is_fixed(rows[name])]
    if len(names) == rows.num_columns:
        names.pop()
    return {name: rows[name][0].as_py() for name in names}


def _is_fixed(cells: pa.ChunkedArray) -> bool:
    return len(cells) > 0 and not pa.types.is_floating(cells.type) and is_constant(cells)


def holding(fixed: Mapping[str, object]) -> str:
    """SQL's condition for the rows that hold the values, which are to be bound in their order."""
    held = [f"{quoted(name)} = ${place}" for place, name in enumerate(fixed, start=1)]
    return " AND ".join(held) or "TRUE"


def fingerprint_query(columns: Sequence[str], source: str) -> str:
    """SQL for DuckDB, whose one row holds a fingerprint's two values."""
    row = ", ".join(map(quoted, columns))
    total = f"CAST(coalesce(sum(CAST(hash({row}) AS HUGEINT)), 0) AS VARCHAR)"
    return f"SELECT count(*) AS num_rows, {total} AS total FROM {source}"


def fingerprint(rows: pa.Table | pa.RecordBatchReader, columns: Sequence[str]) -> Fingerprint:
    """Of rows in memory, or of a stream of them, of which only a few batches are held at a time."""
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        found = connection.sql(fingerprint_query(columns, "rows")).fetchall()
    return Fingerprint(*found[0])
