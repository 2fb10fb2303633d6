"""The answer of a trained model for every user, as of a cutoff.

Light on purpose: it runs on Spark's executors, with torch, safetensors, numpy and pyarrow.

N users, k items recommended, D dim.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from contracts.windows import instant
from models.networks.network import Network
from models.registry.artifact import Artifact, Manifest, load_artifact
from models.sequences.batch import BatchBuilder
from models.sequences.history import Floats, Histories, Ints
from models.sequences.vocabulary import Encoder

BATCH_SIZE = 256  # users


@dataclass(frozen=True)
class Predictions:
    user_ids: list[str]
    purchase: Floats  # (N,) probability
    churn: Floats  # (N,) probability
    spend: Floats  # (N,) currency
    item_ids: NDArray[np.object_]  # (N, k) best first
    item_scores: Floats  # (N, k) probability of being the next item bought
    embeddings: NDArray[np.float32]  # (N, D)


class Predictor:
    def __init__(self, artifact: Artifact) -> None:
        self.manifest: Manifest = artifact.manifest
        self.network: Network = artifact.network.eval()
        self.encoder = Encoder(artifact.vocabulary)
        self.item_ids = np.asarray(["", *artifact.vocabulary.item_ids], dtype=object)

    @property
    def num_items(self) -> int:
        return len(self.item_ids) - 1

    @classmethod
    def load(cls, directory: Path) -> "Predictor":
        return cls(load_artifact(directory))

    @torch.inference_mode()
    def predict(
        self, sequences: pa.Table | pa.RecordBatch, *, cutoff: date, top_k: int
    ) -> Predictions:
        """One row per row of ``sequences``, in their order; events from the cutoff on are ignored.

        A user who was not seen before the cutoff gets the base rates and the commonest items.
        """
        zone = self.manifest.zone
        histories = Histories.from_arrow(sequences).before(instant(cutoff, zone))
        answer = self._unknown(histories.user_ids, top_k)
        builder = BatchBuilder(
            histories, self.encoder, max_length=self.manifest.config.encoder.max_length, zone=zone
        )
        # Users of like length share a batch: little is padded, and no score depends on it.
        known = np.flatnonzero(histories.num_events > 0)
        lengths = np.diff(builder.instants.offsets)[known]
        known = known[np.argsort(lengths, kind="stable")]
        for start in range(0, len(known), BATCH_SIZE):
            users = known[start : start + BATCH_SIZE]
            self._fill(answer, builder, users, cutoff)
        return answer

    def _fill(self, answer: Predictions, builder: BatchBuilder, users: Ints, cutoff: date) -> None:
        places = np.arange(len(users), dtype=np.int64)
        batch, _ = builder.build(users, places, np.full(len(users), cutoff.toordinal()))
        network, calibration = self.network, self.manifest.calibration
        outputs = network.ask(network(batch), batch)
        answer.purchase[users] = calibration.purchase(outputs.purchase.numpy())
        answer.churn[users] = calibration.churn(outputs.churn.numpy())
        answer.spend[users] = (network.currency(outputs.spend) * calibration.spend).numpy()
        answer.embeddings[users] = outputs.states.numpy()
        probabilities = network.item_probabilities(outputs.states, batch)  # (B, V)
        best = probabilities.topk(answer.item_ids.shape[1], dim=1)
        answer.item_ids[users] = self.item_ids[best.indices.numpy()]
        answer.item_scores[users] = best.values.numpy()

    def _unknown(self, user_ids: NDArray[np.object_], top_k: int) -> Predictions:
        N, rates = len(user_ids), self.manifest.base_rates
        k = min(top_k, len(self.item_ids) - 1)
        popular = self.network.item_head.bias[1:].softmax(dim=0).topk(k)
        items = self.item_ids[popular.indices.numpy() + 1]
        return Predictions(
            user_ids=[str(user_id) for user_id in user_ids],
            purchase=np.full(N, rates.purchase),
            churn=np.full(N, rates.churn),
            spend=np.full(N, rates.spend),
            item_ids=np.tile(items, (N, 1)).astype(object),
            item_scores=np.tile(popular.values.double().numpy(), (N, 1)),
            embeddings=np.zeros((N, self.manifest.config.encoder.dim), dtype=np.float32),
        )
