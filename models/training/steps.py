"""What every training shares: its batches, its weighted losses and its optimiser."""

import time
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, Generic, Protocol, TypeVar

import lightning as L
import torch
from torch import Tensor

from models.config import FullSoftmax, NextItemConfig, TrainConfig
from models.networks.network import Network
from models.sequences.batch import SequenceBatch
from models.training.block_softmax import softmax_loss
from models.training.dataset import Drawable, TrainingBatches
from models.training.losses import sampled_softmax_loss


class NextItemTargets(Protocol):
    """A batch of any training: sequences, and what follows their instants."""

    @property
    def sequences(self) -> SequenceBatch: ...

    @property
    def next_instants(self) -> Tensor: ...  # (S,)

    @property
    def next_items(self) -> Tensor: ...  # (S,)

    @property
    def negatives(self) -> Tensor: ...  # (K,)

    @property
    def log_inclusion(self) -> Tensor: ...  # (K,)


Batch = TypeVar("Batch", bound=NextItemTargets)


class Steps(L.LightningModule, Generic[Batch]):
    """Trains a network by `losses`; what it is judged by is left to each training."""

    def __init__(
        self, config: NextItemConfig | TrainConfig, network: Network, training: Drawable[Batch]
    ) -> None:
        super().__init__()
        self.config, self.network, self.training_data = config, network, training
        self.start_epoch()

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Each head's loss by the name of its weight."""

    @abstractmethod
    def loss_weights(self) -> dict[str, float]:
        """How much each loss counts."""

    def start_epoch(self) -> None:
        """Forget the sums of the epoch before."""
        self.num_events, self.num_batches = 0, 0  # of this rank
        self.num_tokens, self.num_slots = 0, 0
        self.sums: dict[str, Tensor] = {}
        self.started_at, self.seconds = time.monotonic(), 0.0

    def train_dataloader(self) -> Iterable[Batch]:
        batches = TrainingBatches(
            self.training_data,
            epoch=self.current_epoch,
            rank=self.global_rank,
            num_ranks=self.trainer.world_size,
        )
        return torch.utils.data.DataLoader(batches, batch_size=None)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        losses, weights = self.losses(batch), self.loss_weights()
        total = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        for name, value in {"loss": total, **losses}.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value.detach()
        sequences = batch.sequences
        self.num_events += len(sequences.event_items)
        self.num_tokens += len(sequences.instant_slots) + len(sequences.query_slots)
        self.num_slots += sequences.is_query.numel()
        self.num_batches += 1
        self.seconds = time.monotonic() - self.started_at
        return total

    def training_means(self) -> dict[str, float]:
        """Mean losses of this rank's batches since the epoch began, and their share of padding."""
        count = max(self.num_batches, 1)
        means = {f"train/{name}": float(value) / count for name, value in self.sums.items()}
        return {**means, "train/real_tokens": self.num_tokens / max(self.num_slots, 1)}

    def next_item_loss(self, instants: Tensor, batch: Batch) -> Tensor:
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
            fused=tables[0].is_cpu,  # Lightning cannot clip a fused one's gradients under bf16
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self.config.learning_rate, total_steps=max(steps, 2), pct_start=0.1
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
