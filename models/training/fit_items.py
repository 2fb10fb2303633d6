"""Fitting the next-item head on item sequences alone, in one process."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import lightning as L
import torch
from lightning.pytorch.callbacks import Timer
from torch import Tensor

from models.config import NextItemConfig
from models.networks.network import Network
from models.sequences.vocabulary import Vocabulary
from models.training.item_data import HeldOut, ItemData
from models.training.item_module import NextItemTraining, ranking_metrics, ranks_of
from models.training.preparation import begin_with_items, prepare_items

OnEpoch = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True)
class FittedItems:
    network: Network  # of the best epoch, by NDCG@10 of the held-out items
    epoch: int
    metrics: dict[str, float]  # of that epoch


class BestEpoch(L.Callback):
    """After each epoch: validate, keep the weights of the best, and tell whoever listens."""

    def __init__(self, on_epoch: OnEpoch) -> None:
        self.on_epoch = on_epoch
        self.epoch, self.metrics, self.state = -1, {"val/ndcg": -1.0}, dict[str, Tensor]()

    def on_validation_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, NextItemTraining)
        metrics = {
            **module.training_means(),
            **module.validation_metrics(),
            "train/seconds": module.seconds,
            "train/events_per_second": module.num_events / max(module.seconds, 1e-3),
        }
        if metrics["val/ndcg"] > self.metrics["val/ndcg"]:
            self.epoch, self.metrics = trainer.current_epoch, metrics
            self.state = copy.deepcopy(module.network.state_dict())
        module.start_epoch(trainer.current_epoch + 1)
        self.on_epoch(trainer.current_epoch, metrics)


def fit_items(
    data: ItemData,
    validation: HeldOut,
    vocabulary: Vocabulary,
    *,
    config: NextItemConfig,
    on_epoch: OnEpoch,
) -> FittedItems:
    """Train for ``config.epochs``, or for ``config.max_minutes`` if that is sooner."""
    L.seed_everything(config.seed, verbose=False)
    network = Network(config.encoder, vocabulary)
    prepare_items(network, data.next_items.counts)
    begin_with_items(network)
    module = NextItemTraining(config, network, data, validation)
    best = BestEpoch(on_epoch)
    on_gpu = torch.cuda.is_available()
    trainer = L.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=1,
        precision="bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true",
        max_epochs=config.epochs,
        gradient_clip_val=1.0,
        reload_dataloaders_every_n_epochs=1,  # an epoch's batches are drawn from its number
        num_sanity_val_steps=0,
        callbacks=[best, Timer(timedelta(minutes=config.max_minutes), interval="epoch")],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module)
    network.load_state_dict(best.state)
    return FittedItems(network.eval(), best.epoch, best.metrics)


@torch.inference_mode()
def held_out_metrics(network: Network, held_out: HeldOut) -> dict[str, float]:
    device = next(network.parameters()).device
    return dict(ranking_metrics([ranks_of(network, batch.to(device)) for batch in held_out]))
