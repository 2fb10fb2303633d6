"""Are two lots of rows the same, whatever their order? Quick, and good for one run only.

DuckDB's own hash of a row, summed over the rows. Another version of DuckDB may hash differently, so
it is never kept: the ledger holds `jobs/lake/content_hash.py`'s, which is the same everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from jobs.warehouse.sql import quoted


@dataclass(frozen=True)
class Fingerprint:
    num_rows: int
    total: str  # decimal digits: the sum outgrows 64 bits

    def __str__(self) -> str:
        return f"{self.total}-{self.num_rows}"


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
