"""What was spent lately reaches the median of spend as money, not as a logarithm of it."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch

from models.config import load_train_config
from models.networks.heads import SpendHead
from models.networks.network import MAX_SPENT, Network
from models.sequences.batch import BatchBuilder, SequenceBatch
from models.sequences.history import Histories
from models.sequences.query_features import QUERY_FEATURES, SPENT_DAYS
from models.sequences.vocabulary import Encoder, Vocabulary

pytestmark = pytest.mark.torch
CUTOFF = date(2017, 6, 1)
CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "models"


@pytest.fixture
def asked(sequences, zone):
    """-> network, and a batch of users who pay so much every evening for a hundred days."""

    def made(**paid: float) -> tuple[Network, SequenceBatch]:
        days = [date.fromordinal(CUTOFF.toordinal() - day) for day in range(1, 101)]
        events = [
            (user, f"{day} 20:00", "a", amount) for user, amount in paid.items() for day in days
        ]
        histories = Histories.from_arrow(sequences(events))
        vocabulary = Vocabulary.of(histories, min_item_count=1)
        torch.manual_seed(0)
        network = Network(load_train_config(CONFIGS / "gru.yaml").encoder, vocabulary).eval()
        network.spend_scale.fill_(100.0)
        builder = BatchBuilder(histories, Encoder(vocabulary), max_length=128, zone=zone)
        users = np.arange(len(paid))
        batch, _ = builder.build(users, users, np.full(len(paid), CUTOFF.toordinal()))
        return network, batch

    return made


def test_every_span_says_what_four_weeks_cost_at_its_pace(asked):
    """Ten a day are 280 in four weeks, by whichever window or rate it is read."""
    network, batch = asked(u=10.0)

    (spent,) = network.spent_lately(batch).tolist()

    assert len(spent) == len(SPENT_DAYS) == 10
    assert all(QUERY_FEATURES[place].startswith("spend_") for place in SPENT_DAYS)
    assert spent == pytest.approx([2.8] * 10, rel=0.01)


def test_money_that_came_back_counts_against_it_and_no_sum_is_without_bound(asked):
    """A user of returns alone is below 0; one entry of millions does not drown the rest."""
    network, batch = asked(gave=-10.0, bought=10.0, whale=1e9)

    gave, bought, whale = network.spent_lately(batch)

    assert gave.tolist() == pytest.approx((-bought).tolist(), rel=1e-3)
    assert whale.tolist() == [MAX_SPENT] * 10


def test_the_median_follows_the_highest_spenders():
    """Of who spends ten times as much it begins at ten times as much."""
    torch.manual_seed(0)
    head = SpendHead(4, 6, num_spans=3, dropout=0.0)
    states, features = torch.zeros(2, 4), torch.zeros(2, 6)

    _, median = head(states, features, torch.tensor([[2.0, 2.0, 2.0], [20.0, 20.0, 20.0]]))

    assert (median[1] - median[0]).item() == pytest.approx(18.0, rel=1e-5)
