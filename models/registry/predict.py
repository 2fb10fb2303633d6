"""The answer of a trained model for every user, as of a cutoff.

Light on purpose: it runs on Spark's executors, with torch, safetensors, numpy and pyarrow.

N users, k items recommended, D dim.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from contracts.exclusions import Exclusions
from contracts.windows import instant
from models.networks.network import Network
from models.networks.ranking import Pairs, Ranking
from models.registry.artifact import Artifact, Manifest, load_artifact
from models.registry.exclusion import NOTHING_EXCLUDED, Exclusion
from models.sequences.batch import BatchBuilder, SequenceBatch, ranges
from models.sequences.history import Bools, Floats, Histories, Ints
from models.sequences.vocabulary import Encoder

MAX_USERS = 256  # of a batch
MAX_TOKENS = 4096  # of a batch, padding included: its states stay in a core's cache


@dataclass(frozen=True)
class Predictions:
    user_ids: list[str]
    purchase: Floats  # (N,) probability
    churn: Floats  # (N,) probability; it means nothing of a user who is not active
    is_active: Bools  # (N,) is the user one whom the version was trained to be asked about churn?
    last_event_dates: NDArray[np.datetime64]  # (N,) of the latest event before the cutoff, or NaT
    spend: Floats  # (N,) currency, expected
    spend_median: Floats  # (N,) currency, as often above it as below
    item_ids: NDArray[np.object_]  # (N, k) best first; "" after the last that may be recommended
    item_scores: Floats  # (N, k) probability of being the next item bought
    embeddings: NDArray[np.float32]  # (N, D)


class Predictor:
    def __init__(self, artifact: Artifact) -> None:
        self.manifest: Manifest = artifact.manifest
        self.network: Network = artifact.network.eval()
        self.encoder = Encoder(artifact.vocabulary)
        self.vocabulary = artifact.vocabulary
        self.item_ids = np.asarray(["", *artifact.vocabulary.item_ids], dtype=object)
        self._hidden_by: dict[Exclusions, Ints] = {}
        with torch.inference_mode():
            self.catalogue = self.network.catalogue()

    @property
    def num_items(self) -> int:
        return len(self.item_ids) - 1

    @classmethod
    def load(cls, directory: Path) -> "Predictor":
        return cls(load_artifact(directory))

    def predict(
        self,
        sequences: pa.Table | pa.RecordBatch,
        *,
        cutoff: date,
        top_k: int,
        exclusion: Exclusion = NOTHING_EXCLUDED,
        max_events: int | None = None,
    ) -> Predictions:
        """One row per row of ``sequences``, in their order; events from the cutoff on are ignored.

        Of a user the latest ``max_events`` before it count, and no more than in the training. Who
        was not seen before the cutoff gets the base rates and the commonest items.
        """
        money, moment = self.manifest.horizons.money, instant(cutoff, self.manifest.zone)
        histories = Histories.from_arrow(sequences, money=money, before=moment)
        known = self.manifest.max_events
        histories = histories.latest(min(known, max_events or known))
        return self.answer(histories, cutoff=cutoff, top_k=top_k, exclusion=exclusion)

    @torch.inference_mode()
    def answer(
        self,
        histories: Histories,
        *,
        cutoff: date,
        top_k: int,
        exclusion: Exclusion = NOTHING_EXCLUDED,
    ) -> Predictions:
        """`predict` for histories that were read already."""
        zone = self.manifest.zone
        histories = histories.before(instant(cutoff, zone))
        builder = BatchBuilder(
            histories, self.encoder, max_length=self.manifest.config.encoder.max_length, zone=zone
        )
        ranking = Ranking(self.catalogue, self._hidden(exclusion), max_users=MAX_USERS, k=top_k)
        answer = self._unknown(histories, cutoff, ranking)
        for users in batches_of(np.diff(builder.instants.offsets), builder.max_length):
            places = np.arange(len(users), dtype=np.int64)
            batch, _ = builder.build(users, places, np.full(len(users), cutoff.toordinal()))
            bought = purchases(builder, users) if exclusion.bought else NO_PAIRS
            self._fill(answer, users, batch, ranking, bought)
        return answer

    def _fill(
        self,
        answer: Predictions,
        users: Ints,
        batch: SequenceBatch,
        ranking: Ranking,
        excluded: Pairs,
    ) -> None:
        network, calibration = self.network, self.manifest.calibration
        outputs = network.latest(batch)
        answer.purchase[users] = calibration.purchase(outputs.purchase.numpy())
        answer.churn[users] = calibration.churn(outputs.churn.numpy())
        answer.spend[users] = (network.currency(outputs.spend) * calibration.spend).numpy()
        answer.spend_median[users] = network.median_currency(outputs.spend_median).numpy()
        answer.embeddings[users] = outputs.states.numpy()
        best = ranking.best(
            network.wanted_items(outputs.states),
            Pairs(batch.copy_queries, batch.copy_items),
            network.own_weights(batch),
            excluded,
        )
        answer.item_ids[users] = self.item_ids[best.items.numpy()]
        answer.item_scores[users] = best.probabilities.numpy()

    def _hidden(self, exclusion: Exclusion) -> Tensor:
        """(H,) the items that are offered to nobody; the unknown one is none to offer."""
        known = (self.encoder.items.get(item_id, 0) for item_id in exclusion.item_ids)
        rules = exclusion.rules
        if rules not in self._hidden_by:  # once, not for every batch of users
            self._hidden_by[rules] = np.flatnonzero(self.vocabulary.excluded_by(rules)) + 1
        hidden = {0, *known, *self.vocabulary.excluded_items, *self._hidden_by[rules].tolist()}
        return torch.tensor(sorted(hidden))

    def _unknown(self, histories: Histories, cutoff: date, ranking: Ranking) -> Predictions:
        N, rates = len(histories), self.manifest.base_rates
        dates = last_dates(histories, self.manifest.zone)
        active_from = cutoff - timedelta(days=self.manifest.horizons.churn_active_days)
        popular = ranking.best(
            torch.zeros(1, self.manifest.config.encoder.dim), NO_PAIRS, torch.zeros(0), NO_PAIRS
        )
        return Predictions(
            user_ids=[str(user_id) for user_id in histories.user_ids],
            purchase=np.full(N, rates.purchase),
            churn=np.full(N, rates.churn),
            is_active=np.asarray(dates >= np.datetime64(active_from), dtype=bool),
            last_event_dates=dates,
            spend=np.full(N, rates.spend),
            spend_median=np.full(N, rates.spend),
            item_ids=np.tile(self.item_ids[popular.items.numpy()], (N, 1)),
            item_scores=np.tile(popular.probabilities.double().numpy(), (N, 1)),
            embeddings=np.zeros((N, self.manifest.config.encoder.dim), dtype=np.float32),
        )


NO_PAIRS = Pairs(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))


def last_dates(histories: Histories, zone: ZoneInfo) -> NDArray[np.datetime64]:
    """(N,) the day of each user's latest event by the clocks of the zone; NaT without one."""
    has_event = histories.num_events > 0
    times = np.append(histories.times, 0)[np.where(has_event, histories.offsets[1:] - 1, -1)]
    instants = pa.array(times, pa.timestamp("us", tz=zone.key), mask=~has_event)
    days = pc.local_timestamp(instants).cast(pa.date32())
    return np.asarray(days.to_numpy(zero_copy_only=False), dtype="datetime64[D]")


def batches_of(num_instants: Ints, max_length: int) -> Iterator[Ints]:
    """Users of like length together, the longest first, as many as `MAX_TOKENS` allow.

    Little is padded, and no score depends on it. Users without an instant are in none.
    """
    tokens = np.minimum(num_instants, max_length) + 1  # and the query
    order = np.argsort(-tokens, kind="stable")
    order = order[num_instants[order] > 0]
    start = 0
    while start < len(order):
        size = min(MAX_USERS, max(MAX_TOKENS // int(tokens[order[start]]), 1))
        yield order[start : start + size]
        start += size


def purchases(builder: BatchBuilder, users: Ints) -> Pairs:
    """What each of the users has bought before, of the catalogue."""
    histories = builder.histories
    events, owners = ranges(histories.offsets[users], histories.offsets[users + 1])
    items = builder.events.items[events]
    kept = histories.is_purchase[events] & (items > 0)
    return Pairs(torch.from_numpy(owners[kept]), torch.from_numpy(items[kept]))
