"""A network that has learnt nothing and yet behaves: random weights, but for one."""

import torch

from models.config import EncoderConfig
from models.networks.network import Network
from models.sequences.query_features import QUERY_FEATURES
from models.sequences.vocabulary import Vocabulary


def network_that_behaves(encoder: EncoderConfig, vocabulary: Vocabulary) -> Network:
    """Whose purchase score rises with the number of a user's events, and heeds nothing else.

    Random weights alone lower it after a purchase for about every other seed.
    """
    torch.manual_seed(1)
    network = Network(encoder, vocabulary)
    first, last = network.purchase.layers[1], network.purchase.layers[-1]
    with torch.no_grad():
        first.weight.zero_()
        first.bias.zero_()
        first.weight[:, encoder.dim + QUERY_FEATURES.index("lifetime_events")] = 0.1
        last.weight.fill_(0.1)
    return network
