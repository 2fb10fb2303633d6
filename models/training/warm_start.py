"""Going on from the weights of an earlier version, with more items than it knew.

Old items, categories and event types keep their numbers. A new item starts as the mean of its
category's items, so it is ranked through its category before anything was learnt of it.

V items of the catalogue and the unknown one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from contracts.errors import ConfigError
from models.networks.network import Network
from models.sequences.vocabulary import Vocabulary
from models.training.preparation import NEVER_VARIED

BIAS = "item_head.bias"
# What begins afresh where the version's log had but one event type, or no texts.
AS_NEEDED = ("event_type_head.", "texts.")
SPEND = ("spend.", "spend_scale")  # begin afresh where nothing was ever paid for in its log
STANDARDS = (("feature_mean", "feature_std"), ("copy_mean", "copy_std"))
OF_THE_DATA = ("item_categories", "item_popularity")  # said anew by every training's own data


@dataclass(frozen=True)
class Start:
    """A trained network to go on from."""

    name: str  # registered model and version, for people
    vocabulary: Vocabulary
    state: Mapping[str, Tensor]


def start_from(network: Network, start: Start) -> None:
    """Put the old weights into a network prepared for the grown vocabulary. Raises ConfigError.

    A feature that never varied in the version's log, and was 0 to it, is read as this log has it.
    """
    state: dict[str, Tensor] = network.state_dict()
    prepared = {name: state[name].clone() for pair in STANDARDS for name in pair}
    new = {name: value for name, value in state.items() if _is_learnt_on(name, start)}
    wrong = sorted(
        {*new} ^ {name for name in start.state if _is_learnt_on(name, start)}
        | {name for name, value in new.items() if not _grows(start.state.get(name), value)}
    )
    if wrong:
        raise ConfigError(
            f"--from {start.name}",
            found=f"other weights in {', '.join(wrong[:5])}",
            expected="a version of this code and of this encoder",
            do="Train without --from, or go on from a newer version.",
        )
    categories, bias = network.item_categories, new[BIAS]
    known = start.vocabulary.num_items + 1
    # A new item's bias is its frequency, on the scale that the old ones have come to have.
    bias[known:] += (start.state[BIAS][1:] - bias[1:known]).mean()
    for name, value in new.items():
        old = start.state[name]
        value[: len(old)].copy_(old) if value.ndim else value.copy_(old)
        if value.ndim == 0 or len(old) == len(value):
            continue
        if name == "items.weight":
            value[known:] = of_their_categories(old, categories[:known], categories[known:])
        elif name != BIAS:
            value[len(old) :] = old[1:].mean(dim=0)
    for mean, std in STANDARDS:
        never_varied = start.state[std] == NEVER_VARIED
        for name in (mean, std):
            state[name][never_varied] = prepared[name][never_varied]


def of_their_categories(vectors: Tensor, known: Tensor, wanted: Tensor) -> Tensor:
    """(V, D), (V,), (N,) -> (N, D): the mean vector of each wanted category, else of all items."""
    count = int(torch.cat([known, wanted]).max()) + 1
    sums = torch.zeros(count, vectors.size(1)).index_add(0, known[1:], vectors[1:])
    sizes = torch.bincount(known[1:], minlength=count)
    means = sums / sizes.clamp(min=1)[:, None]
    means[sizes == 0] = vectors[1:].mean(dim=0)
    return means[wanted]


def _is_learnt_on(name: str, start: Start) -> bool:
    """Does the weight go on from the version's?"""
    if name.startswith(AS_NEEDED):
        return name in start.state
    if name.startswith(SPEND):
        return start.vocabulary.has_amounts
    return name not in OF_THE_DATA


def _grows(old: Tensor | None, new: Tensor) -> bool:
    """Is the new tensor the old one, or the old one with rows added?"""
    if old is None or old.ndim != new.ndim:
        return False
    return old.shape[1:] == new.shape[1:] and (new.ndim == 0 or len(old) <= len(new))
