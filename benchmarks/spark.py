"""The Spark data plane against DuckDB and Polars, on made-up events: seconds, memory, checksums.

    python -m benchmarks.spark --size small|full [--json FILE]

- **sessions**: events in, sessions and enriched events out, Parquet to Parquet, on two cores, each
  side a process of its own and in turn, median of ``--rounds``. A side whose rows are not the same
  (checksum over every column) does not count. Nightshift's seconds leave out Spark's start, which
  has a row of its own, as has the commit: reading all files back, counting and hashing them.
- **skew**: the same number of events, a quarter of them of one user, against the plain ones.
- **increment**: a night's events onto existing sequences, commit included, against building them
  from all events; the run that writes everybody's rows again after so many nights, against the
  same; and reading everybody's rows with nights upon them, against reading a whole partition.
"""

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.generate import write_events
from benchmarks.measure import Side, run_side
from benchmarks.table import Row, ratio_row, show

SIZES = {"small": (2_000_000,), "full": (20_000_000, 40_000_000)}
EVENTS_A_USER = 20
SIDES = {
    "DuckDB": "benchmarks.sessions_duckdb",
    "Polars": "benchmarks.sessions_polars",
    "Nightshift": "benchmarks.sessions_nightshift",
}


row = partial(ratio_row, "spark")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.spark")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--folder", type=Path, help="for the events; default: a temporary one")
    options = parser.parse_args(argv)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for number, num_events in enumerate(SIZES[options.size]):
            here = Path(folder) / str(num_events)
            rows += compare_sessions(here, num_events, rounds=options.rounds)
            if number == 0:
                rows += compare_skew(here, num_events, rounds=options.rounds)
                rows += compare_increment(here, rounds=options.rounds)
            shutil.rmtree(here)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def compare_sessions(folder: Path, num_events: int, *, rounds: int) -> list[Row]:
    events = folder / "events"
    write_events(events, num_events=num_events, num_users=num_events // EVENTS_A_USER)
    taken: dict[str, list[Side]] = {name: [] for name in SIDES}
    sums: dict[str, tuple[Any, ...]] = {}
    for _ in range(rounds):
        for name, module in SIDES.items():
            output = folder / name
            taken[name].append(run_side(module, [str(events), str(output)]))
            sums[name] = checksum(output)
            shutil.rmtree(output)
    assert len(set(sums.values())) == 1, f"the sides disagree: {sums}"
    case = f"{num_events:,} events, {sums['Nightshift'][1]:,} sessions"
    ours = {key: middle(taken["Nightshift"], key) for key in taken["Nightshift"][0].said}
    rows = [
        row(case, "sessions", "s", ours["seconds"], middle(taken[peer], "seconds"), peer)
        for peer in ("DuckDB", "Polars")
    ]
    for peer in ("DuckDB", "Polars"):
        rows.append(
            row(case, "peak memory", "GiB", peak(taken["Nightshift"]), peak(taken[peer]), peer)
        )
    for key in ("start_seconds", "commit_seconds"):
        measure = key.replace("_seconds", " apart")
        rows.append(row(case, measure, "s", ours[key], ours["seconds"], "the job"))
    return rows


def compare_skew(folder: Path, num_events: int, *, rounds: int) -> list[Row]:
    """A quarter of the events are of one user."""
    seconds: dict[int, list[float]] = {}
    for busy in (0, num_events // 4):
        events, output = folder / f"busy-{busy}", folder / "skew"
        users = num_events // EVENTS_A_USER
        write_events(events, num_events=num_events, num_users=users, busy_events=busy)
        for _ in range(rounds):
            side = run_side(SIDES["Nightshift"], [str(events), str(output)])
            seconds.setdefault(busy, []).append(side.said["seconds"])
            shutil.rmtree(output)
    plain, skewed = (statistics.median(taken) for taken in seconds.values())
    case = f"{num_events:,} events, {num_events // 4:,} of one user"
    return [row(case, "sessions", "s", skewed, plain, "no such user")]


def compare_increment(folder: Path, *, rounds: int) -> list[Row]:
    """A day's events onto the sequences of the day before."""
    taken: list[Side] = []
    for _ in range(rounds):
        output = folder / "sequences"
        arguments = [str(folder / "events"), str(output)]
        taken.append(run_side("benchmarks.sequences_nightshift", arguments))
        shutil.rmtree(output)
    case = "a thirtieth of the events is new"
    seconds = {key.removesuffix("_seconds"): middle(taken, key) for key in taken[0].said}
    full, whole = seconds["full"], seconds["read_whole"]
    return [
        row(case, "a night's sequences", "s", seconds["night"], full, "full rebuild"),
        row(case, "everybody's rows again", "s", seconds["fold"], full, "full rebuild"),
        row(case, "read, one night upon", "s", seconds["read_one"], whole, "whole partition"),
        row(case, "read, all nights upon", "s", seconds["read_all"], whole, "whole partition"),
    ]


def checksum(output: Path) -> tuple[Any, ...]:
    """Counts, and sums of a hash over every column, of events and of sessions."""
    found: tuple[Any, ...] = ()
    for table, columns in (
        (
            "session_events",
            "session_id, position, event_id, user_id, item_id, event_type, epoch_us(event_time), "
            "category, price, quantity, amount, session_date",
        ),
        (
            "sessions",
            "session_id, user_id, epoch_us(start_time), epoch_us(end_time), num_events::BIGINT, "
            "num_items::BIGINT, round(spend, 4), is_converted, session_date",
        ),
    ):
        files = [str(file) for file in output.glob(f"**/{table}*/**/*.parquet")]
        files = files or [str(output / f"{table}.parquet")]
        query = f"SELECT count(*), sum(hash({columns})::HUGEINT) FROM read_parquet({files})"
        found += duckdb.sql(query).fetchall()[0]
    return found[0], found[2], found[1], found[3]


def middle(sides: Sequence[Side], key: str) -> float:
    return statistics.median(side.said[key] for side in sides)


def peak(sides: Sequence[Side]) -> float:
    return max(side.peak_gib for side in sides)


if __name__ == "__main__":
    main()
