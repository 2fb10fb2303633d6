"""One epoch of training on item sequences against replay-rec and a plain PyTorch SASRec.

    python -m benchmarks.training --data ml-1m.txt.gz beauty-s3rec.txt.gz --size small|full

The same shape on all sides: 64 wide, 2 blocks, 2 heads, dropout 0.2, the latest 200 (MovieLens-1M)
or 50 items, 128 users a batch. Each side is a process of its own, in turn, median of ``--rounds``.
Seconds are of the epoch alone; ``CPU`` seconds are what counts where the machine is shared, with
``--threads 1``, because threads that wait for one another burn time. Small is one round without
replay-rec; full needs its environment, which `make bench-peers` makes.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.measure import Side, run_side
from benchmarks.table import Row, ratio_row, show

PEERS = Path(__file__).resolve().parents[1] / ".venv-peers" / "bin" / "python"
PLAIN = ("plain PyTorch", "benchmarks.training_plain", "full")
REPLAY = {
    "full": [("replay-rec", "benchmarks.training_replay", "full")],
    "sampled": [
        ("replay-rec", "benchmarks.training_replay", "sampled"),
        ("replay-rec, buckets of 32", "benchmarks.training_replay", "bucketed"),
    ],
}


row = partial(ratio_row, "training")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.training")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="FILE")
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--rounds", type=int, help="of which the median counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    is_full = options.size == "full"
    if is_full and not PEERS.exists():
        parser.error(f"{PEERS} is missing: run `make bench-peers`, or take --size small")
    rounds = options.rounds or (3 if is_full else 1)
    rows: list[Row] = []
    for file in options.data:
        for loss in ("full", "sampled"):
            peers = [*([PLAIN] if loss == "full" else []), *(REPLAY[loss] if is_full else [])]
            rows += compare(file, loss, peers, threads=options.threads, rounds=rounds)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def compare(
    file: Path, loss: str, peers: list[tuple[str, str, str]], *, threads: int, rounds: int
) -> list[Row]:
    """Rows of seconds, CPU seconds and peak memory, ours against each peer's."""
    ours: list[Side] = []
    theirs: dict[str, list[Side]] = {name: [] for name, _, _ in peers}
    for _ in range(rounds):
        arguments = [str(file), loss, str(threads)]
        ours.append(run_side("benchmarks.training_nightshift", arguments))
        for name, module, kind in peers:
            python = {} if module == PLAIN[1] else {"python": str(PEERS)}
            theirs[name].append(run_side(module, [str(file), kind, str(threads)], **python))
    case = f"{file.name.split('.')[0]}, {loss} softmax, threads: {threads}"
    rows: list[Row] = []
    for name, sides in theirs.items():
        for measure, unit, key in (("epoch", "s", "seconds"), ("epoch, CPU", "s", "cpu_seconds")):
            rows.append(row(case, measure, unit, middle(ours, key), middle(sides, key), name))
        rows.append(row(case, "peak memory", "GiB", peak(ours), peak(sides), name))
    padded = middle(ours, "real_tokens")
    return [*rows, row(case, "real tokens", "share", padded, 0.85, "wanted")]


def middle(sides: Sequence[Side], key: str) -> float:
    return statistics.median(side.said[key] for side in sides)


def peak(sides: Sequence[Side]) -> float:
    return max(side.peak_gib for side in sides)


if __name__ == "__main__":
    main()
