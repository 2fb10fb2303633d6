"""A commit in a process of its own, for a test that watches what it asks of the disk."""

import sys
from datetime import date
from pathlib import Path

import pyarrow as pa

from contracts.tables import QUARANTINE
from contracts.windows import one_day
from jobs.lake.column_types import arrow_schema
from jobs.lake.commits import Staged
from jobs.lake.lake import open_lake
from jobs.running.settings import load_settings

DAY = date(2017, 11, 28)


def main(config: Path) -> None:
    lake = open_lake(load_settings(config))
    line = {"source": "a", "line": 1, "reason": "x", "raw": b"x", "ingest_date": DAY}
    rows = pa.Table.from_pylist([line], schema=arrow_schema(QUARANTINE))
    paths = [*lake.writer(QUARANTINE, run_key="run-1").write(rows)]
    lake.commit(Staged(QUARANTINE, paths, one_day(DAY), "run-1", 1, "hash-1"), reads={})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
