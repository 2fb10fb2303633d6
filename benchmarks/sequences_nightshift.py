"""The sequences job of Nightshift, from all events and night by night: a side of `spark.py`.

Beside them what a night cannot go below while each has every user's row: yesterday's files, read
and written again unchanged by the same workers, then read back, counted and hashed.

python -m benchmarks.sequences_nightshift EVENTS OUTPUT
"""

import contextlib
import io
import json
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession

from benchmarks.generate import DAYS, FIRST
from benchmarks.sessions_nightshift import INGESTED, settings_in
from contracts.tables import EVENTS, SEQUENCES
from contracts.windows import one_day
from jobs import build_sequences
from jobs.histories.write_sequences import read_bucket
from jobs.lake.files import list_parquet
from jobs.lake.lake import Lake, open_lake
from jobs.running.settings import Settings
from jobs.running.spark import open_spark


def main(events: str, output: str) -> None:
    settings = settings_in(Path(output))
    lake = open_lake(settings)
    spark = open_spark(settings, "benchmark")
    paths = list_parquet(events, {})
    lake.commit(lake.stage_files(spark, paths, EVENTS, window=INGESTED, run_key="made"), reads={})
    last = FIRST + timedelta(days=DAYS)
    build(settings, last - timedelta(days=1))
    seconds = {"increment_seconds": build(settings, last)}
    copied, committed = copy(spark, lake, last)
    seconds |= {
        "copy_seconds": copied,
        "copy_commit_seconds": committed,
        "full_seconds": build(settings, last, "--full"),
    }
    print(json.dumps({name: round(value, 2) for name, value in seconds.items()}), flush=True)
    spark.stop()


def build(settings: Settings, cutoff: date, *options: str) -> float:
    """Seconds of one run, commit included."""
    begun = time.monotonic()
    arguments = ["--cutoff", str(cutoff), "--config", str(settings.file), *options]
    with contextlib.redirect_stderr(io.StringIO()):
        if code := build_sequences.main(arguments):
            raise SystemExit(code)
    return time.monotonic() - begun


def copy(spark: SparkSession, lake: Lake, cutoff: date) -> tuple[float, float]:
    """Seconds to write the rows of a cutoff again, and to read them back, count and hash them."""
    snapshot, window = lake.snapshot_id(SEQUENCES), one_day(cutoff)
    groups = lake.row_groups(SEQUENCES, window=window, snapshot_id=snapshot)
    paths = sorted({group.path for group in groups})
    writer = lake.writer(SEQUENCES, run_key="copy")

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        pa.set_cpu_count(1)
        for batch in batches:
            for path in batch.column("path").to_pylist():
                rows = read_bucket(path, writer.filesystem)
                yield pa.record_batch({"path": [*writer.write(rows)]})

    begun = time.monotonic()
    listed = spark.createDataFrame([(path,) for path in paths], "path string")
    written = listed.repartition(len(paths)).mapInArrow(write, "path string").collect()
    copied = time.monotonic()
    files = [row["path"] for row in written]
    lake.stage_files(spark, files, SEQUENCES, window=window, run_key="copy")
    return copied - begun, time.monotonic() - copied


if __name__ == "__main__":
    main(*sys.argv[1:])
