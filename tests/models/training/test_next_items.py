"""Negatives of the next-item head: which items are drawn, and how likely each was."""

from zoneinfo import ZoneInfo

import numpy as np
import pytest

from benchmarks.item_sequences import histories_of
from models.config import (
    GBCE,
    FullSoftmax,
    InBatchGBCE,
    InBatchSoftmax,
    NextItemLoss,
    SampledSoftmax,
)
from models.sequences.batch import BatchBuilder
from models.sequences.census import Census
from models.sequences.vocabulary import Encoder, Vocabulary
from models.training.next_items import NextItems

pytestmark = pytest.mark.torch

SEQUENCES = ["aaaaaaaa", "bbbb", "cc", "d"]  # items 1 to 4, the commonest first


def next_items(loss: NextItemLoss) -> NextItems:
    histories = histories_of([list(items) for items in SEQUENCES])
    vocabulary = Vocabulary.of(histories, min_item_count=1)
    builder = BatchBuilder(histories, Encoder(vocabulary), max_length=9, zone=ZoneInfo("UTC"))
    counts = vocabulary.counts(Census.of(histories))
    return NextItems(builder, item_counts=counts, loss=loss)


@pytest.mark.parametrize(
    ("loss", "shares"),
    [
        (SampledSoftmax(num_negatives=2, sampling_power=0.0), [1 / 4, 1 / 4, 1 / 4, 1 / 4]),
        (SampledSoftmax(num_negatives=2, sampling_power=1.0), [8 / 15, 4 / 15, 2 / 15, 1 / 15]),
        (GBCE(num_negatives=2, calibration=0.5), [1 / 4, 1 / 4, 1 / 4, 1 / 4]),
    ],
)
def test_an_item_is_among_the_negatives_as_often_as_is_said(loss, shares):
    """Over many batches each item's frequency is exp(log_inclusion) = 1 - (1 - share) ** 2."""
    drawn, rng, rounds = np.zeros(5), np.random.default_rng(0), 4000
    made = next_items(loss)
    said = {}
    for _ in range(rounds):
        items, log_inclusion = made.negatives(rng, np.asarray([1]))
        drawn[items] += 1
        said |= dict(zip(items.tolist(), np.exp(log_inclusion).tolist(), strict=True))

    expected = [1 - (1 - share) ** 2 for share in shares]
    np.testing.assert_allclose([said[item] for item in (1, 2, 3, 4)], expected, rtol=1e-6)
    np.testing.assert_allclose(drawn[1:] / rounds, expected, atol=0.03)


@pytest.mark.parametrize(
    "loss", [InBatchSoftmax(), InBatchGBCE(calibration=0.5)], ids=lambda loss: loss.kind
)
def test_in_a_batch_the_targets_are_the_negatives(loss):
    """Three targets, two items: each is as likely to be there as three draws by count make it."""
    items, log_inclusion = next_items(loss).negatives(
        np.random.default_rng(0), np.asarray([4, 1, 4])
    )

    assert items.tolist() == [1, 4]
    np.testing.assert_allclose(np.exp(log_inclusion), [1 - (7 / 15) ** 3, 1 - (14 / 15) ** 3])


def test_a_full_softmax_draws_nothing():
    """One item stands for the negatives that nothing reads."""
    items, _ = next_items(FullSoftmax()).negatives(np.random.default_rng(0), np.asarray([1]))

    assert items.tolist() == [1]
