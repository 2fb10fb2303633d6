"""Everyone who answers for the same users at the same matured cutoffs: versions and baselines.

P rows (a user at a cutoff), K items asked for.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from models.judging.baselines import HeadBaselines, PurchasedItems
from models.metrics import ndcg_at_k, recall_at_k
from models.registry.predict import Predictions, Predictor
from models.sequences.history import Floats, Histories, Ints
from models.sequences.matured import HEADS, Head, Matured, Plan, Rows

T = TypeVar("T")
TOP_K = 10
POPULAR_DAYS = (28, 90)  # the better one on validation is kept
NO_AMOUNTS = "left out, for no amount above 0 was paid in the windows that baselines learn from"
SEED = 20171129  # of LightGBM and of the bootstrap: the same evaluation twice is the same


@dataclass(frozen=True)
class HeadRows:
    """What one head's contestants said, beside what came true."""

    head: str
    users: Ints  # (P,)
    num_instants: Ints  # (P,) of the user before the cutoff
    favourites: NDArray[np.object_]  # (P,) the category that the user bought most in before it
    labels: Floats  # (P,) of next_item: how many items were bought
    scores: Mapping[str, Floats]  # contestant → (P,); of next_item: measure/contestant → (P,)
    cutoffs: Sequence[date]
    # Who says a median beside its mean → (P,): what its absolute error is measured on.
    medians: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def contestants(self) -> list[str]:
        names = self.scores if self.head != "next_item" else (n.split("/")[1] for n in self.scores)
        return list(dict.fromkeys(names))

    def only(self, rows: NDArray[np.bool_]) -> "HeadRows":
        return HeadRows(
            self.head,
            self.users[rows],
            self.num_instants[rows],
            self.favourites[rows],
            self.labels[rows],
            {name: scores[rows] for name, scores in self.scores.items()},
            self.cutoffs,
            {name: medians[rows] for name, medians in self.medians.items()},
        )


Answers = Mapping[str, Mapping[date, Predictions]]  # version → cutoff → what it said


def side_by_side(
    ask: Callable[[Predictor], T], predictors: Mapping[str, Predictor]
) -> dict[str, T]:
    """What ``ask`` finds of every predictor, as many at a time as there are cores.

    Each runs on one thread: threads inside one network wait for each other at every layer, which
    costs more than the work itself where the machine is busy.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(max(os.cpu_count() or 1, 1)) as pool:
            return dict(zip(predictors, pool.map(ask, predictors.values()), strict=True))
    finally:
        torch.set_num_threads(threads)


class Collected(NamedTuple):
    rows: dict[str, HeadRows]  # of every head that something can be said of
    chosen: dict[str, str]  # in words, which baselines
    left_out: dict[str, str]  # head → why it has no rows


def collect(
    matured: Matured,
    plans: Mapping[str, Plan],
    answers: Answers,
    *,
    unknown: pa.Table | None = None,
    share: float = 1.0,
) -> Collected:
    """The rows of every head; spend has none where there is no amount to learn from.

    ``unknown`` is what people bought whom the log does not name, ``share`` that of all known users
    who are judged: see `PurchasedItems`.
    """
    found = Collected({}, {}, {})
    for head in HEADS:
        train = matured.training_rows(head, plans[head])
        if head == "spend" and not (train.labels > 0).any():
            found.left_out[head] = NO_AMOUNTS
            continue
        rows, chosen = _head_rows(matured, head, plans[head], answers, train=train)
        found.rows[head], found.chosen[head] = rows, chosen
    purchased = PurchasedItems(matured.histories, matured.is_offered, unknown=unknown, share=share)
    rows, chosen = _item_rows(matured, purchased, plans["next_item"], answers)
    found.rows["next_item"], found.chosen["next_item"] = rows, chosen
    return found


def _head_rows(
    matured: Matured, head: Head, plan: Plan, answers: Answers, *, train: Rows
) -> tuple[HeadRows, str]:
    baselines = HeadBaselines(
        head, train=train, validation=matured.rows(head, plan.validation), seed=SEED
    )
    parts = [matured.rows(head, [cutoff]) for cutoff in plan.test]

    def said_of(column: str) -> dict[str, Floats]:
        return {
            version: np.concatenate(
                [
                    _of_users(getattr(said[day], column), said[day], matured.histories)[part.users]
                    for day, part in zip(plan.test, parts, strict=True)
                ]
            )
            for version, said in answers.items()
        }

    test = matured.rows(head, plan.test)
    rows = HeadRows(
        head,
        test.users,
        test.num_instants,
        np.concatenate(
            [
                matured.favourites(part.users, cutoff)
                for cutoff, part in zip(plan.test, parts, strict=True)
            ]
        ),
        test.labels,
        {**said_of(head), **baselines.predict(test)},
        plan.test,
        said_of("spend_median") if head == "spend" else {},
    )
    return rows, f"LightGBM: {baselines.strongest.name}"


def _item_rows(
    matured: Matured, purchased: PurchasedItems, plan: Plan, answers: Answers
) -> tuple[HeadRows, str]:
    histories = matured.histories
    days = max(POPULAR_DAYS, key=lambda days: _popular_ndcg(matured, purchased, plan, days))
    users: list[Ints] = []
    counts: list[Ints] = []
    favourites: list[NDArray[np.object_]] = []
    labels: list[Floats] = []
    values: dict[str, list[Floats]] = {}
    for cutoff in plan.test:
        buyers, bought = matured.bought_items(cutoff)
        end = matured.moment(cutoff)
        popular = purchased.popular(days=days, end=end, top_k=TOP_K, cutoff=cutoff)
        personal = purchased.personal(padding=popular, end=end, top_k=TOP_K)
        ranked: dict[str, Sequence[Any]] = {
            version: list(_of_users(said[cutoff].item_ids, said[cutoff], histories)[buyers])
            for version, said in answers.items()
        }
        ranked["popularity"] = [_items(histories, popular)] * len(buyers)
        ranked["personal_frequency"] = [_items(histories, personal[user]) for user in buyers]
        for name, lists in ranked.items():
            found = {
                "ndcg@10": ndcg_at_k(bought, lists, k=TOP_K),
                "recall@10": recall_at_k(bought, lists, k=TOP_K),
            }
            for measure, per_row in found.items():
                values.setdefault(f"{measure}/{name}", []).append(per_row)
        users.append(buyers)
        counts.append(matured.num_instants(buyers, cutoff))
        favourites.append(matured.favourites(buyers, cutoff))
        labels.append(np.asarray([len(items) for items in bought], dtype=np.float64))
    rows = HeadRows(
        "next_item",
        np.concatenate(users),
        np.concatenate(counts),
        np.concatenate(favourites),
        np.concatenate(labels),
        {name: np.concatenate(parts) for name, parts in values.items()},
        plan.test,
    )
    return rows, f"popularity: most bought in {days} days"


def _popular_ndcg(matured: Matured, purchased: PurchasedItems, plan: Plan, days: int) -> float:
    found = []
    for cutoff in plan.validation:
        _, bought = matured.bought_items(cutoff)
        popular = purchased.popular(
            days=days, end=matured.moment(cutoff), top_k=TOP_K, cutoff=cutoff
        )
        lists = [_items(matured.histories, popular)] * len(bought)
        found.append(ndcg_at_k(bought, lists, k=TOP_K))
    every = np.concatenate(found)
    return float(every.mean()) if len(every) else 0.0


def _items(histories: Histories, codes: Ints) -> NDArray[np.object_]:
    return histories.item_ids[codes[codes >= 0]]


def _of_users(values: NDArray[Any], predictions: Predictions, histories: Histories) -> NDArray[Any]:
    """The values in the order of ``histories``: a model may answer in another."""
    if list(predictions.user_ids) == histories.user_ids.tolist():
        return np.asarray(values)
    place = {user: n for n, user in enumerate(predictions.user_ids)}
    return np.asarray(values)[[place[user] for user in histories.user_ids]]
