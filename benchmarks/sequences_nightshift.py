"""The sequences job of Nightshift, from all events and night by night: a side of `spark.py`.

From all events of the first days on, as many nights as are allowed upon them, the run after these,
which writes everybody's rows again, and last a rebuild from all events. Beside them what reading
everybody's rows costs: of a whole partition, with one night upon it, and with all of them.

python -m benchmarks.sequences_nightshift EVENTS OUTPUT
"""

import contextlib
import io
import json
import statistics
import sys
import time
from datetime import date, timedelta
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.generate import DAYS, FIRST
from benchmarks.sessions_nightshift import INGESTED, settings_in
from contracts.tables import EVENTS, SEQUENCES
from jobs import build_sequences
from jobs.histories.read_sequences import sequences_as_of
from jobs.lake.files import list_parquet
from jobs.lake.lake import Lake, content_of, open_lake
from jobs.running.settings import Settings
from jobs.running.spark import open_spark


def main(events: str, output: str) -> None:
    settings = settings_in(Path(output))
    lake = open_lake(settings)
    spark = open_spark(settings, "benchmark")
    paths = list_parquet(events, {})
    lake.commit(lake.stage_files(spark, paths, EVENTS, window=INGESTED, run_key="made"), reads={})
    last = FIRST + timedelta(days=DAYS)
    *nights, before = (last - timedelta(days=n) for n in range(settings.sequences.max_nights + 2))
    build(settings, before)
    read = {"read_whole_seconds": seconds_to_read(spark, lake, before)}
    first, *others = sorted(nights[1:])
    taken = [build(settings, first)]
    read["read_one_seconds"] = seconds_to_read(spark, lake, first)
    taken += [build(settings, night) for night in others]
    read["read_all_seconds"] = seconds_to_read(spark, lake, others[-1])
    seconds = {"night_seconds": statistics.median(taken), "fold_seconds": build(settings, last)}
    folded = content_of(rows_of(spark, lake, last), SEQUENCES)
    seconds["full_seconds"] = build(settings, last, "--full")
    assert folded == content_of(rows_of(spark, lake, last), SEQUENCES), "a rebuild has other rows"
    print(json.dumps({key: round(value, 2) for key, value in (seconds | read).items()}), flush=True)
    spark.stop()


def build(settings: Settings, cutoff: date, *options: str) -> float:
    """Seconds of one run, commit included."""
    begun = time.monotonic()
    arguments = ["--cutoff", str(cutoff), "--config", str(settings.file), *options]
    with contextlib.redirect_stderr(io.StringIO()):
        if code := build_sequences.main(arguments):
            raise SystemExit(code)
    return time.monotonic() - begun


def seconds_to_read(spark: SparkSession, lake: Lake, cutoff: date) -> float:
    """Every column of everybody's row, by the executors, as scoring does."""
    begun = time.monotonic()
    rows_of(spark, lake, cutoff).write.format("noop").mode("overwrite").save()
    return time.monotonic() - begun


def rows_of(spark: SparkSession, lake: Lake, cutoff: date) -> DataFrame:
    return sequences_as_of(lake, cutoff).read(spark).withColumn("since", F.lit(None))


if __name__ == "__main__":
    main(*sys.argv[1:])
