"""The sessions job of Nightshift, on a lake that holds the events: one side of `spark.py`.

python -m benchmarks.sessions_nightshift EVENTS OUTPUT
"""

import json
import sys
import time
from datetime import timedelta
from pathlib import Path

import yaml

from benchmarks.generate import DAYS, FIRST
from contracts.tables import EVENTS, SESSION_EVENTS, SESSIONS
from contracts.windows import Window, instant
from jobs.histories.write_sessions import Request, write_sessions
from jobs.lake.files import RowGroup, list_parquet
from jobs.lake.lake import Lake, open_lake
from jobs.running.settings import PROJECT, Settings, load_settings
from jobs.running.spark import open_spark

WINDOW = Window(FIRST, FIRST + timedelta(days=DAYS + 2))  # the last sessions begin a day later
INGESTED = Window(FIRST, FIRST + timedelta(days=DAYS))


def main(events: str, output: str) -> None:
    settings = settings_in(Path(output))
    lake = open_lake(settings)
    begun = time.monotonic()
    spark = open_spark(settings, "benchmark")
    spark.range(1).count()
    started = time.monotonic()
    paths = list_parquet(events, {})
    staged = lake.stage_files(spark, paths, EVENTS, window=INGESTED, run_key="made")
    snapshot = lake.commit(staged, reads={}).snapshot_id
    groups = lake.row_groups(EVENTS, window=INGESTED, snapshot_id=snapshot)
    ready = time.monotonic()
    files = cut(spark, lake, groups, settings)
    written = time.monotonic()
    for table in (SESSION_EVENTS, SESSIONS):
        one = lake.stage_files(spark, files[table.name], table, window=WINDOW, run_key="benchmark")
        lake.commit(one, reads={EVENTS.name: snapshot})
    committed = time.monotonic()
    seconds = {
        "start_seconds": started - begun,
        "seconds": written - ready,
        "commit_seconds": committed - written,
    }
    print(json.dumps({name: round(value, 2) for name, value in seconds.items()}), flush=True)
    spark.stop()


def cut(spark, lake: Lake, groups: list[RowGroup], settings: Settings) -> dict[str, list[str]]:
    request = Request(
        window=WINDOW,
        gap_minutes=settings.sessions.gap_minutes,
        zone=settings.time_zone,
        money=settings.money,
        seen_from=instant(WINDOW.start, settings.zone),
        new_from=WINDOW.start,
        on_time_from=instant(WINDOW.start, settings.zone),
    )
    writers = lake.writer(SESSIONS, run_key="one"), lake.writer(SESSION_EVENTS, run_key="one")
    return write_sessions(spark, groups, request, writers).files


def settings_in(folder: Path) -> Settings:
    values = yaml.safe_load((PROJECT / "configs" / "nightshift.yaml").read_text())
    values |= {"home": str(folder), "time_zone": "UTC"}
    file = folder / "nightshift.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(values))
    return load_settings(file)


if __name__ == "__main__":
    main(*sys.argv[1:])
