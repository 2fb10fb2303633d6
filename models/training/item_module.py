"""Training the next-item head alone, judged by the item that was held out of each sequence."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from models.config import NextItemConfig
from models.networks.network import Network
from models.training.item_data import Held, HeldOut, ItemBatch, ItemData
from models.training.steps import Steps

TOP_K = 10


class NextItemTraining(Steps[ItemBatch]):
    training_data: ItemData

    def __init__(
        self, config: NextItemConfig, network: Network, training: ItemData, validation: HeldOut
    ) -> None:
        super().__init__(config, network, training)
        self.validation = validation
        self.ranks: list[Tensor] = []

    def loss_weights(self) -> dict[str, float]:
        return {"next_item": 1.0}

    def losses(self, batch: ItemBatch) -> dict[str, Tensor]:
        states = self.network(batch.sequences).flatten(0, 1)  # (B * T, D)
        instants = states[batch.sequences.instant_slots]  # (I, D)
        # Batches are of like lengths, so a mean would count the events of short users most.
        mean_size = self.training_data.asked_per_user * self.config.batch_size
        share = len(batch.sequences.instant_slots) / mean_size
        return {"next_item": self.next_item_loss(instants, batch) * share}

    def val_dataloader(self) -> Iterable[Held]:
        return torch.utils.data.DataLoader(self.validation, batch_size=None)

    def on_validation_epoch_start(self) -> None:
        self.ranks = []

    def validation_step(self, batch: Held, batch_idx: int) -> None:
        self.ranks.append(ranks_of(self.network, batch))

    def validation_metrics(self) -> dict[str, float]:
        return {f"val/{name}": value for name, value in ranking_metrics(self.ranks).items()}


def ranks_of(network: Network, batch: Held) -> Tensor:
    """-> (2, B) the held-out item's place from 0, among items not seen before, and among all.

    An item that ties with it comes before it; an item outside the catalogue comes last.
    """
    states = network(batch.sequences).flatten(0, 1)[batch.latest]  # (B, D)
    logits = network.next_items(states)  # (B, V)
    logits[:, 0] = -torch.inf
    chosen = logits.gather(1, batch.truth[:, None])  # (B, 1)
    overall = (logits >= chosen).sum(dim=1) - 1  # (B,)
    logits[batch.seen_users, batch.seen_items] = -torch.inf
    logits.scatter_(1, batch.truth[:, None], chosen)  # the truth stays, if it was seen before
    unseen = (logits >= chosen).sum(dim=1) - 1
    missed = (batch.truth == 0) | ~torch.isfinite(chosen.squeeze(1))
    return torch.stack([unseen, overall]).masked_fill(missed, logits.size(1))


def ranking_metrics(ranks: list[Tensor]) -> Mapping[str, float]:
    """NDCG@10 and HR@10 of one held-out item a user; ``_unfiltered`` with what was seen before."""
    found: dict[str, float] = {}
    for name, places in zip(("", "_unfiltered"), torch.cat(ranks, dim=1).double(), strict=True):
        hits = places < TOP_K
        gains = torch.where(hits, 1.0 / torch.log2(places + 2.0), 0.0)
        found[f"ndcg{name}"] = float(gains.mean())
        found[f"hit_rate{name}"] = float(hits.double().mean())
    return found
