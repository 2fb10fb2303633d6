"""What every training shares: its batches, its weighted losses and its optimiser.

What is random in a step depends on its number alone, so a training may go on after any of them.
"""

import time
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, Generic, Protocol, TypeVar

import lightning as L
import numpy as np
import torch
from torch import Tensor

from models.config import GBCE, FullSoftmax, InBatchGBCE, NextItemConfig, TrainConfig
from models.networks.linear import linear
from models.networks.network import Network
from models.sequences.batch import SequenceBatch
from models.training.block_softmax import softmax_loss
from models.training.checkpoints import Place
from models.training.epochs import Shards, TrainingBatches, batches_per_epoch
from models.training.losses import gbce_loss, sampled_softmax_loss

GRADIENT_NORM = "gradient_norm"  # stands beside the losses of a step
TOKENS, SLOTS = "tokens", "slots"  # stand beside the sums of an epoch's losses


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
        self,
        config: NextItemConfig | TrainConfig,
        network: Network,
        training: Shards[Batch],
        *,
        num_ranks: int = 1,
    ) -> None:
        super().__init__()
        self.config, self.network, self.training_data = config, network, training
        self.batches_per_epoch = batches_per_epoch(training, num_ranks=num_ranks)
        self.total_steps = config.epochs * self.batches_per_epoch
        self.latest: dict[str, Tensor] = {}  # losses of the latest step
        self.start_epoch(0)
        self.start_clock()

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Each head's loss by the name of its weight."""

    @abstractmethod
    def loss_weights(self) -> dict[str, float]:
        """How much each loss counts."""

    def start_epoch(self, epoch: int) -> None:
        """Forget the sums of the epoch before."""
        self.place = Place(epoch, 0)
        self.sums: dict[str, Tensor] = {}  # of this rank

    def start_clock(self) -> None:
        self.num_events = 0  # of this rank, since then
        self.started_at, self.seconds = time.monotonic(), 0.0

    @property
    def step(self) -> int:
        """Steps done, of all epochs."""
        return self.place.epoch * self.batches_per_epoch + self.place.batch

    def train_dataloader(self) -> Iterable[Batch]:
        batches = TrainingBatches(
            self.training_data,
            epoch=self.place.epoch,
            rank=self.global_rank,
            num_ranks=self.trainer.world_size,
            start=self.place.batch,
        )
        return torch.utils.data.DataLoader(batches, batch_size=None)

    def on_train_epoch_start(self) -> None:
        self.start_clock()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        torch.manual_seed(_seed_of(self.config.seed, self.global_rank, self.step))
        losses, weights = self.losses(batch), self.loss_weights()
        total = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        self.latest = {name: value.detach() for name, value in {"loss": total, **losses}.items()}
        sequences = batch.sequences
        tokens = len(sequences.instant_slots) + len(sequences.query_slots)
        self._add(**self.latest)
        self._add(
            **{
                TOKENS: total.new_tensor(tokens),
                SLOTS: total.new_tensor(sequences.is_query.numel()),
            }
        )
        self.num_events += len(sequences.event_items)
        self.place = Place(self.place.epoch, self.place.batch + 1)
        return total

    def optimizer_step(self, *step: Any, **options: Any) -> None:
        """The clock is read when all of the step is done: its losses, gradients and update."""
        super().optimizer_step(*step, **options)
        self.seconds = time.monotonic() - self.started_at

    def _add(self, **values: Tensor) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by norm, and keep the norm: a loss may be a number where its gradient is none."""
        assert gradient_clip_val is not None
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)
        self.latest[GRADIENT_NORM] = norm.detach()

    def training_means(self) -> dict[str, float]:
        """Mean losses of this rank's batches since the epoch began, and their share of padding."""
        sums = {name: float(value) for name, value in self.sums.items()}
        tokens, slots = sums.pop(TOKENS, 0.0), sums.pop(SLOTS, 0.0)
        count = max(self.place.batch, 1)
        means = {f"train/{name}": value / count for name, value in sums.items()}
        return {**means, "train/real_tokens": tokens / max(slots, 1.0)}

    def next_item_loss(self, instants: Tensor, batch: Batch) -> Tensor:
        """(I, D) -> (): at every instant, the items of the next one."""
        head, vectors = self.network.item_head, self.network.item_vectors()
        projected = head.project(instants)  # (I, D)
        targets, negatives = batch.next_items, batch.negatives
        loss = self.config.next_item_loss
        if isinstance(loss, FullSoftmax):
            return softmax_loss(projected, vectors, head.biases(), batch.next_instants, targets)
        positive = (projected[batch.next_instants] * vectors[targets]).sum(dim=1)  # (S,)
        scored: dict[str, Tensor] = {
            "positive": (positive + head.biases()[targets]).float(),
            "rows": batch.next_instants,
            "items": targets,
            "negative": linear(
                projected, vectors[negatives], head.bias[negatives]
            ).float(),  # (I, K)
            "negative_items": negatives,
            "log_inclusion": batch.log_inclusion,
        }
        if isinstance(loss, GBCE | InBatchGBCE):
            num_items = vectors.size(0) - 1
            return gbce_loss(**scored, num_items=num_items, calibration=loss.calibration)
        return sampled_softmax_loss(**scored)

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
        steps = max(self.total_steps, 3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.config.learning_rate,
            total_steps=steps,
            pct_start=max(0.1, 2 / steps),  # torch divides by the warm-up's steps less one
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _seed_of(*numbers: int) -> int:
    """A seed for torch that none of its neighbours shares."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
