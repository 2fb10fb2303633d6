"""Training the next-item head alone, judged by the item that was held out of each sequence."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from models.config import NextItemConfig
from models.networks.network import Network
from models.training.block_softmax import CPU_BLOCK, FEWEST_ROWS
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
    vectors = network.item_vectors()  # (V, D)
    B, V = states.size(0), vectors.size(0)
    size = max(FEWEST_ROWS, CPU_BLOCK // V)  # users whose logits stay in cache
    found: list[Tensor] = []
    for start in range(0, B, size):
        logits = network.item_head(states[start : start + size], vectors).float()  # (n, V)
        logits[:, 0] = -torch.inf
        truth = batch.truth[start : start + size]  # (n,)
        chosen = logits.gather(1, truth[:, None])  # (n, 1)
        ends = torch.tensor([start, start + size], device=states.device)
        first, last = torch.searchsorted(batch.seen_users, ends).tolist()
        users, items = batch.seen_users[first:last] - start, batch.seen_items[first:last]
        is_before = (logits[users, items] >= chosen[users, 0]) & (items != truth[users])
        seen_before = torch.bincount(users[is_before], minlength=len(truth))  # (n,)
        overall = (
            torch.ge(logits, chosen, out=logits).sum(dim=1).long() - 1
        )  # sums of floats: quick
        missed = (truth == 0) | ~torch.isfinite(chosen.squeeze(1))
        found.append(torch.stack([overall - seen_before, overall]).masked_fill(missed, V))
    return torch.cat(found, dim=1)


def ranking_metrics(ranks: list[Tensor]) -> Mapping[str, float]:
    """NDCG@10 and HR@10 of one held-out item a user; ``_unfiltered`` with what was seen before."""
    found: dict[str, float] = {}
    for name, places in zip(("", "_unfiltered"), torch.cat(ranks, dim=1).double(), strict=True):
        hits = places < TOP_K
        gains = torch.where(hits, 1.0 / torch.log2(places + 2.0), 0.0)
        found[f"ndcg{name}"] = float(gains.mean())
        found[f"hit_rate{name}"] = float(hits.double().mean())
    return found
