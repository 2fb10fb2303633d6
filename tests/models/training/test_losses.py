"""Losses agree with plain sums in float64."""

import math

import numpy as np
import pytest
import torch

from models.config import ClassWeight, CrossEntropy, Focal
from models.training.losses import (
    LOWEST_LOG_MEAN,
    absolute_loss,
    binary_loss,
    gbce_loss,
    sampled_softmax_loss,
    tweedie_loss,
)

pytestmark = pytest.mark.torch

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(3, 6, generator=GENERATOR, dtype=torch.float64)
ROWS, ITEMS = torch.tensor([0, 0, 2]), torch.tensor([1, 4, 5])  # row 1 has no target


def chance(weights: list[float], item: int) -> float:
    return weights[item] / sum(weights)


def test_sampling_the_whole_catalogue_is_softmax_with_its_other_targets_left_out():
    """With every item surely in the sample, only a row's own targets differ from the full sum."""
    everything = torch.arange(6)
    weights = LOGITS.exp()
    row_0 = [
        -math.log(weights[0, item] / (weights[0].sum() - weights[0, other]))
        for item, other in ((1, 4), (4, 1))
    ]
    last = -math.log(chance(weights[2].tolist(), 5))

    loss = sampled_softmax_loss(
        positive=LOGITS[ROWS, ITEMS],
        rows=ROWS,
        items=ITEMS,
        negative=LOGITS,
        negative_items=everything,
        log_inclusion=torch.zeros(6, dtype=torch.float64),
    )

    assert loss.item() == pytest.approx((sum(row_0) / 2 + last) / 2)


def test_a_rarely_drawn_negative_stands_for_many():
    """A negative drawn with probability 1/4 weighs as four."""
    loss = sampled_softmax_loss(
        positive=torch.tensor([0.0]),
        rows=torch.tensor([0]),
        items=torch.tensor([9]),
        negative=torch.tensor([[0.0]]),
        negative_items=torch.tensor([3]),
        log_inclusion=torch.tensor([math.log(0.25)]),
    )

    assert loss.item() == pytest.approx(math.log(1 + 4))


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
@pytest.mark.parametrize("chances", [[0.1, 0.1, 0.1], [0.8, 0.05, 0.2]])
def test_gbce_is_the_papers_formula(calibration, chances):
    """Target by target, from equations 10 and 11 of gSASRec; a row's own target is no negative.

    Where some negatives are likelier than others, a rare one stands for the more.
    """
    negatives, num_items = [1, 3, 5], 40
    weights = [3 / chance / sum(1 / each for each in chances) for chance in chances]
    generator = torch.Generator().manual_seed(1)
    negative = torch.randn(3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    positive = torch.randn(3, generator=generator, dtype=torch.float64, requires_grad=True)
    rate = 3 / 39
    beta = rate * (calibration * (1 - 1 / rate) + 1 / rate)
    losses = []
    for place, row in enumerate(ROWS.tolist()):
        others = [
            (negative[row, column], weights[column])
            for column, name in enumerate(negatives)
            if name not in ITEMS[row == ROWS].tolist()
        ]
        refused = sum(-weight * (1 - other.sigmoid()).log() for other, weight in others)
        losses.append((refused - (positive[place].sigmoid() ** beta).log()) / (1 + len(others)))
    expected = ((losses[0] + losses[1]) / 2 + losses[2]) / 2

    loss = gbce_loss(
        positive,
        ROWS,
        ITEMS,
        negative,
        torch.tensor(negatives),
        torch.tensor(chances, dtype=torch.float64).log(),
        num_items=num_items,
        calibration=calibration,
    )

    torch.testing.assert_close(loss, expected)
    for found, truth in zip(
        torch.autograd.grad(loss, (positive, negative)),
        torch.autograd.grad(expected, (positive, negative)),
        strict=True,
    ):
        torch.testing.assert_close(found, truth)


def test_unknown_labels_count_in_no_mean():
    """A window that has not closed is nan, and neither adds to the loss nor to its count."""
    logits, labels = torch.tensor([0.3, -0.2, 5.0]), torch.tensor([1.0, 0.0, math.nan])
    expected = (math.log1p(math.exp(-0.3)) + math.log1p(math.exp(-0.2))) / 2

    assert binary_loss(logits, labels, CrossEntropy()).item() == pytest.approx(expected)


SAID = np.array([2.5, -1.5, 0.2, -0.4, 0.1, 9.0])
TRUTH = np.array([1.0, 1.0, 0.0, 0.0, 1.0, math.nan])


def test_a_class_weight_counts_positives_so_many_times():
    """Against plain float64: the mean over a list in which each positive stands three times."""
    p = 1 / (1 + np.exp(-SAID[:5]))
    own = -TRUTH[:5] * np.log(p) - (1 - TRUTH[:5]) * np.log(1 - p)
    times = np.where(TRUTH[:5] > 0.5, 3, 1)
    expected = np.repeat(own, times).mean()

    loss = binary_loss(torch.tensor(SAID), torch.tensor(TRUTH), ClassWeight(positive=3.0))

    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_the_focal_loss_counts_what_is_answered_well_for_less():
    """Against plain float64, equation 4 of Lin et al.: -(1 - p_t)^gamma log p_t."""
    p = 1 / (1 + np.exp(-SAID[:5]))
    p_true = np.where(TRUTH[:5] > 0.5, p, 1 - p)
    expected = np.mean(-((1 - p_true) ** 2.0) * np.log(p_true))
    logits = torch.tensor(SAID, requires_grad=True)

    loss = binary_loss(logits, torch.tensor(TRUTH), Focal(gamma=2.0))
    loss.backward()

    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert logits.grad[5] == 0.0
    assert logits.grad.isfinite().all()


def test_tweedie_by_hand():
    """y = 0 and y = 2 with means 1 and e, power 1.5."""
    log_mean, values = torch.tensor([0.0, 1.0]), torch.tensor([0.0, 2.0])
    expected = (2.0 + 2 * 2 * math.exp(-0.5) + 2 * math.exp(0.5)) / 2

    assert tweedie_loss(log_mean, values).item() == pytest.approx(expected)


@pytest.mark.parametrize("values", [[0.0, 0.0, 6.0, 2.0], [-1.5, 0.0, 8.0, 1.5], [-6.0, 8.0]])
def test_tweedie_is_least_at_the_mean_whatever_its_signs(values):
    """Of one mean for all rows: the mean of what came true, refunds among it."""
    log_means = torch.linspace(-9.0, 4.0, 2601, dtype=torch.float64)  # a hundredth apart, or less
    truth = torch.tensor(values, dtype=torch.float64)
    losses = torch.stack([tweedie_loss(each.expand(len(values)), truth) for each in log_means])

    assert log_means[losses.argmin()].exp().item() == pytest.approx(truth.mean().item(), rel=0.006)


def test_a_row_of_refunds_alone_pulls_no_further_than_the_lowest_mean():
    """Its loss had no least value: a network that learnt it by heart would fall for ever."""
    log_mean = torch.linspace(-40.0, 3.0, 200, requires_grad=True)
    loss = tweedie_loss(log_mean, torch.full((200,), -2.0))
    (gradient,) = torch.autograd.grad(loss, log_mean)

    assert torch.isfinite(loss)
    assert (gradient[log_mean < LOWEST_LOG_MEAN] >= 0).all()
    assert gradient.abs().max() < 1.0


def test_the_absolute_loss_is_smallest_at_the_median():
    """Of 0, 0, 1, 2 and 10 no single value is nearer than 1, and a window still open has no say."""
    values = torch.tensor([0.0, 0.0, 1.0, 2.0, 10.0, math.nan])

    def loss(said: float) -> float:
        before_softplus = torch.full((6,), math.log(math.expm1(said)))
        return absolute_loss(before_softplus, values).item()

    assert loss(1.0) == pytest.approx((1 + 1 + 0 + 1 + 9) / 5)
    assert loss(1.0) < min(loss(0.9), loss(1.1), loss(2.6))


@pytest.mark.parametrize(
    "loss", [CrossEntropy(), ClassWeight(positive=0.5), Focal(gamma=2.0)], ids=lambda one: one.kind
)
def test_a_loss_over_nothing_is_zero_and_still_has_a_gradient(loss):
    """A batch whose windows are all open must not stop a distributed step."""
    logits = torch.zeros(2, requires_grad=True)

    loss = binary_loss(logits, torch.full((2,), math.nan), loss)
    loss.backward()

    assert loss.item() == 0.0
    assert logits.grad.tolist() == [0.0, 0.0]
