"""Leave-one-out ranking of all items on MovieLens-1M and Amazon Beauty, by the product's training.

    python -m benchmarks.ranking --data beauty-s3rec.txt.gz --minutes 10 --seeds 0 1 2

The last item of a user is the test, the one before it validation; all items are ranked, those that
the user has seen are removed, and the figure with them stands beside it. Validation chooses the
epoch; the test is ranked once, at the end, by the weights of that epoch, from everything before it.
Configurations are `configs/benchmarks/<the file's first name>.yaml`. ``against`` is the best that
was published for the file.
"""

import argparse
import json
import logging
import statistics
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.item_sequences import LeaveOneOut, leave_one_out
from benchmarks.sequence_files import read_sequences
from benchmarks.table import Row, ratio_row, show
from models.config import NextItemConfig, load_next_item_config
from models.sequences.history import Ints
from models.sequences.vocabulary import Vocabulary
from models.training.fit_items import fit_items, held_out_metrics
from models.training.item_data import HeldOut, ItemData

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "benchmarks"
PUBLISHED = {
    "ml-1m": {"ndcg": 0.1857, "hit_rate": 0.3159},  # antklen/sasrec-bert4rec-recsys23
    "beauty-s3rec": {"ndcg": 0.0531, "hit_rate": 0.0928},  # blondered/transformer_benchmark
}
NAMES = {"ndcg": "NDCG@10", "hit_rate": "HR@10"}


row = partial(ratio_row, "ranking", name="best published", digits=4, ratio_digits=3)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.ranking")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="FILE")
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--minutes", type=float, help="of training; small: 2, full: the file's own")
    parser.add_argument("--epochs", type=int, help="the learning rate falls to zero over these")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(options.threads)
    unknown = [file.name for file in options.data if first_name(file) not in PUBLISHED]
    if unknown:
        parser.error(
            f"--data {', '.join(unknown)}: nothing published to stand beside, expected files of "
            f"the first names {', '.join(sorted(PUBLISHED))}"
        )
    minutes = options.minutes or (2.0 if options.size == "small" else None)
    rows: list[Row] = []
    for file in options.data:
        name, split = first_name(file), leave_one_out(read_sequences(file))
        found = []
        for seed in options.seeds:
            config = load_next_item_config(
                CONFIGS / f"{name}.yaml", seed=seed, max_minutes=minutes, epochs=options.epochs
            )
            found.append(rank(split, config))
        rows += rows_of(name, found)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def first_name(file: Path) -> str:
    return file.name.split(".")[0]


def rank(split: LeaveOneOut, config: NextItemConfig) -> dict[str, float]:
    """Metrics of validation and test, seconds and the epoch that was chosen."""
    vocabulary = Vocabulary.of(split.training, min_item_count=config.min_item_count)
    data = ItemData(split.training, vocabulary, config=config)
    truth = numbers(vocabulary, split.validation_items)
    validation = HeldOut(split.training, vocabulary, truth, config=config)
    started = time.monotonic()

    def on_epoch(epoch: int, metrics: Mapping[str, float]) -> None:
        said = {name: round(value, 4) for name, value in metrics.items()}
        print(json.dumps({"seed": config.seed, "epoch": epoch, **said}), flush=True)

    fitted = fit_items(data, validation, vocabulary, config=config, on_epoch=on_epoch)
    minutes = (time.monotonic() - started) / 60
    truth = numbers(vocabulary, split.test_items)
    test = HeldOut(split.before_test, vocabulary, truth, config=config)
    tested = held_out_metrics(fitted.network, test)
    return {
        **{name: value for name, value in fitted.metrics.items() if name.startswith("val/")},
        **{f"test/{name}": value for name, value in tested.items()},
        "minutes": minutes,
        "epoch": fitted.epoch + 1,
    }


def numbers(vocabulary: Vocabulary, items: Sequence[str]) -> Ints:
    """The catalogue's numbers of items, 0 for what is not in it."""
    index = {name: number for number, name in enumerate(vocabulary.item_ids, start=1)}
    return np.asarray([index.get(item, 0) for item in items], dtype=np.int64)


def rows_of(name: str, found: Sequence[Mapping[str, float]]) -> list[Row]:
    """Means over seeds; the spread of more than one is a row of its own."""
    case = f"{name}, seeds: {len(found)}"
    rows: list[Row] = []
    for metric, measure in NAMES.items():
        published = PUBLISHED[name][metric]
        for stage in ("test", "val"):
            values = [each[f"{stage}/{metric}"] for each in found]
            rows.append(row(case, f"{stage} {measure}", "", statistics.mean(values), published))
            if len(values) > 1:
                spread = statistics.stdev(values)
                rows.append(row(case, f"{stage} {measure}, deviation", "", spread, published))
        values = [each[f"test/{metric}_unfiltered"] for each in found]
        rows.append(
            row(case, f"test {measure}, seen items too", "", statistics.mean(values), published)
        )
    minutes = statistics.mean(each["minutes"] for each in found)
    return [*rows, row(case, "training", "min", minutes, 10.0, name="ten minutes")]


if __name__ == "__main__":
    main()
