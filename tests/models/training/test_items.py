"""A training on item sequences alone: what it asks, what it never makes, how it is judged."""

import math
from typing import get_args

import numpy as np
import pytest
import torch

from benchmarks.item_sequences import histories_of
from models.config import (
    GBCE,
    FullSoftmax,
    InBatchGBCE,
    InBatchSoftmax,
    NextItemConfig,
    NextItemLoss,
    SampledSoftmax,
)
from models.networks.network import Network
from models.sequences.vocabulary import Vocabulary
from models.training import item_module
from models.training.epochs import TrainingBatches
from models.training.fit_items import fit_items, held_out_metrics
from models.training.item_data import HeldOut, ItemData
from models.training.item_module import NextItemTraining, ranking_metrics, ranks_of

pytestmark = pytest.mark.torch

CYCLE = "abcdefgh"


@pytest.fixture
def config(encoder_config) -> NextItemConfig:
    return NextItemConfig(
        encoder=encoder_config.model_copy(update={"max_length": 4}),
        next_item_loss=FullSoftmax(),
        min_item_count=1,
        batch_size=4,
        epochs=30,
        max_minutes=5,
        learning_rate=0.05,
        weight_decay=0.0,
        seed=0,
    )


def of(sequences: list[str], config: NextItemConfig) -> tuple[ItemData, Vocabulary]:
    histories = histories_of([list(items) for items in sequences])
    vocabulary = Vocabulary.of(histories, min_item_count=1)
    return ItemData(histories, vocabulary, config=config), vocabulary


def codes(vocabulary: Vocabulary, items: str) -> np.ndarray:
    return np.asarray([[*vocabulary.item_ids, item].index(item) + 1 for item in items])


def test_every_instant_but_the_last_asks_for_the_one_after_it(config):
    """Of a user's latest `max_length` + 1 items each but the first is a target, none is wasted."""
    data, vocabulary = of(["abcdef", "ba", "c"], config)

    batch = data.batch_of(data.users, np.random.default_rng(0))

    asked = batch.sequences.event_items[batch.next_instants].tolist()
    names = ["", *vocabulary.item_ids]
    assert data.users.tolist() == [0, 1]
    assert "".join(names[item] for item in asked) == "bcde" + "b"
    assert "".join(names[item] for item in batch.next_items.tolist()) == "cdef" + "a"


def test_without_queries_nothing_is_made_for_them(config):
    """Features and copy candidates of a log cost time and memory; here nobody asks for them."""
    data, _ = of(["abcdef", "ba"], config)
    batch = data.batch_of(data.users, np.random.default_rng(0))

    assert not batch.sequences.is_query.any()
    assert not {"features", "candidates"} & vars(data.builder).keys()


def test_batches_hold_at_least_85_percent_real_tokens(config):
    """Most users have few items and some very many, as in every shop."""
    rng = np.random.default_rng(0)
    lengths = np.minimum(2 + rng.geometric(0.2, size=2000) ** 2 // 8, 60)
    config = config.model_copy(
        update={"encoder": config.encoder.model_copy(update={"max_length": 60}), "batch_size": 16}
    )
    data, _ = of(["".join(rng.choice([*CYCLE], size=length)) for length in lengths], config)

    made = [batch.sequences for batch in TrainingBatches(data, epoch=0, rank=0, num_ranks=1)]

    real = sum(len(batch.instant_slots) for batch in made)
    assert real / sum(batch.is_query.numel() for batch in made) >= 0.85


def test_every_event_counts_alike_in_whichever_batch_it_is(config):
    """An epoch's mean loss is the mean over its events, though its batches are of like lengths."""
    data, vocabulary = of(["abcde", "bcdea", "abcd", "bcda", "ab", "ba", "cd", "dc"], config)
    nobody = HeldOut(data.builder.histories, vocabulary, np.zeros(8, np.int64), config=config)
    torch.manual_seed(0)
    network = Network(config.encoder, vocabulary).eval()
    module = NextItemTraining(config, network, data, nobody)

    def loss(*users: int) -> float:
        batch = data.batch_of(np.asarray(users), np.random.default_rng(0))
        return module.losses(batch)["next_item"].item()

    of_long, of_short = [loss(0, 1, 2, 3), loss(4, 5, 6, 7)]
    with torch.no_grad():
        batch = data.batch_of(data.users, np.random.default_rng(0))
        states = network(batch.sequences).flatten(0, 1)[batch.sequences.instant_slots]
        of_each = torch.nn.functional.cross_entropy(network.next_items(states), batch.next_items)

    assert len(batch.next_items) == 18  # 14 of them of the long
    assert (of_long + of_short) / 2 == pytest.approx(of_each.item(), rel=1e-5)


def test_what_follows_what_is_learnt(config):
    """Where each item has one successor, the held-out item is the first of the ranking."""
    starts = range(len(CYCLE))
    data, vocabulary = of([(CYCLE * 2)[start : start + 6] for start in starts], config)
    truth = codes(vocabulary, "".join((CYCLE * 2)[start + 6] for start in starts))
    held_out = HeldOut(data.builder.histories, vocabulary, truth, config=config)
    said: list[float] = []

    fitted = fit_items(
        data,
        held_out,
        vocabulary,
        config=config,
        on_epoch=lambda epoch, metrics: said.append(metrics["val/ndcg"]),
    )

    assert fitted.metrics["val/ndcg"] == max(said) > 0.95
    assert held_out_metrics(fitted.network, held_out)["ndcg"] == fitted.metrics["val/ndcg"]


def test_a_token_is_its_item_and_a_state_its_question(config):
    """What is the same beside every item would only drown it: it is nothing, and stays so."""
    data, vocabulary = of(["abcd", "bd"], config)
    held_out = HeldOut(data.builder.histories, vocabulary, codes(vocabulary, "da"), config=config)
    config = config.model_copy(update={"epochs": 2})

    fitted = fit_items(data, held_out, vocabulary, config=config, on_epoch=lambda *_: None)

    states = torch.randn(3, config.encoder.dim)
    torch.testing.assert_close(fitted.network.wanted_items(states), states)
    sequences = data.batch_of(data.users, np.random.default_rng(0)).sequences
    items = fitted.network.items.weight[sequences.event_items]
    torch.testing.assert_close(fitted.network.embed_instants(sequences), items)


def test_at_first_items_rank_by_how_often_they_were_seen(config):
    """Items begin small: what a network says of them at random is nothing beside their counts."""
    data, vocabulary = of(["a" * 20 + "c" * 9 + "b" * 4, "cb"], config)
    held_out = HeldOut(data.builder.histories, vocabulary, codes(vocabulary, "bc"), config=config)
    config = config.model_copy(update={"epochs": 1, "learning_rate": 1e-9})

    network = fit_items(data, held_out, vocabulary, config=config, on_epoch=lambda *_: None).network

    logits = network.next_items(torch.randn(100, config.encoder.dim))[:, 1:]  # (100, V)
    for places in logits.argsort(dim=1, descending=True).tolist():
        assert "".join(vocabulary.item_ids[place] for place in places) == "acb"


def test_a_long_history_is_cut_anywhere_and_a_short_one_nowhere(config):
    """What lies before the latest items is learnt from in other epochs; none is asked twice."""
    data, _ = of(["abcdefghabcd", "abcde", "ab"], config)  # 5 are read or asked of a user
    rng = np.random.default_rng(0)

    ends = np.stack([data.ends_of(data.users, rng) for _ in range(400)])  # (400, 3)

    counts = np.bincount(ends[:, 0], minlength=13)
    assert counts[:5].sum() == 0
    assert counts[5:].all()
    assert 200 < counts[12] < 260
    assert (ends[:, 1:] == [17, 19]).all()


LOSSES = (FullSoftmax, SampledSoftmax, InBatchSoftmax, GBCE, InBatchGBCE)


def test_the_list_of_losses_is_whole():
    """A loss that is not in this list would be offered and not checked."""
    assert set(get_args(get_args(NextItemLoss)[0])) == set(LOSSES)


@pytest.mark.parametrize(
    "loss",
    [
        SampledSoftmax(num_negatives=6),
        InBatchSoftmax(),
        GBCE(num_negatives=6, calibration=0.75),
        InBatchGBCE(calibration=0.75),
    ],
    ids=lambda loss: loss.kind,
)
def test_every_loss_teaches_what_follows_what(config, loss):
    """From a sample of the catalogue as from the whole of it."""
    config = config.model_copy(update={"next_item_loss": loss, "epochs": 60, "learning_rate": 0.02})
    starts = range(len(CYCLE))
    data, vocabulary = of([(CYCLE * 2)[start : start + 6] for start in starts], config)
    truth = codes(vocabulary, "".join((CYCLE * 2)[start + 6] for start in starts))
    held_out = HeldOut(data.builder.histories, vocabulary, truth, config=config)

    fitted = fit_items(data, held_out, vocabulary, config=config, on_epoch=lambda *_: None)

    assert fitted.metrics["val/ndcg"] > 0.95


@pytest.mark.parametrize("epochs", [1, 2, 10])
def test_a_training_of_any_number_of_steps_has_a_schedule(config, epochs):
    """Ten steps once divided by zero: a tenth of them is a warm-up of one."""
    data, vocabulary = of(["abc", "bcd"], config)
    held_out = HeldOut(data.builder.histories, vocabulary, codes(vocabulary, "da"), config=config)
    config = config.model_copy(update={"epochs": epochs})

    fitted = fit_items(data, held_out, vocabulary, config=config, on_epoch=lambda *_: None)

    assert 0 <= fitted.epoch < epochs


def test_the_weights_of_the_best_epoch_are_kept(config):
    """What cannot be learnt goes up and down; the last epoch is not the one that is kept."""
    rng = np.random.default_rng(2)
    data, vocabulary = of(["".join(rng.choice([*CYCLE], size=5)) for _ in range(24)], config)
    truth = rng.integers(1, len(CYCLE) + 1, size=24)
    held_out = HeldOut(data.builder.histories, vocabulary, truth, config=config)
    said: list[float] = []

    fitted = fit_items(
        data,
        held_out,
        vocabulary,
        config=config.model_copy(update={"epochs": 10, "learning_rate": 0.1}),
        on_epoch=lambda epoch, metrics: said.append(metrics["val/ndcg"]),
    )

    assert said[-1] < max(said)
    assert fitted.epoch == said.index(max(said))
    assert held_out_metrics(fitted.network, held_out)["ndcg"] == max(said)


@pytest.mark.parametrize("users_of_a_block", [1, 2, 3])
def test_seen_items_are_left_out_ties_come_first_and_strangers_last(
    config, users_of_a_block, monkeypatch
):
    """Of four equal items, two of them seen: place 1 of the unseen, place 3 of all."""
    monkeypatch.setattr(item_module, "CPU_BLOCK", 5 * users_of_a_block)
    monkeypatch.setattr(item_module, "FEWEST_ROWS", 1)
    data, vocabulary = of(["ab", "ab", "cd"], config)
    network = Network(config.encoder, vocabulary).eval()
    for parameter in network.item_head.parameters():
        torch.nn.init.zeros_(parameter)
    truth = np.append(codes(vocabulary, "ca"), 0)  # the third is not in the catalogue
    held_out = HeldOut(data.builder.histories, vocabulary, truth, config=config)

    with torch.inference_mode():
        (batch,) = held_out
        ranks = ranks_of(network, batch)

    assert batch.users.tolist() == [0, 1, 2]
    assert ranks.tolist() == [[1, 2, 5], [3, 3, 5]]  # `a` was seen by its user, and stays


def test_ndcg_and_hit_rate_by_hand():
    """Places 0 and 9 are hits, 10 is none."""
    metrics = ranking_metrics([torch.tensor([[0, 9, 10], [3, 10, 11]])])

    assert metrics["ndcg"] == pytest.approx((1 + 1 / math.log2(11)) / 3)
    assert metrics["hit_rate"] == pytest.approx(2 / 3)
    assert metrics["ndcg_unfiltered"] == pytest.approx(1 / math.log2(5) / 3)
    assert metrics["hit_rate_unfiltered"] == pytest.approx(1 / 3)
