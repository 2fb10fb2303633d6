"""What a model must do whatever it has learnt, checked on the model itself with real sequences.

Each check asks the model twice about the same users at a past cutoff, with something changed that
must not matter (or, of the order of visits and of a purchase, must), and compares the answers.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from contracts.money import Money
from contracts.tables import PURCHASE
from contracts.windows import instant
from models.judging.gate import Check
from models.money import counted_amounts, in_money, is_bought, sums, whole_units
from models.registry.predict import Predictions, Predictor
from models.sequences.history import Bools
from models.training.calibration import BaseRates

NUM_USERS = 32
TOLERANCE = 1e-4  # of probabilities; of spend relative to 1 + spend
TOP_K = 10
SAME_STATE = 1e-6  # states closer than this are the same
MOVED_SHARE = 0.5  # of the users whose visits differ
LISTS = (
    "event_times",
    "event_ids",
    "item_ids",
    "event_types",
    "categories",
    "quantities",
    "amounts",
    "texts",
    "session_starts",
)
TOLD_BACKWARDS = ("item_ids", "categories", "texts")

Row = dict[str, Any]


def check_behaviour(
    predictor: Predictor, sequences: pa.Table, *, cutoff: date, zone: ZoneInfo
) -> list[Check]:
    """Run every behavioural test on a few users. The sequences must reach beyond the cutoff."""
    moment, money = instant(cutoff, zone), predictor.manifest.horizons.money
    table = sequences.take(_spread_of_users(sequences))
    rows = [_spelled(row) for row in table.to_pylist()]

    def ask(asked: Sequence[Row]) -> Predictions:
        return predictor.predict(
            pa.Table.from_pylist(list(asked), schema=table.schema), cutoff=cutoff, top_k=TOP_K
        )

    usual = ask(rows)
    backwards = [_told_backwards(row, moment) for row in rows]
    pairs = zip(rows, backwards, strict=True)
    return [
        _same(
            "a later event never changes an earlier score",
            usual,
            [
                ask([_kept(row, lambda time: time < moment, money=money) for row in rows]),
                ask(_altered(rows, moment, money=money)),
            ],
        ),
        _same(
            "the order of lines within an instant does not matter",
            usual,
            [ask([_reversed_within_instants(row) for row in rows])],
        ),
        _same(
            "neither the batch nor its padding matters",
            usual,
            [_joined([ask(rows[n::4]) for n in range(4)], rows), ask(rows[:1])],
        ),
        _unseen(
            ask([_kept(row, lambda time: time >= moment, money=money) for row in rows[:4]]),
            predictor.manifest.base_rates,
        ),
        _ordered(usual, ask(backwards), np.asarray([_visits(a) != _visits(b) for a, b in pairs])),
        _encouraged(usual, ask([_with_a_purchase(row, moment, money=money) for row in rows])),
    ]


def _spread_of_users(sequences: pa.Table) -> list[int]:
    """Users from the shortest history to the longest."""
    order = np.argsort(sequences.column("lifetime_events").to_numpy(), kind="stable")
    places = np.linspace(0, len(order) - 1, min(NUM_USERS, len(order))).round().astype(int)
    return [int(order[place]) for place in np.unique(places)]


def _spelled(row: Row) -> Row:
    """The row with a text for each event, empty where there is none."""
    return {**row, "texts": row["texts"] or [""] * len(row["event_times"])}


def _paid(row: Row, places: Sequence[int], *, money: Money) -> float:
    """What the row's events at these places add to its lifetime's spend."""
    amounts = np.asarray([row["amounts"][n] or 0.0 for n in places], dtype=np.float64)
    names = np.asarray([row["event_types"][n] for n in places], dtype=str)
    kinds, codes = np.unique(names, return_inverse=True)
    return _sum(*counted_amounts(amounts, kinds, codes, money=money).tolist())


def _sum(*amounts: float) -> float:
    units = whole_units(np.asarray([0.0, *amounts]))
    return float(in_money(sums(units, np.zeros(1, dtype=np.int64)))[0])


def _kept(row: Row, keep: Callable[[datetime], bool], *, money: Money) -> Row:
    """The row with only some of its events, and totals to match."""
    kept = [n for n, time in enumerate(row["event_times"]) if keep(time)]
    dropped = set(range(len(row["event_times"]))) - set(kept)
    spend = _paid(row, sorted(dropped), money=money)
    changed = {name: [row[name][n] for n in kept] for name in LISTS}
    times = changed["event_times"]
    if times:
        changed["session_starts"][0] = True
        changed["last_event_time"] = times[-1]
        if 0 not in kept:
            changed["first_event_time"] = times[0]
    return {
        **row,
        **changed,
        "lifetime_events": row["lifetime_events"] - len(dropped),
        "lifetime_spend": _sum(row["lifetime_spend"], -spend),
    }


def _altered(rows: Sequence[Row], moment: datetime, *, money: Money) -> list[Row]:
    """The same pasts with the future's items swapped and its amounts multiplied."""
    altered = []
    for row in rows:
        future = [n for n, time in enumerate(row["event_times"]) if time >= moment]
        items, amounts = list(row["item_ids"]), list(row["amounts"])
        for n, other in zip(future, reversed(future), strict=True):
            items[n], amounts[n] = row["item_ids"][other], 10 * (row["amounts"][other] or 0.0)
        changed = {**row, "item_ids": items, "amounts": amounts}
        more = _paid(changed, future, money=money) - _paid(row, future, money=money)
        altered.append({**changed, "lifetime_spend": _sum(row["lifetime_spend"], more)})
    return altered


def _reversed_within_instants(row: Row) -> Row:
    times = row["event_times"]
    order = sorted(range(len(times)), key=lambda n: (times[n], -n))
    changed = {name: [row[name][n] for n in order] for name in LISTS}
    changed["session_starts"] = row["session_starts"]  # stays with the place, not with the line
    return {**row, **changed}


def _told_backwards(row: Row, moment: datetime) -> Row:
    """The same visits at the same times, what was bought at them in the opposite order.

    The last visit's lines come first; times, and how many lines each time has, stay.
    """
    past = [n for n, time in enumerate(row["event_times"]) if time < moment]
    changed = {}
    for name in TOLD_BACKWARDS:
        values = list(row[name])
        for n, other in zip(past, reversed(past), strict=True):
            values[n] = row[name][other]
        changed[name] = values
    return {**row, **changed}


def _visits(row: Row) -> list[tuple[Any, ...]]:
    """What is read of the row's lines, in order of time; lines of one instant have no order."""
    lines = zip(row["event_times"], *(row[name] for name in TOLD_BACKWARDS), strict=True)
    return sorted(lines, key=lambda line: (line[0], *(value or "" for value in line[1:])))


def _with_a_purchase(row: Row, moment: datetime, *, money: Money) -> Row:
    """The look-alike who bought the latest purchase's line once more, at the end of the history.

    Half-way between the last event and the cutoff; who never bought stays who they are.
    """
    past = [n for n, time in enumerate(row["event_times"]) if time < moment]
    bought = [n for n in past if _is_bought(row, n)]
    if not bought:
        return row
    place, latest = past[-1] + 1, row["event_times"][past[-1]]
    time = latest + (moment - latest) / 2
    changed = {name: list(row[name]) for name in LISTS}
    for name in LISTS:
        changed[name].insert(place, row[name][bought[-1]])
    changed["event_times"][place] = time
    changed["event_ids"][place] = f"{row['event_ids'][bought[-1]]}-again"
    changed["session_starts"][place] = True
    paid = _paid(row, bought[-1:], money=money)
    return {
        **row,
        **changed,
        "lifetime_events": row["lifetime_events"] + 1,
        "lifetime_spend": _sum(row["lifetime_spend"], paid),
    }


def _is_bought(row: Row, place: int) -> bool:
    amount = row["amounts"][place]
    amounts = np.asarray([np.nan if amount is None else amount], dtype=np.float64)
    is_purchase = np.asarray([row["event_types"][place] == PURCHASE])
    return bool(is_bought(amounts, is_purchase)[0])


def _joined(parts: Sequence[Predictions], rows: Sequence[Row]) -> Predictions:
    """Answers to shares of the rows, put back into the order of the rows."""
    users = [user for part in parts for user in part.user_ids]
    place = {user: n for n, user in enumerate(users)}
    order = np.asarray([place[row["user_id"]] for row in rows])

    def column(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])[order]

    return Predictions(
        user_ids=[users[n] for n in order],
        purchase=column("purchase"),
        churn=column("churn"),
        is_active=column("is_active"),
        last_event_dates=column("last_event_dates"),
        spend=column("spend"),
        spend_median=column("spend_median"),
        item_ids=column("item_ids"),
        item_scores=column("item_scores"),
        embeddings=column("embeddings"),
    )


def _same(name: str, usual: Predictions, others: Sequence[Predictions]) -> Check:
    worst = max(difference(usual, other) for other in others)
    return Check(
        name,
        worst <= TOLERANCE,
        f"scores differ by at most {worst:.2g}, expected at most {TOLERANCE:g}",
    )


def _ordered(usual: Predictions, backwards: Predictions, differs: Bools) -> Check:
    """A history is a sequence: who bought the same in another order is somebody else.

    ``differs`` (N,): is the user's history another one when it is told backwards?
    """
    name = "the order of visits matters"
    if not differs.any():
        return Check(name, True, "no user has visits that differ, so there is no order to tell")
    moved = np.abs(usual.embeddings - backwards.embeddings).max(axis=1)
    share = float((moved[differs] > SAME_STATE).mean())
    return Check(
        name,
        share >= MOVED_SHARE,
        f"{share:.0%} of the users whose visits differ have another state when these are told "
        f"backwards, expected at least {MOVED_SHARE:.0%}",
    )


def _encouraged(usual: Predictions, bought: Predictions) -> Check:
    """Who has just bought again is, on average, no less likely to buy."""
    change = float((bought.purchase - usual.purchase).mean())
    return Check(
        "a purchase seen does not lower the purchase score of look-alikes on average",
        change >= -TOLERANCE,
        f"it changes by {change:+.2g} on average, expected at least {-TOLERANCE:g}",
    )


def difference(usual: Predictions, other: Predictions) -> float:
    """The greatest difference over the users of ``other``; NaN counts as infinite."""
    place = {user: n for n, user in enumerate(usual.user_ids)}
    rows = np.asarray([place[user] for user in other.user_ids])
    worst = [
        np.abs(usual.purchase[rows] - other.purchase).max(),
        np.abs(usual.churn[rows] - other.churn).max(),
        (np.abs(usual.spend[rows] - other.spend) / (1 + np.abs(other.spend))).max(),
        # Items of equal score may change places, so it is the scores by rank that are compared.
        np.abs(usual.item_scores[rows] - other.item_scores).max(),
        _different_items(usual, rows, other),
    ]
    found = float(np.max(worst))
    return found if np.isfinite(found) else float("inf")


def _different_items(usual: Predictions, rows: Any, other: Predictions) -> float:
    """How far an item that only one of the two names lies above the last that both name."""
    worst = 0.0
    for n, row in enumerate(rows):
        last = float(other.item_scores[n].min())
        named = set(other.item_ids[n].tolist())
        for item, score in zip(usual.item_ids[row], usual.item_scores[row], strict=True):
            if item not in named:
                worst = max(worst, float(score) - last)
    return worst


def _unseen(found: Predictions, rates: BaseRates) -> Check:
    """Before the first event there is nothing to tell users apart: the base rates, for each."""
    expected = np.asarray([rates.purchase, rates.churn, rates.spend])
    heads = np.stack([found.purchase, found.churn, found.spend])
    worst = float(np.abs(heads - expected[:, None]).max())
    finite = bool(np.isfinite(heads).all() and np.isfinite(found.item_scores).all())
    return Check(
        "a user without history gets the base rates",
        finite and worst <= TOLERANCE,
        f"scores differ from them by at most {worst:.2g}, expected at most {TOLERANCE:g}",
    )
