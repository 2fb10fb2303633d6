"""What a network starts from before its first step: scales and frequencies of the training data."""

import numpy as np
import torch

from models.networks.heads import TiedHead
from models.networks.network import Network
from models.sequences.history import Floats, Ints
from models.sequences.labels import midnights
from models.training.shards import TrainingShards

NUM_SAMPLED = 4096  # queries that means and spreads are taken from
NEVER_VARIED = 1e30  # the spread of a feature that is not to be read; finite, as weights must be
SMALL = 0.02  # deviation of an item's numbers at first, as in BERT and SASRec's later versions


def prepare(network: Network, shards: TrainingShards) -> None:
    """Set the network's standardisation, spend scale and item frequencies, the same on any rank."""
    data = shards.sample()
    rng = np.random.default_rng([data.config.seed, 0, 0])
    users = rng.choice(data.users, size=min(NUM_SAMPLED, 8 * len(data.users)))
    days = data.earliest[users] + (
        rng.random(len(users)) * (data.latest - data.earliest[users] + 1)
    ).astype(np.int64)
    moments = midnights(days, data.zone)
    features = data.builder.query_features(users, moments)
    _standardise(network.feature_mean, network.feature_std, features)
    some = slice(0, 512)
    copies = data.builder.candidates.at(users[some], moments[some])
    _standardise(network.copy_mean, network.copy_std, copies.features)
    _, _, spend = data.labels.at(users, days)
    spend = np.maximum(spend[days + data.horizons.spend_days <= data.limit], 0.0)
    network.spend_scale.fill_(max(float(spend.mean()) if len(spend) else 1.0, 0.01))
    prepare_items(network, shards.item_counts)
    if network.event_type_head is not None:
        types = data.builder.events.event_types
        counts = np.bincount(types, minlength=len(network.event_type_head.bias))
        _start_at(network.event_type_head, counts.astype(np.int64))


def prepare_items(network: Network, item_counts: Ints) -> None:
    """(V,) -> items are as likely as they are frequent, until more is known."""
    frequency = _start_at(network.item_head, item_counts)
    known = frequency[1:] if len(frequency) > 1 else frequency
    popularity = (frequency - known.mean()) / max(float(known.std()), 1e-3)
    network.item_popularity.copy_(torch.from_numpy(popularity.astype(np.float32)))


def _start_at(head: TiedHead, counts: Ints) -> Floats:
    """(V,) -> (V,) the log share of each word, which is what the head says at first."""
    counted = counts.astype(np.float64) + 1.0
    frequency: Floats = np.log(counted / counted.sum())
    with torch.no_grad():
        head.bias.copy_(torch.from_numpy(frequency.astype(np.float32)))
    return frequency


def begin_with_items(network: Network) -> None:
    """Where items are all that is known: they begin small, and nothing else is read or turned.

    Category, event type, amount, quantity and gap are the same for every instant then: at random
    they drown the items, and what they learn holds for no item. An item's vector both is read and
    ranks: a long one begins with opinions that have to be unlearnt, and a projection between state
    and ranking is one more thing to learn by heart. docs/decisions/0026 has the measurement.
    """
    silenced = [*(table.weight for table in network.surroundings()), *network.instant.parameters()]
    for parameter in silenced:
        torch.nn.init.zeros_(parameter)
    torch.nn.init.normal_(network.items.weight, std=SMALL)
    project = network.item_head.project
    torch.nn.init.eye_(project.weight)
    torch.nn.init.zeros_(project.bias)
    for parameter in (*silenced, *project.parameters()):
        parameter.requires_grad_(False)


def _standardise(mean: torch.Tensor, std: torch.Tensor, values: np.ndarray) -> None:  # type: ignore[type-arg]
    """A feature that never varies where the training looks is 0 ever after.

    No weight of it was learnt: in a log that has just become a year long, the same weeks a year
    before would else speak at random.
    """
    if len(values):
        spread = values.std(axis=0, dtype=np.float64)
        is_constant = values.min(axis=0) == values.max(axis=0)
        mean.copy_(torch.from_numpy(values.mean(axis=0)))
        std.copy_(torch.from_numpy(np.where(is_constant, NEVER_VARIED, np.maximum(spread, 1e-3))))
