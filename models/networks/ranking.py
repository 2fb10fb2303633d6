"""The best items of a catalogue for many users, never holding more than a chunk of their scores.

The catalogue is taken chunk by chunk: one matrix product, the chunk's share of the normaliser, and
its best items beside those found so far. A chunk is small enough to stay in a core's cache. Nothing
is sorted in full: the k best items of a chunk lie in the k blocks whose best items are best.

B users, D dim, V items of the catalogue and the unknown one (index 0), C pairs, k items wanted.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.networks.linear import product

BLOCK = 64  # items
CHUNK = 256 * BLOCK  # items
NOTHING = float("-inf")  # log weight of what is not there


@dataclass(frozen=True)
class Pairs:
    """Users of a batch and items, in any order."""

    users: Tensor  # (C,)
    items: Tensor  # (C,)

    def within(self, low: int, high: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The pairs whose item is in the half-open range, and their places in a chunk of it."""
        here = ((self.items >= low) & (self.items < high)).nonzero().squeeze(1)
        return here, (self.users[here], self.items[here] - low)


@dataclass(frozen=True)
class Best:
    items: Tensor  # (B, k) best first; 0, with probability 0, where there are not as many
    probabilities: Tensor  # (B, k)


class Catalogue:
    """What the items' scores are made of, laid out once for many batches."""

    def __init__(self, vectors: Tensor, biases: Tensor) -> None:
        """(V, D), (V,)"""
        gap = -len(biases) % BLOCK
        self.num_items = len(biases) - 1
        self.vectors = F.pad(vectors, (0, 0, 0, gap))  # whole blocks, of which the last
        self.biases = F.pad(biases, (0, gap), value=NOTHING)  # ends in items that weigh nothing


class Ranking:
    """Ranks batch after batch in the same memory: for one thread at a time."""

    def __init__(self, catalogue: Catalogue, hidden: Tensor, *, max_users: int, k: int) -> None:
        """(H,) items that are offered to nobody, the unknown one among them."""
        self.catalogue, self.hidden = catalogue, hidden
        self.k = min(k, catalogue.num_items)
        width = min(CHUNK, len(catalogue.biases))
        self._shares = catalogue.biases.new_empty(max_users * width)

    def best(self, wanted: Tensor, own: Pairs, own_weights: Tensor, excluded: Pairs) -> Best:
        """(B, D) what is multiplied with the items' vectors, (C,) log weights -> (B, k)

        ``own_weights`` are added to the catalogue's. An item that is excluded keeps its share of
        the probability and is not among the best.
        """
        B, biases = len(wanted), self.catalogue.biases
        total = wanted.new_full((B,), NOTHING)
        values = wanted.new_empty(B, 0)
        items = own.items.new_empty(B, 0)
        for low in range(0, len(biases), CHUNK):
            high = min(low + CHUNK, len(biases))
            logits = product(wanted, self.catalogue.vectors[low:high], biases[low:high])
            here, places = own.within(low, high)
            logits[places] = torch.logaddexp(logits[places], own_weights[here])
            # log sum exp by a faster kernel than its own: the greatest logit less its log share.
            shares = self._shares[: logits.numel()].view_as(logits)
            torch.softmax(logits, dim=1, out=shares)
            of_chunk = logits.amax(dim=1) - shares.amax(dim=1).log()  # (B,)
            total = torch.logaddexp(total, of_chunk)
            self._hide(logits, excluded, low, high)
            best = _best_of(logits, self.k)
            values = torch.cat([values, best.values], dim=1)
            items = torch.cat([items, best.indices + low], dim=1)
        kept = values.topk(self.k, dim=1)
        items = items.gather(1, kept.indices).where(kept.values > NOTHING, 0)  # (B, k)
        return Best(items, (kept.values - total[:, None]).exp())

    def _hide(self, logits: Tensor, excluded: Pairs, low: int, high: int) -> None:
        hidden = self.hidden[(self.hidden >= low) & (self.hidden < high)]
        logits[:, hidden - low] = NOTHING
        _, places = excluded.within(low, high)
        logits[places] = NOTHING


def _best_of(logits: Tensor, k: int) -> torch.return_types.topk:
    """(B, some blocks) -> the k best of each row, or all, best first."""
    blocks = logits.view(len(logits), -1, BLOCK)
    chosen = blocks.amax(dim=2).topk(min(k, blocks.size(1)), dim=1, sorted=False).indices
    inside = blocks.gather(1, chosen[:, :, None].expand(-1, -1, BLOCK)).flatten(1)
    best = inside.topk(min(k, inside.size(1)), dim=1)
    of_block = chosen.gather(1, best.indices // BLOCK)
    return torch.return_types.topk((best.values, of_block * BLOCK + best.indices % BLOCK))
