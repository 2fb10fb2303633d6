"""The simple rules that a model must beat, and the strong ones that it must not lose to.

naive   base rate; a logistic curve over recency alone; the best constant spend; the spend of the
        window before; the most popular items
strong  LightGBM (https://lightgbm.readthedocs.io) on all that the model's query token and business
        heads are told of a user as of the cutoff, over a year of cutoffs where the log is that
        long; of spend, whichever of its mean (Tweedie, or squares where some spend is below 0) and
        its median (L1) validates better; each user's own most frequent items, to which most neural
        next-basket models lose: Li et al., https://arxiv.org/abs/2109.14233

They are fitted and chosen on what closed before the test starts, exactly like the models.
P rows (a user at a cutoff), F features, N users, K items asked for.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression

from models.sequences.features import FEATURE_NAMES
from models.sequences.history import Bools, Floats, Histories, Ints
from models.sequences.instants import DAY
from models.sequences.matured import Head, Rows
from models.sequences.query_features import QUERY_FEATURES
from models.sequences.unknown_users import purchases_between

RECENCY = FEATURE_NAMES.index("recency_days")

# Each is tried on a part of the rows; the best of them on validation then learn from all.
_SETTINGS: Sequence[Mapping[str, Any]] = (
    {"num_leaves": 15, "min_data_in_leaf": 100},
    {"num_leaves": 31, "min_data_in_leaf": 40},
    {"num_leaves": 7, "min_data_in_leaf": 100, "learning_rate": 0.1},
    {"num_leaves": 15, "min_data_in_leaf": 300, "feature_fraction": 0.4},
    {"num_leaves": 63, "min_data_in_leaf": 200, "feature_fraction": 0.4, "lambda_l2": 20.0},
    {"num_leaves": 31, "min_data_in_leaf": 20, "learning_rate": 0.1, "lambda_l2": 0.0},
)
_TRIAL_ROWS = 10_000
_FINALISTS = 2
_OBJECTIVES: Mapping[Head, Sequence[Mapping[str, Any]]] = {
    "purchase": ({"objective": "binary", "metric": "binary_logloss"},),
    "churn": ({"objective": "binary", "metric": "binary_logloss"},),
    "spend": (  # a mean, as the head's, and a median, which has the smaller absolute error
        {"objective": "tweedie", "tweedie_variance_power": 1.5, "metric": "mae"},
        {"objective": "regression_l1", "metric": "mae"},
    ),
}
_MAX_ROUNDS = 600
_PATIENCE = 40
_THREADS = 2  # boosters fitted at a time


class HeadBaselines:
    """Every baseline of one head, fitted on closed windows, answering for any rows."""

    def __init__(self, head: Head, *, train: Rows, validation: Rows, seed: int) -> None:
        self.head = head
        self.boosters = fit_lightgbm(head, train=train, validation=validation, seed=seed)
        self.strongest = min(self.boosters, key=lambda one: one.loss)
        if head == "spend":
            self.constant = float(np.median(train.labels))  # no constant has a smaller MAE
        else:
            self.constant = float(train.labels.mean())
            self.recency = fit_recency(train)

    def predict(self, rows: Rows) -> dict[str, Floats]:
        """Baseline -> (P,) scores."""
        constant = np.full(len(rows.features), self.constant)
        strong = self.strongest.predict(rows)
        if self.head == "spend":
            naive = {"constant": constant, "persistence": np.maximum(rows.before, 0.0)}
            mean = self.boosters[0].predict(rows)
            return {**naive, "lightgbm": strong, "lightgbm_mean": mean}
        recency = self.recency.predict_proba(rows.features[:, [RECENCY]])[:, 1]
        return {"base_rate": constant, "recency": recency, "lightgbm": strong}


def fit_recency(train: Rows) -> LogisticRegression:
    """A probability from the time since the last event alone (features hold its log1p).

    One imagined row of each class at the mean keeps it defined where all rows are of one class.
    """
    recency = train.features[:, [RECENCY]]
    features = np.concatenate([recency, np.full((2, 1), recency.mean())])
    return LogisticRegression().fit(features, np.append(train.labels, [0, 1]) > 0.5)


@dataclass(frozen=True)
class FittedBooster:
    booster: lightgbm.Booster
    loss: float  # on validation
    name: str  # objective, size
    parameters: Mapping[str, Any]  # that were chosen

    def predict(self, rows: Rows) -> Floats:
        """(P,) never negative: a probability or an amount."""
        scores = self.booster.predict(rows.features, num_threads=1)
        return np.maximum(np.asarray(scores, dtype=np.float64), 0.0)


def fit_lightgbm(head: Head, *, train: Rows, validation: Rows, seed: int) -> list[FittedBooster]:
    """For each objective of the head, the settings that are best on validation.

    The budget is one of fits and rows, not of seconds: the same evaluation twice says the same.
    """
    some = _drawn(train, _TRIAL_ROWS, seed=seed)
    objectives = _OBJECTIVES[head]
    if (train.labels < 0).any():  # squares: a mean too, and Tweedie knows no refunds
        objectives = [
            {**one, "objective": "regression"} if one["objective"] == "tweedie" else one
            for one in objectives
        ]
    tried = [{**objective, **setting} for objective in objectives for setting in _SETTINGS]
    trials = _fit_all(tried, some, validation, seed=seed)
    if some is train:
        finals = trials
    else:
        kept = [
            sorted(part, key=lambda one: one.loss)[:_FINALISTS] for part in _by_objective(trials)
        ]
        chosen = [one.parameters for part in kept for one in part]
        finals = _fit_all(chosen, train, validation, seed=seed)
    return [min(part, key=lambda one: one.loss) for part in _by_objective(finals)]


def _drawn(rows: Rows, most: int, *, seed: int) -> Rows:
    """About so many rows; all of them where these few would hold nobody who did it."""
    if len(rows.labels) <= most:
        return rows
    drawn = np.random.default_rng(seed).random(len(rows.labels)) < most / len(rows.labels)
    return rows.only(drawn) if (rows.labels[drawn] > 0).any() else rows


def _fit_all(
    tried: Sequence[Mapping[str, Any]], train: Rows, validation: Rows, *, seed: int
) -> list[FittedBooster]:
    # One thread for each booster: threads inside one wait for each other at every split, which
    # costs many times the work itself where the machine is busy.
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda chosen: _fit_one(chosen, train, validation, seed=seed), tried))


def _by_objective(fitted: Sequence[FittedBooster]) -> list[list[FittedBooster]]:
    """In order of the first of each."""
    names = dict.fromkeys(one.parameters["objective"] for one in fitted)
    return [[one for one in fitted if one.parameters["objective"] == name] for name in names]


def _fit_one(
    chosen: Mapping[str, Any], train: Rows, validation: Rows, *, seed: int
) -> FittedBooster:
    parameters = {
        "learning_rate": 0.05,
        "feature_fraction": 0.7,
        "lambda_l2": 5.0,
        **chosen,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(train.features, train.labels, feature_name=list(QUERY_FEATURES))
    booster = lightgbm.train(
        parameters,
        data,
        num_boost_round=_MAX_ROUNDS,
        valid_sets=[data.create_valid(validation.features, validation.labels)],
        valid_names=["validation"],
        callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
    )
    (loss,) = booster.best_score["validation"].values()
    size = f"{chosen['num_leaves']} leaves, {booster.best_iteration} trees"
    return FittedBooster(booster, float(loss), f"{chosen['objective']}, {size}", chosen)


class PurchasedItems:
    """Who bought what when, a line repeated within an instant counting once; sorted once.

    ``is_offered`` (I,) says which item codes may be recommended; None: all. ``unknown`` has rows of
    `models.sequences.unknown_users.SCHEMA`: what people bought whom the log does not name. They
    count for what is popular, as far as the users here are all who are known.
    """

    def __init__(
        self,
        histories: Histories,
        is_offered: Bools | None = None,
        *,
        unknown: pa.Table | None = None,
        share: float = 1.0,
    ) -> None:
        self.item_ids, self.unknown, self.share = histories.item_ids, unknown, share
        bought = histories.is_purchase
        if is_offered is not None:
            bought = bought & is_offered[histories.item_codes]
        users, times = histories.event_users[bought], histories.times[bought]
        self.num_users, self.num_items = len(histories), len(histories.item_ids)
        keys = users * self.num_items + histories.item_codes[bought]
        order = np.lexsort((times, keys))
        keys, times = keys[order], times[order]
        new = np.ones(len(keys), dtype=bool)
        new[1:] = (np.diff(keys) != 0) | (np.diff(times) != 0)
        self.keys, self.times = keys[new], times[new]  # by user, item, time

    def popular(self, *, days: int, end: int, top_k: int, cutoff: date) -> Ints:
        """(K,) codes of the items bought at most instants of the ``days`` before ``end``.

        ``cutoff`` is the day that begins at ``end``. Of people whom the log does not name, the
        share counts that the users here are of all; an item that none of these users has bought in
        those days is none to offer them.
        """
        recent = (self.times >= end - days * DAY) & (self.times < end)
        known = np.bincount(self.keys[recent] % self.num_items, minlength=self.num_items)
        counts = known.astype(np.float64)
        if self.unknown is not None and len(self.unknown):
            start = cutoff - timedelta(days=days)
            counts += self.share * purchases_between(self.unknown, self.item_ids, start, cutoff)
        order = np.argsort(-counts, kind="stable")
        return _padded(order[known[order] > 0][:top_k], top_k)

    def personal(self, *, padding: Ints, end: int, top_k: int) -> Ints:
        """(N, K) codes of each user's items by count of instants, ties by recency, then padding."""
        seen = self.times < end
        keys, times = self.keys[seen], self.times[seen]
        first = np.flatnonzero(np.r_[True, np.diff(keys) != 0]) if len(keys) else np.zeros(0, int)
        counts = np.diff(np.append(first, len(keys)))
        latest = times[first + counts - 1]
        users, items = keys[first] // self.num_items, keys[first] % self.num_items
        order = np.lexsort((items, -latest, -counts, users))
        users, items = users[order], items[order]
        rank = np.arange(len(users)) - np.searchsorted(users, users)
        kept = rank < top_k
        found = np.full((self.num_users, top_k), -1, dtype=np.int64)
        found[users[kept], rank[kept]] = items[kept]
        for user in np.flatnonzero(found[:, -1] < 0):
            own = found[user][found[user] >= 0]
            more = padding[(padding >= 0) & ~np.isin(padding, own)]
            found[user] = _padded(np.concatenate([own, more])[:top_k], top_k)
        return found


def _padded(codes: Ints, length: int) -> Ints:
    found = np.full(length, -1, dtype=np.int64)
    found[: len(codes)] = codes
    return found
