"""The thin shell around the network: losses and validation. Scoring needs nothing of it."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.config import TrainConfig
from models.networks.network import Network
from models.training.block_softmax import mixture_loss, softmax_loss
from models.training.dataset import TrainingBatch
from models.training.losses import absolute_loss, binary_loss, tweedie_loss
from models.training.shards import TrainingShards
from models.training.steps import Steps
from models.training.validation import TOP_K, Answers
from models.training.validation_data import Asked, ValidationData


class Nightshift(Steps[TrainingBatch]):
    """Trains one network for every head at once."""

    config: TrainConfig

    def __init__(
        self,
        config: TrainConfig,
        network: Network,
        training: TrainingShards,
        validation: ValidationData,
        *,
        num_ranks: int,
    ) -> None:
        super().__init__(config, network, training, num_ranks=num_ranks)
        self.validation_data = validation
        self.is_leaving = False  # told to stop: the validation that runs asks nobody more
        self.answers = Answers.empty(validation)

    def loss_weights(self) -> dict[str, float]:
        weights: dict[str, float] = self.config.loss_weights.model_dump()
        return weights

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Each head's loss by the name of its weight."""
        network, sequences = self.network, batch.sequences
        states = network(sequences)  # (B, T, D)
        outputs = network.ask(states, sequences)
        ranked = outputs.states[sequences.ranked_queries]  # (R, D)
        instants = states.flatten(0, 1)[sequences.instant_slots]  # (I, D)
        found = {
            "purchase": binary_loss(
                outputs.purchase.float(), batch.purchase, self.config.purchase_loss
            ),
            "churn": binary_loss(outputs.churn.float(), batch.churn, self.config.churn_loss),
        }
        if network.has_amounts:
            spend = batch.spend / network.spend_scale
            found["spend"] = tweedie_loss(outputs.spend.float(), spend) + absolute_loss(
                outputs.spend_median.float(), spend
            )
        found |= {
            "items": mixture_loss(
                network.item_head.project(ranked),
                network.item_vectors(),
                network.item_head.biases(),
                network.own_weights(sequences),
                sequences.copy_queries,
                rows=batch.item_queries,
                items=batch.items,
                copies=batch.item_copies,
            ),
            "next_item": self.next_item_loss(instants, batch),
        }
        if network.event_type_head is not None:
            found["next_event_type"] = softmax_loss(
                network.event_type_head.project(instants),
                network.event_types.weight,
                network.event_type_head.biases(),
                rows=batch.typed_instants,
                items=batch.next_event_types,
            )
        return found

    def val_dataloader(self) -> Iterable[Asked]:
        return torch.utils.data.DataLoader(_OfRank(self), batch_size=None)

    # ---- validation --------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        self.answers = Answers.empty(self.validation_data)

    def validation_step(self, batch: Asked, batch_idx: int) -> None:
        states = self.network(batch.sequences)  # (B, T, D)
        outputs = self.network.ask(states, batch.sequences)
        chances = self.network.item_probabilities(outputs.states, batch.sequences)  # (Q, V)
        best = chances.topk(min(TOP_K, chances.size(1) - 1), dim=1).indices
        self.answers.put(
            batch.cutoff_place,
            batch.users,
            purchase=_numpy(outputs.purchase),
            churn=_numpy(outputs.churn),
            spend=_numpy(self.network.currency(outputs.spend)),
            spend_median=_numpy(self.network.median_currency(outputs.spend_median)),
            best_items=_numpy(best),
        )
        if self.network.event_type_head is not None:
            latest = states.flatten(0, 1)[batch.sequences.query_slots - 1]  # (Q, D) last instants
            types = self.network.next_event_types(latest).softmax(dim=1)  # (Q, Y)
            self.answers.event_types[batch.cutoff_place, batch.users] = _numpy(types)


class _OfRank(torch.utils.data.IterableDataset[Asked]):
    """It says no length, for Lightning refuses a rank that says 0: there may be no batch for it."""

    def __init__(self, module: Nightshift) -> None:
        super().__init__()
        self.module = module

    def __iter__(self) -> Iterator[Asked]:
        module, data = self.module, self.module.validation_data
        ranks = {"rank": module.global_rank, "num_ranks": module.trainer.world_size}
        batches = data.batches(range(len(data.cutoffs)), **ranks)
        return itertools.takewhile(lambda _: not module.is_leaving, batches)


def _numpy(values: Tensor) -> np.ndarray[Any, Any]:
    return np.asarray(values.detach().to("cpu", torch.float64).numpy())
