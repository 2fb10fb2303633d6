"""Nights without Spark: the files that Spark would write, so that a commit takes milliseconds."""

import hashlib
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.tables import SERIES
from contracts.windows import one_day
from jobs.lake.column_types import arrow_schema
from jobs.lake.commits import Staged
from jobs.lake.lake import Lake


def write_file(
    lake: Lake,
    cutoff: date,
    items: list[str],
    run_key: str,
    *,
    inside: str = "",
    has_checksum: bool = False,
) -> str:
    """One file of a run, as Spark leaves it; beside it what is like a checksum. Returns its URI."""
    run = f"{lake._location}/{SERIES.name}/data/run={run_key}"
    name = hashlib.sha256(repr((items, inside)).encode()).hexdigest()[:12]
    uri = f"{run}/{inside}partition={cutoff}/part-00000-{name}.c000.zstd.parquet"
    file = Path(uri.removeprefix("file://"))
    file.parent.mkdir(parents=True, exist_ok=True)
    row = {"category": None, "day": cutoff, "units": 1.0, "revenue": 2.0, "cutoff": cutoff}
    rows = [{"item_id": item, **row} for item in items]
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(SERIES)), file)
    if has_checksum:
        file.with_name(f".{file.name}.crc").write_bytes(b"crc")
    return uri


def stage(
    lake: Lake, cutoff: date, items: list[str], run_key: str, *, has_checksum: bool = False
) -> Staged:
    paths = [write_file(lake, cutoff, items, run_key, has_checksum=has_checksum)]
    said = "".join(items).encode()
    content_hash = f"{hashlib.sha256(said).hexdigest()[:16]}-{len(items)}"
    return Staged(SERIES, paths, one_day(cutoff), run_key, len(items), content_hash)


def items_of(lake: Lake, **options: object) -> list[str]:
    found = lake.read_arrow(SERIES, columns=["item_id"], **options)
    return sorted(found["item_id"].to_pylist())
