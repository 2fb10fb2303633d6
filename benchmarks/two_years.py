"""A made-up shop with two years of receipts, whose users have seasons: what a year's memory gains.

    python -m benchmarks.two_years --size small

No public log that may be used here is two years long. Each user of this one comes at a rate of
their own, more often around one or two days of the year that are theirs (a birthday, the garden, a
holiday), all more often before Christmas, some for a time only, and some never come back. Nothing
in the log says whose season is when, but the year before.

Three boosters learn from the same cutoffs and are tested on the same: the present strong baseline
(`models.judging.baselines`), the one of before (recency, frequency and spend; two shapes), and a
plain LightGBM with its defaults, on sums of four windows and of the same weeks a year before.
"""

import argparse
import json
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import lightgbm
import numpy as np
import pyarrow as pa

from contracts.windows import instant
from models.config import LabelHorizons
from models.judging.baselines import HeadBaselines
from models.metrics import auroc, mae
from models.sequences.features import FEATURE_NAMES
from models.sequences.history import Floats, Histories, Ints
from models.sequences.instants import DAY
from models.sequences.matured import HEADS, Head, Matured, Plan, plans

ZONE = ZoneInfo("Europe/Berlin")
FIRST_DAY, NUM_DAYS = date(2016, 1, 4), 728
HORIZONS = LabelHorizons(
    purchase_days=7, churn_days=28, churn_active_days=60, spend_days=28, items_days=7, money="net"
)
SIZES = {"small": 3000, "full": 12_000}  # users
CUTOFFS = (date(2017, 11, 13), date(2017, 10, 2), date(2017, 12, 25))  # tests begin 28 days before
WINDOWS = (7, 28, 90, 364)  # of the plain booster
YEAR = 364


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.two_years")
    parser.add_argument("--size", choices=tuple(SIZES), default="full")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    histories = Histories.from_arrow(two_years(SIZES[options.size], seed=options.seed))
    rows: list[dict[str, Any]] = []
    for cutoff in CUTOFFS:
        for head in HEADS:
            rows.append({"head": head, "cutoff": str(cutoff), **judged(histories, head, cutoff)})
            print(json.dumps(rows[-1]), flush=True)
    for head in HEADS:
        each = [row for row in rows if row["head"] == head]
        names = [name for name in each[0] if name not in ("head", "cutoff")]
        means = {name: round(float(np.mean([row[name] for row in each])), 4) for name in names}
        print(json.dumps({"head": head, "mean": means}))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


# ---- the shop ------------------------------------------------------------------------------------


def two_years(num_users: int, *, seed: int) -> pa.Table:
    """A row of `sequences` for each user who ever came."""
    rng = np.random.default_rng(seed)
    days = np.arange(NUM_DAYS)
    rate = 0.6 * rng.gamma(0.8, 0.06, (num_users, 1)) * np.ones(NUM_DAYS)  # (N, D) visits
    for _ in range(2):  # seasons of about five weeks
        peak = rng.integers(0, YEAR, (num_users, 1))
        away = np.abs((days - peak + YEAR // 2) % YEAR - YEAR // 2)
        rate += rng.gamma(0.7, 0.15, (num_users, 1)) * np.exp(-0.5 * (away / 12.0) ** 2)
    christmas = np.exp(-0.5 * (((days - 345 + YEAR // 2) % YEAR - YEAR // 2) / 14.0) ** 2)
    rate *= 1.0 + 0.8 * christmas
    begin = rng.integers(-300, 500, (num_users, 1))
    end = begin + rng.exponential(900.0, (num_users, 1))
    rate *= (days >= begin) & (days < end)
    users, visits = np.nonzero(rng.random(rate.shape) < 1.0 - np.exp(-rate))
    basket = 1 + rng.poisson(1.0, len(users))
    users, visits = np.repeat(users, basket), np.repeat(visits, basket)
    first = instant(FIRST_DAY, ZONE)
    hours = np.repeat(rng.integers(9 * 60, 20 * 60, len(basket)), basket)
    level = np.exp(rng.normal(2.0, 0.6, num_users))
    amounts = np.round(level[users] * rng.gamma(2.0, 0.5, len(users)) + 0.01, 2)
    return _sequences(users, first, visits * 1440 + hours, amounts)


def _sequences(users: Ints, first: datetime, minutes: Ints, amounts: Floats) -> pa.Table:
    rows = []
    for user in np.unique(users):
        mine = slice(*np.searchsorted(users, [user, user + 1]))
        when = minutes[mine]
        times = [first + timedelta(minutes=int(minute)) for minute in when]
        count = len(times)
        rows.append(
            {
                "user_id": f"u{user}",
                "event_times": times,
                "item_ids": [f"item{(int(user) + n) % 50}" for n in range(count)],
                "event_types": ["purchase"] * count,
                "categories": [""] * count,
                "quantities": [1.0] * count,
                "amounts": amounts[mine].tolist(),
                "session_starts": np.diff(when, prepend=-1).astype(bool).tolist(),
                "texts": None,
                "lifetime_events": count,
                "lifetime_spend": float(amounts[mine].sum()),
                "first_event_time": times[0],
            }
        )
    table = pa.Table.from_pylist(rows)
    texts = table.schema.get_field_index("texts")
    return table.set_column(texts, "texts", pa.nulls(len(rows), pa.list_(pa.string())))


# ---- the boosters --------------------------------------------------------------------------------


def judged(histories: Histories, head: Head, cutoff: date) -> dict[str, float]:
    """Booster → AUROC, or of spend its mean absolute error, on the tests of one cutoff."""
    matured = Matured(histories, horizons=HORIZONS, zone=ZONE)
    plan = plans(cutoff, HORIZONS)[head]
    test = matured.rows(head, plan.test)
    measure = mae if head == "spend" else auroc
    said = {
        "plain": plain(matured, head, plan),
        "before": before(matured, head, plan),
        "now": baseline(matured, head, plan),
    }
    return {name: round(float(measure(test.labels, scores)), 4) for name, scores in said.items()}


def baseline(matured: Matured, head: Head, plan: Plan) -> Floats:
    start = time.monotonic()
    train, validation = matured.training_rows(head, plan), matured.rows(head, plan.validation)
    fitted = HeadBaselines(head, train=train, validation=validation, seed=0)
    print(f"{head}: {time.monotonic() - start:.1f} s, {fitted.strongest.name}", flush=True)
    return fitted.predict(matured.rows(head, plan.test))["lightgbm"]


def before(matured: Matured, head: Head, plan: Plan) -> Floats:
    """The strong baseline as it was: no rhythm, no year before, twelve cutoffs, two shapes."""
    parts = [matured.rows(head, cutoffs) for cutoffs in (plan.train[-12:], plan.validation)]
    train, validation = ((rows.features[:, : len(FEATURE_NAMES)], rows.labels) for rows in parts)
    objective = {"objective": "binary", "metric": "binary_logloss"}
    if head == "spend":
        objective = {"objective": "regression_l1", "metric": "mae"}
    common = {"learning_rate": 0.05, "feature_fraction": 0.7, "bagging_fraction": 0.7}
    common |= {"bagging_freq": 1, "lambda_l2": 5.0, "seed": 0, "num_threads": 1, "verbosity": -1}
    fitted = []
    for leaves, least in ((15, 100), (31, 40)):
        shape = {"num_leaves": leaves, "min_data_in_leaf": least}
        data = lightgbm.Dataset(*train)
        booster = lightgbm.train(
            {**objective, **common, **shape},
            data,
            num_boost_round=600,
            valid_sets=[data.create_valid(*validation)],
            callbacks=[lightgbm.early_stopping(40, verbose=False)],
        )
        (loss,) = booster.best_score["valid_0"].values()
        fitted.append((loss, booster))
    _, best = min(fitted, key=lambda one: one[0])
    features = matured.rows(head, plan.test).features[:, : len(FEATURE_NAMES)]
    return np.asarray(best.predict(features))


def plain(matured: Matured, head: Head, plan: Plan) -> Floats:
    """What an analyst writes in an afternoon: no tuning, as many cutoffs as the log has."""
    cutoffs = [plan.train[-1] - timedelta(days=14 * n) for n in range(26)]
    objective = "regression_l1" if head == "spend" else "binary"
    parameters = {"objective": objective, "verbosity": -1, "seed": 0, "num_threads": 1}
    features, labels = plain_rows(matured, head, cutoffs)
    booster = lightgbm.train(parameters, lightgbm.Dataset(features, labels), 100)
    return np.asarray(booster.predict(plain_rows(matured, head, plan.test)[0]))


def plain_rows(matured: Matured, head: Head, cutoffs: Sequence[date]) -> tuple[Floats, Floats]:
    instants = matured.instants
    totals = [np.append(0.0, np.cumsum(v)) for v in (instants.num_events, instants.spend)]
    features, labels = [], []
    for cutoff in cutoffs:
        rows = matured.rows(head, [cutoff])
        moment = np.full(len(rows.users), matured.moment(cutoff))
        end = instants.first_from(rows.users, moment)
        last = np.append(instants.times, 0)[np.maximum(end - 1, 0)]
        columns = [
            (moment - last) / DAY,
            (moment - matured.histories.first_times[rows.users]) / DAY,
        ]
        spans = [(-days, 0) for days in WINDOWS]
        spans += [(-YEAR, -YEAR + 7), (-YEAR, -YEAR + 28), (-YEAR - 28, -YEAR)]
        for start, stop in spans:
            low = instants.first_from(rows.users, moment + start * DAY)
            high = instants.first_from(rows.users, moment + stop * DAY)
            columns += [high - low, *(total[high] - total[low] for total in totals)]
        features.append(np.stack(columns, axis=1).astype(np.float64))
        labels.append(rows.labels)
    return np.concatenate(features), np.concatenate(labels)


if __name__ == "__main__":
    main()
