"""Scoring every user against replay-rec's predict and against the bare bound in plain PyTorch.

    python -m benchmarks.scoring --data ml-1m.txt.gz beauty-s3rec.txt.gz --size small|full

The same shape on all sides: 64 wide, 2 blocks, 2 heads, the latest 200 (MovieLens-1M) or 50 items,
top 10. The others answer one question from memory; Nightshift reads sequences from Parquet, answers
every head inside Spark and writes the rows of `scores`. Each side is a process of its own with as
many threads, in turn, median of ``--rounds``; what starts once is apart. Besides the files, users
are generated over 100,000 items: 20,000, or with full a million, of whom the others are asked the
first 100,000. A last row holds the peak memory of ten times as many users against that of few.
``CPU`` rows count where the machine is shared. replay-rec needs `make bench-peers`, and is left out
of small.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Side, run_side
from benchmarks.table import Row, ratio_row, show

PEERS = Path(__file__).resolve().parents[1] / ".venv-peers" / "bin" / "python"
GENERATED = {"small": 20_000, "full": 1_000_000}
ASKED = 100_000  # users that the others are asked at most
PLAIN, REPLAY = "plain PyTorch", "replay-rec"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.scoring")
    parser.add_argument("--data", type=Path, nargs="+", default=[], metavar="FILE")
    parser.add_argument("--size", choices=GENERATED, default="small")
    parser.add_argument("--rounds", type=int, help="of which the median counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    is_full = options.size == "full"
    if is_full and not PEERS.exists():
        parser.error(f"{PEERS} is missing: run `make bench-peers`, or take --size small")
    names = [PLAIN, *([REPLAY] if is_full else [])]
    rounds = options.rounds or (3 if is_full else 1)
    number = GENERATED[options.size]
    rows: list[Row] = []
    for shape in map(str, options.data):
        compared, _ = compare(shape, names, threads=options.threads, rounds=rounds)
        rows += compared
    few = ours(f"generated:{number // 10}", options.threads)
    compared, many = compare(f"generated:{number}", names, threads=options.threads, rounds=1)
    rows += [*compared, memory_row(many, few, number)]
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def compare(
    shape: str, names: Sequence[str], *, threads: int, rounds: int
) -> tuple[list[Row], Side]:
    """Rows of users a second, users a CPU second and peak memory against each, and our last run."""
    mine: list[Side] = []
    others: dict[str, list[Side]] = {name: [] for name in names}
    for _ in range(rounds):
        mine.append(ours(shape, threads))
        for name, sides in others.items():
            sides.append(theirs(name, shape, threads))
    case = f"{Path(shape).name.split('.')[0]}, threads: {threads}"
    rows: list[Row] = []
    for name, sides in others.items():
        for measure, key in (("speed", "seconds"), ("speed, CPU", "cpu_seconds")):
            unit = "users/s" if key == "seconds" else "users/CPU s"
            rows.append(row(case, measure, unit, rate(mine, key), rate(sides, key), name))
        rows.append(row(case, "peak memory", "GiB", peak(mine), peak(sides), name))
    return rows, mine[-1]


def ours(shape: str, threads: int) -> Side:
    with tempfile.TemporaryDirectory() as work:
        return run_side("benchmarks.scoring_nightshift", [shape, str(threads), work])


def theirs(name: str, shape: str, threads: int) -> Side:
    arguments = [shape, str(ASKED), str(threads)]
    if name == PLAIN:
        return run_side("benchmarks.scoring_plain", arguments)
    return run_side("benchmarks.scoring_replay", arguments, python=str(PEERS))


def memory_row(many: Side, few: Side, number: int) -> Row:
    """What ten times as many users take of the Python workers; Spark's heap is what it is given."""
    case = f"generated, {number:,} users against {number // 10:,}"
    taken, before = (side.said["workers_gib"] for side in (many, few))
    return row(case, "peak memory of the workers", "GiB", taken, before, "a tenth of the users")


def rate(sides: Sequence[Side], key: str) -> float:
    return statistics.median(side.said["users"] / side.said[key] for side in sides)


def peak(sides: Sequence[Side]) -> float:
    return max(side.peak_gib for side in sides)


def row(case: str, measure: str, unit: str, ours: float, against: float, name: str) -> Row:
    digits = 2 if unit == "GiB" else 0
    return ratio_row("scoring", case, measure, unit, ours, against, name, digits=digits)


if __name__ == "__main__":
    main()
