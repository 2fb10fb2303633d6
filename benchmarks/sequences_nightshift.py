"""The sequences job of Nightshift, from all events and night by night: a side of `spark.py`.

python -m benchmarks.sequences_nightshift EVENTS OUTPUT
"""

import contextlib
import io
import json
import sys
import time
from datetime import date, timedelta
from pathlib import Path

from benchmarks.generate import DAYS, FIRST
from benchmarks.sessions_nightshift import INGESTED, settings_in
from contracts.tables import EVENTS
from jobs import build_sequences
from jobs.lake.files import list_parquet
from jobs.lake.lake import open_lake
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
    seconds = {
        "increment_seconds": build(settings, last),
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


if __name__ == "__main__":
    main(*sys.argv[1:])
