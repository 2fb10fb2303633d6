"""The thin shell around the network: loss, optimiser, validation. Scoring needs nothing of it."""

import time
from collections.abc import Iterable
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from models.config import FullSoftmax, TrainConfig
from models.networks.network import Network
from models.training.block_softmax import mixture_loss, softmax_loss
from models.training.dataset import TrainingBatch, TrainingBatches, TrainingData
from models.training.losses import binary_loss, sampled_softmax_loss, tweedie_loss
from models.training.validation import TOP_K, Answers
from models.training.validation_data import Asked, ValidationData


class Nightshift(L.LightningModule):
    """Trains one network for every head at once."""

    def __init__(
        self,
        config: TrainConfig,
        network: Network,
        training: TrainingData,
        validation: ValidationData,
    ) -> None:
        super().__init__()
        self.config, self.network = config, network
        self.training_data, self.validation_data = training, validation
        self.answers = Answers.empty(validation)
        self.start_epoch()

    def start_epoch(self) -> None:
        """Forget the sums of the epoch before."""
        self.num_events, self.num_batches = 0, 0  # of this rank
        self.sums: dict[str, Tensor] = {}
        self.started_at, self.seconds = time.monotonic(), 0.0

    # ---- data --------------------------------------------------------------------------------

    def train_dataloader(self) -> Iterable[TrainingBatch]:
        batches = TrainingBatches(
            self.training_data,
            epoch=self.current_epoch,
            rank=self.global_rank,
            num_ranks=self.trainer.world_size,
        )
        return torch.utils.data.DataLoader(batches, batch_size=None)

    def val_dataloader(self) -> Iterable[Asked]:
        places = range(len(self.validation_data.cutoffs))
        batches = self.validation_data.batches(
            places, rank=self.global_rank, num_ranks=self.trainer.world_size
        )
        return torch.utils.data.DataLoader(_Listed(batches), batch_size=None)

    # ---- training ----------------------------------------------------------------------------

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        losses = self.losses(batch)
        weights = self.config.loss_weights.model_dump()
        total = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        for name, value in {"loss": total, **losses}.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value.detach()
        self.num_events += len(batch.sequences.event_items)
        self.num_batches += 1
        self.seconds = time.monotonic() - self.started_at
        return total

    def training_means(self) -> dict[str, float]:
        """Mean losses of this rank's batches since the epoch began."""
        count = max(self.num_batches, 1)
        return {f"train/{name}": float(value) / count for name, value in self.sums.items()}

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Each head's loss by the name of its weight."""
        network, sequences = self.network, batch.sequences
        states = network(sequences)  # (B, T, D)
        outputs = network.ask(states, sequences)
        ranked = outputs.states[sequences.ranked_queries]  # (R, D)
        instants = states.flatten(0, 1)[sequences.instant_slots]  # (I, D)
        return {
            "purchase": binary_loss(outputs.purchase.float(), batch.purchase),
            "churn": binary_loss(outputs.churn.float(), batch.churn),
            "spend": tweedie_loss(outputs.spend.float(), batch.spend / network.spend_scale),
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

    def next_item_loss(self, instants: Tensor, batch: TrainingBatch) -> Tensor:
        """(I, D) -> (): at every instant, the items of the next one."""
        head, vectors = self.network.item_head, self.network.item_vectors()
        projected = head.project(instants)  # (I, D)
        targets, negatives = batch.next_items, batch.negatives
        if isinstance(self.config.next_item_loss, FullSoftmax):
            return softmax_loss(projected, vectors, head.biases(), batch.next_instants, targets)
        positive = (projected[batch.next_instants] * vectors[targets]).sum(dim=1)  # (S,)
        return sampled_softmax_loss(
            positive=(positive + head.biases()[targets]).float(),
            rows=batch.next_instants,
            items=targets,
            negative=(projected @ vectors[negatives].T + head.bias[negatives]).float(),  # (I, K)
            negative_items=negatives,
            log_inclusion=batch.log_inclusion,
        )

    def configure_optimizers(self) -> Any:
        """AdamW, https://arxiv.org/abs/1711.05101, one warm-up and one descent to zero."""
        parameters = list(self.network.parameters())
        tables = [parameter for parameter in parameters if parameter.ndim >= 2]
        biases = [parameter for parameter in parameters if parameter.ndim < 2]
        optimizer = torch.optim.AdamW(
            [
                {"params": tables, "weight_decay": self.config.weight_decay},
                {"params": biases, "weight_decay": 0.0},
            ],
            lr=self.config.learning_rate,
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self.config.learning_rate, total_steps=max(steps, 2), pct_start=0.1
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # ---- validation --------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        self.answers = Answers.empty(self.validation_data)

    def validation_step(self, batch: Asked, batch_idx: int) -> None:
        outputs = self.network.ask(self.network(batch.sequences), batch.sequences)
        chances = self.network.item_probabilities(outputs.states, batch.sequences)  # (Q, V)
        best = chances.topk(min(TOP_K, chances.size(1) - 1), dim=1).indices
        self.answers.put(
            batch.cutoff_place,
            batch.users,
            purchase=_numpy(outputs.purchase),
            churn=_numpy(outputs.churn),
            spend=_numpy(self.network.currency(outputs.spend)),
            best_items=_numpy(best),
        )


class _Listed(torch.utils.data.Dataset[Asked]):
    def __init__(self, batches: list[Asked]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, place: int) -> Asked:
        return self.batches[place]


def _numpy(values: Tensor) -> np.ndarray[Any, Any]:
    return np.asarray(values.detach().to("cpu", torch.float64).numpy())
