"""Matured cutoffs: users at past cutoffs, what was known of them, and what came true.

Everything that is evaluated, the baselines too, is fitted and tested on rows made here, in one
order of time. With H the longest label window and C the cutoff: tests start at C - H, validation
starts at C - 2H, and training uses windows that closed by C - 2H.

P rows (a user at a cutoff), F features, N users.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from contracts.exclusions import NOTHING, Exclusions
from contracts.windows import instant
from models.config import LabelHorizons
from models.sequences.census import can_be_offered
from models.sequences.features import exact_from
from models.sequences.history import Bools, Floats, Histories, Ints, microseconds
from models.sequences.instants import DAY, Instants
from models.sequences.labels import LabelMaker, labels
from models.sequences.query_features import HISTORY_DAYS, QueryFeatures

Head = Literal["purchase", "churn", "spend"]
HEADS: tuple[Head, ...] = ("purchase", "churn", "spend")
NUM_TRAINING_CUTOFFS = 26  # of baselines: a year of them, so that each season is met once
NUM_RECENT_CUTOFFS = 12  # of them are asked however short the log
TRAINING_STEP_DAYS = 14
MAX_TRAINING_ROWS = 400_000  # above it, users are drawn at each cutoff


@dataclass(frozen=True)
class Plan:
    """The cutoffs of one head."""

    train: Sequence[date]
    validation: Sequence[date]
    test: Sequence[date]


def plan(cutoff: date, *, horizon_days: int, longest_days: int) -> Plan:
    """Windows of test, and of validation, follow one another without overlap, all closed."""
    test_start = cutoff - timedelta(days=longest_days)
    validation_start = cutoff - timedelta(days=2 * longest_days)
    latest = validation_start - timedelta(days=horizon_days)
    train = [
        latest - timedelta(days=TRAINING_STEP_DAYS * step) for step in range(NUM_TRAINING_CUTOFFS)
    ]
    return Plan(
        train=train[::-1],
        validation=_back_to_back(validation_start, test_start, horizon_days),
        test=_back_to_back(test_start, cutoff, horizon_days),
    )


def plans(cutoff: date, horizons: LabelHorizons) -> dict[str, Plan]:
    """One plan for each head."""
    days = {
        "purchase": horizons.purchase_days,
        "churn": horizons.churn_days,
        "spend": horizons.spend_days,
        "next_item": horizons.items_days,
    }
    return {
        head: plan(cutoff, horizon_days=length, longest_days=horizons.longest_days)
        for head, length in days.items()
    }


def _back_to_back(start: date, end: date, days: int) -> list[date]:
    count = (end - start).days // days
    return [start + timedelta(days=days * n) for n in range(count)]


@dataclass(frozen=True)
class Rows:
    """The users whom one head is asked about, at one or more cutoffs."""

    users: Ints  # (P,)
    features: NDArray[np.float32]  # (P, F)
    labels: Floats  # (P,)
    before: Floats  # (P,) the spend of the window just before the cutoff
    num_instants: Ints  # (P,) of the user before the cutoff

    @classmethod
    def concatenated(cls, parts: Sequence["Rows"]) -> "Rows":
        return cls(
            np.concatenate([part.users for part in parts]),
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.before for part in parts]),
            np.concatenate([part.num_instants for part in parts]),
        )

    def only(self, rows: Bools) -> "Rows":
        return Rows(
            self.users[rows],
            self.features[rows],
            self.labels[rows],
            self.before[rows],
            self.num_instants[rows],
        )


@dataclass(frozen=True)
class PassedOver:
    """Users who are scored and not judged: too much of what they did is not stored any more."""

    users: int
    of_users: int
    spend_share: float  # of what all users have paid, each less what came back, if that is above 0

    def __str__(self) -> str:
        return (
            f"{self.users:,} of {self.of_users:,} users, with {self.spend_share:.1%} of all spend, "
            "are scored and were not judged: of their events, more than sequences.max_events, too "
            "few are stored"
        )


class Matured:
    """Rows of any head at any past cutoff, from running totals built once."""

    def __init__(
        self,
        histories: Histories,
        *,
        horizons: LabelHorizons,
        zone: ZoneInfo,
        exclusions: Exclusions = NOTHING,
        max_events: int | None = None,
    ) -> None:
        """A night keeps the latest ``max_events`` of a user: features know no more than those."""
        self.is_offered = can_be_offered(histories, exclusions)  # (I,) by item code
        self.histories, self.horizons, self.zone = histories, horizons, zone
        self.max_events = max_events
        self.instants = Instants.of(histories)
        self.features = QueryFeatures(histories, self.instants)
        self.labels = LabelMaker(histories, self.instants, horizons, zone)

    def rows(self, head: Head, cutoffs: Sequence[date]) -> Rows:
        """Users who can be asked at each cutoff; of churn, those active shortly before it."""
        return Rows.concatenated([self._rows(head, cutoff) for cutoff in cutoffs])

    def training_rows(self, head: Head, plan: Plan, *, max_rows: int = MAX_TRAINING_ROWS) -> Rows:
        """Rows of the training cutoffs; of the older, those by which the log had warmed up."""
        seen = self.histories.first_times[self.histories.has_history]
        warm = seen.min(initial=np.iinfo(np.int64).max - HISTORY_DAYS * DAY) + HISTORY_DAYS * DAY
        older, recent = plan.train[:-NUM_RECENT_CUTOFFS], plan.train[-NUM_RECENT_CUTOFFS:]
        cutoffs = [*(cutoff for cutoff in older if self.moment(cutoff) >= warm), *recent]
        share = max_rows / max(len(self.histories) * len(cutoffs), 1)
        return Rows.concatenated([self._rows(head, cutoff, share=share) for cutoff in cutoffs])

    def moment(self, cutoff: date) -> int:
        return microseconds(instant(cutoff, self.zone))

    def can_be_asked(self, cutoff: date) -> Bools:
        """(N,) was the user seen before the cutoff, and is what is needed there stored?

        Of who has more events than are stored the oldest were cut off: a cutoff among those is
        passed over, as in training, for what came true there is not known any more.
        `passed_over` counts them.
        """
        moment = self.moment(cutoff)
        is_exact = exact_from(self.histories, HISTORY_DAYS) <= moment
        return np.asarray(is_exact & (self.histories.first_times < moment), dtype=bool)

    def passed_over(self, cutoffs: Sequence[date]) -> PassedOver:
        """Who was there at one of the cutoffs and is not judged at it."""
        missing = np.zeros(len(self.histories), dtype=bool)
        for cutoff in cutoffs:
            was_there = self.histories.first_times < self.moment(cutoff)
            missing |= self.histories.has_history & was_there & ~self.can_be_asked(cutoff)
        spend = np.maximum(self.histories.lifetime_spend, 0.0)  # more may have come back
        total = float(spend.sum())
        share = float(spend[missing].sum()) / total if total > 0 else 0.0
        return PassedOver(int(missing.sum()), len(missing), share)

    def features_at(self, users: Ints, cutoff: date) -> NDArray[np.float32]:
        """(P, F) as a night at the cutoff knows them."""
        moments = np.full(len(users), self.moment(cutoff), dtype=np.int64)
        if self.max_events is None or not (self.histories.num_events > self.max_events).any():
            return self.features.at(users, moments)
        before = self.histories.before(instant(cutoff, self.zone))
        kept = before.latest(self.max_events)
        return QueryFeatures(kept, Instants.of(kept)).at(users, moments)

    def num_instants(self, users: Ints, cutoff: date) -> Ints:
        """(P,) instants stored before the cutoff."""
        moments = np.full(len(users), self.moment(cutoff), dtype=np.int64)
        return self.instants.first_from(users, moments) - self.instants.offsets[users]

    def favourites(self, users: Ints, cutoff: date) -> NDArray[np.object_]:
        """(P,) the category that each bought most lines of before the cutoff; "" for none."""
        histories = self.histories
        bought = histories.is_purchase & (histories.times < self.moment(cutoff))
        num_categories = max(len(histories.categories), 1)
        keys = histories.event_users[bought] * num_categories + histories.category_codes[bought]
        pairs, counts = np.unique(keys, return_counts=True)
        owners, codes = pairs // num_categories, pairs % num_categories
        order = np.lexsort((histories.categories[codes].astype(str), -counts, owners))
        first = order[np.flatnonzero(np.diff(owners[order], prepend=-1))]
        favourite = np.full(len(histories), "", dtype=object)
        favourite[owners[first]] = histories.categories[codes[first]]
        return np.asarray(favourite[users], dtype=object)

    def bought_items(self, cutoff: date) -> tuple[Ints, list[NDArray[np.object_]]]:
        """Users who can be asked and bought in the items window, and what each bought.

        Of what may be recommended: who bought only excluded items is not among them.
        """
        found = labels(
            self.histories, cutoff, self.horizons, self.zone, is_offered=self.is_offered
        ).item_ids
        bought = np.asarray([len(items) > 0 for items in found], dtype=bool)
        users = np.flatnonzero(bought & self.can_be_asked(cutoff))
        return users, [found[user] for user in users]

    def _rows(self, head: Head, cutoff: date, *, share: float = 1.0) -> Rows:
        """Rows of everybody who can be asked, or of about such a share of them."""
        users = np.flatnonzero(self.can_be_asked(cutoff))
        if share < 1.0:
            users = users[np.random.default_rng(cutoff.toordinal()).random(len(users)) < share]
        purchase, churn, spend = self.labels.at(users, _days(users, cutoff))
        truth = {"purchase": purchase, "churn": churn, "spend": spend}[head]
        earlier = cutoff - timedelta(days=self.horizons.spend_days)
        _, _, before = self.labels.at(users, _days(users, earlier))
        asked = np.isfinite(truth)
        users = users[asked]
        return Rows(
            users=users,
            features=self.features_at(users, cutoff),
            labels=truth[asked],
            before=before[asked],
            num_instants=self.num_instants(users, cutoff),
        )


def _days(users: Ints, cutoff: date) -> Ints:
    return np.full(len(users), cutoff.toordinal(), dtype=np.int64)
