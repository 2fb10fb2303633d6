"""The validation cutoffs: users to be scored as a night would score them, and what came true.

N users, B users of a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from models.config import LabelHorizons, TrainConfig
from models.sequences.batch import BatchBuilder, SequenceBatch
from models.sequences.history import Histories, Ints
from models.sequences.labels import LabelMaker, midnights
from models.sequences.vocabulary import Encoder, Vocabulary


@dataclass(frozen=True)
class Asked:
    """One cutoff's users of one rank's batch, to be scored as a night would score them."""

    sequences: SequenceBatch
    cutoff_place: int  # in `ValidationData.cutoffs`
    users: Ints

    def to(self, device: Any, *args: Any, **kwargs: Any) -> "Asked":
        return replace(self, sequences=self.sequences.to(device, *args, **kwargs))


class ValidationData:
    """Users at the validation cutoffs, and what came true; nothing of it is trained on."""

    def __init__(
        self,
        histories: Histories,
        vocabulary: Vocabulary,
        *,
        config: TrainConfig,
        horizons: LabelHorizons,
        zone: ZoneInfo,
        cutoffs: Sequence[date],
        limit: date,
    ) -> None:
        self.cutoffs, self.config = list(cutoffs), config
        self.builder = BatchBuilder(
            histories, Encoder(vocabulary), max_length=config.encoder.max_length, zone=zone
        )
        labels = LabelMaker(histories, self.builder.instants, horizons, zone)
        users = np.arange(len(histories), dtype=np.int64)
        shape = (len(self.cutoffs), len(histories))
        self.purchase, self.churn, self.spend = (np.full(shape, np.nan) for _ in range(3))
        self.bought: list[list[Ints]] = []
        for place, cutoff in enumerate(self.cutoffs):
            days = np.full(len(users), cutoff.toordinal(), dtype=np.int64)
            moments = midnights(days, zone)
            seen = (
                self.builder.instants.first_from(users, moments)
                > self.builder.instants.offsets[:-1]
            )
            purchase, churn, spend = labels.at(users, days)
            for target, values, length in (
                (self.purchase, purchase, horizons.purchase_days),
                (self.churn, churn, horizons.churn_days),
                (self.spend, spend, horizons.spend_days),
            ):
                if cutoff.toordinal() + length <= limit.toordinal():
                    target[place, seen] = values[seen]
            self.bought.append(self._bought(days, horizons.items_days, zone))

    @property
    def num_users(self) -> int:
        return self.purchase.shape[1]

    def _bought(self, days: Ints, horizon: int, zone: ZoneInfo) -> list[Ints]:
        """(N,) different items bought; those outside the catalogue count, as what cannot be hit."""
        histories = self.builder.histories
        start, end = midnights(days[:1], zone), midnights(days[:1] + horizon, zone)
        inside = (histories.times >= start) & (histories.times < end) & histories.is_purchase
        known = self.builder.events.items[inside]
        items = np.where(known > 0, known, -1 - histories.item_codes[inside])
        counts = np.bincount(histories.event_users[inside], minlength=len(histories))
        parts = np.split(items, np.cumsum(counts)[:-1])
        return [np.unique(part) for part in parts[: len(histories)]]

    def batches(self, places: Sequence[int], *, rank: int, num_ranks: int) -> list[Asked]:
        """This rank's share of the batches; shares may differ in length.

        Who is in a batch does not depend on the number of ranks, so neither does any answer.
        """
        made: list[Asked] = []
        lengths = np.diff(self.builder.instants.offsets)
        size = 4 * self.config.batch_size
        for place in places:
            users = np.flatnonzero(np.isfinite(self.purchase[place]))
            users = users[np.argsort(lengths[users], kind="stable")]
            for start in range(rank * size, len(users), num_ranks * size):
                some = users[start : start + size]
                days = np.full(len(some), self.cutoffs[place].toordinal(), dtype=np.int64)
                owners = np.arange(len(some), dtype=np.int64)
                made.append(Asked(self.builder.build(some, owners, days)[0], place, some))
        return made
