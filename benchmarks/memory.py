"""Peak memory of a training on few users beside the same on many.

    python -m benchmarks.memory --users 100000 2000000

Made-up users with a dozen events each, in buckets as `sequences` has them. Each side is a process
of its own: it deals all of its users into shards, asks its validation, and trains for as many steps
as pass through three shards. The ratio of the peaks says whether memory grows with users.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.generate import FIRST
from benchmarks.measure import run_side
from benchmarks.table import show
from models.sequences.instants import DAY

BUCKET_USERS = 20_000
MEAN_EVENTS = 12
DAYS = 180
NUM_ITEMS = 20_000
STEPS = 150


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.memory")
    parser.add_argument("--users", type=int, nargs=2, default=[100_000, 2_000_000], metavar="N")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    sides = []
    for num_users in options.users:
        with tempfile.TemporaryDirectory(prefix="nightshift-memory-") as name:
            folder = Path(name)
            write_users(folder / "users", num_users)
            arguments = [str(folder), str(num_users), str(options.steps)]
            sides.append(run_side("benchmarks.memory_training", arguments).said)
            print(json.dumps(sides[-1]), flush=True)
    few, many = (f"{num_users:,} users" for num_users in options.users)
    rows = [
        {
            "benchmark": "memory",
            "case": f"a training on {many}",
            "measure": f"peak memory, {when}",
            "unit": "GiB",
            "nightshift": round(sides[1][key], 3),
            "against": round(sides[0][key], 3),
            "against_name": few,
            "ratio": round(sides[1][key] / sides[0][key], 2),
        }
        for when, key in (
            ("users dealt", "dealt_gib"),
            ("validated", "validated_gib"),
            (f"{options.steps} steps on", "trained_gib"),
        )
    ]
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def write_users(folder: Path, num_users: int, *, seed: int = 7) -> None:
    """Parquet files in the columns of `sequences` that a training reads, a bucket of users each."""
    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, num_users, BUCKET_USERS)):
        rows = bucket(start, min(BUCKET_USERS, num_users - start), seed=seed)
        pq.write_table(rows, folder / f"part-{number:05}.parquet", compression="zstd")


def bucket(first_user: int, num_users: int, *, seed: int) -> pa.Table:
    """Users of a dozen events each on average, of whom some come often and some no more."""
    rng = np.random.default_rng([seed, first_user])
    counts = rng.geometric(1 / MEAN_EVENTS, num_users)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    users = np.repeat(np.arange(num_users), counts)
    begin = np.datetime64(FIRST, "us").astype(np.int64)
    stays = rng.uniform(30, DAYS, num_users)[users]  # days
    times = begin + (stays * rng.random(len(users)) * DAY).astype(np.int64)
    times = times[np.lexsort((times, users))]
    items = (NUM_ITEMS * rng.random(len(users)) ** 2.2).astype(np.int64)
    amounts = np.round(np.exp(rng.normal(2.5, 1, len(users))), 2)
    instants = pa.array(times, pa.timestamp("us", tz="UTC"))

    def lists(values: pa.Array) -> pa.Array:
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)

    def named(prefix: str, codes: np.ndarray, count: int) -> pa.Array:
        return lists(pa.array([f"{prefix}{n}" for n in range(count)]).take(pa.array(codes)))

    return pa.table(
        {
            "user_id": [f"u{first_user + n:09}" for n in range(num_users)],
            "event_times": lists(instants),
            "item_ids": named("i", items, NUM_ITEMS),
            "event_types": lists(pa.array(["purchase"] * len(users))),
            "categories": named("c", items % 200, 200),
            "quantities": lists(pa.array(np.ones(len(users)))),
            "amounts": lists(pa.array(amounts)),
            "texts": pa.nulls(num_users, pa.list_(pa.string())),
            "session_starts": lists(pa.array(np.ones(len(users), dtype=bool))),
            "lifetime_events": counts,
            "lifetime_spend": np.bincount(users, weights=amounts),
            "first_event_time": instants.take(pa.array(offsets[:-1])),
        }
    )


if __name__ == "__main__":
    main()
