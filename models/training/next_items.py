"""What follows each instant of a batch, and which items are sampled beside it.

I instants of a batch, E events, S pairs of an instant and an item of the next one, K negatives,
V items of the catalogue and the unknown one.
"""

import numpy as np
from numpy.typing import NDArray

from models.config import GBCE, FullSoftmax, InBatch, NextItemLoss, SampledSoftmax
from models.sequences.batch import BatchBuilder, Layout, ranges
from models.sequences.history import Ints


def following(builder: BatchBuilder, layout: Layout) -> tuple[Ints, Ints]:
    """(S,) places of instants and (S,) events of the next, for those whose next is in it too."""
    users = builder.instants.users[layout.instants]
    follows = np.zeros(len(users), dtype=bool)
    follows[1:] = users[1:] == users[:-1]
    owners = np.repeat(np.arange(len(users)), layout.event_counts)
    keep = follows[owners]
    return owners[keep] - 1, layout.events[keep]


class NextItems:
    def __init__(self, builder: BatchBuilder, *, item_counts: Ints, loss: NextItemLoss) -> None:
        """``item_counts`` (V,): events of each item in the whole log."""
        self.builder, self.counts, self.loss = builder, item_counts, loss
        weights = self.counts.astype(np.float64) ** _power(loss)
        weights[0] = 0.0
        self.sampling = np.cumsum(weights / max(weights.sum(), 1.0))

    def within(self, layout: Layout) -> tuple[Ints, Ints]:
        """(S,) places of instants and (S,) items of the next, for those whose next is in it too."""
        places, events = following(self.builder, layout)
        items = self.builder.events.items[events]
        return places[items > 0], items[items > 0]

    def after(self, layout: Layout) -> tuple[Ints, Ints]:
        """(S,) places of instants and (S,) items of the next; each must have a next of its user."""
        following = layout.instants + 1
        starts = self.builder.instants.starts
        events, places = ranges(starts[following], starts[following + 1])
        items = self.builder.events.items[events]
        return places[items > 0], items[items > 0]

    def negatives(
        self, rng: np.random.Generator, targets: Ints
    ) -> tuple[Ints, NDArray[np.float32]]:
        """(S,) -> (K,) items that ascend and differ, (K,) log of the chance that each is among them

        A full softmax has none: one item that nothing reads stands for them.
        """
        count = self._num_drawn(targets)
        if not count or not self.counts[1:].any():
            return np.ones(1, dtype=np.int64), np.zeros(1, dtype=np.float32)
        if isinstance(self.loss, InBatch):
            items = np.unique(targets)
        else:
            drawn = np.searchsorted(self.sampling, rng.random(count), side="right")
            items = np.unique(np.clip(drawn, 1, len(self.sampling) - 1))
        chance = np.diff(self.sampling, prepend=0.0)[items]
        inclusion = -np.expm1(count * np.log1p(-np.minimum(chance, 1.0 - 1e-12)))
        return items.astype(np.int64), np.log(inclusion).astype(np.float32)

    def _num_drawn(self, targets: Ints) -> int:
        match self.loss:
            case FullSoftmax():
                return 0
            case InBatch():
                return len(targets)
            case SampledSoftmax() | GBCE():
                return self.loss.num_negatives


def _power(loss: NextItemLoss) -> float:
    """An item is drawn in proportion to its count to this power; a batch's own, as it is seen."""
    match loss:
        case SampledSoftmax():
            return loss.sampling_power
        case GBCE():
            return 0.0
        case InBatch() | FullSoftmax():
            return 1.0
