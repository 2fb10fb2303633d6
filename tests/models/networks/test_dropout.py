"""Dropout with cheap coins: what is kept, how much, and that a seed says which."""

import pytest
import torch

from models.networks.dropout import Dropout

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("asked", [0.1, 0.2, 0.5, 0.9])
def test_as_many_are_dropped_as_asked_and_the_mean_stays(asked):
    """Of a million numbers, wherever they stand among the four of a draw."""
    torch.manual_seed(0)

    made = Dropout(asked)(torch.ones(250_000, 4))

    dropped = (made == 0).double().mean(dim=0)  # (4,) of each place
    deviation = (asked * (1 - asked) / 250_000) ** 0.5
    assert (dropped - asked).abs().max() < 4 * deviation
    assert made.double().mean().item() == pytest.approx(1.0, abs=0.01)
    assert made.unique().tolist() == pytest.approx([0.0, 1 / (1 - asked)], rel=1e-3)


@pytest.mark.parametrize("asked", [5e-6, 1 - 5e-6, 1.0])
def test_a_share_that_16_bits_cannot_say_is_left_to_torch(asked):
    """Neither all is dropped for want of a level, nor is anything divided by none."""
    torch.manual_seed(0)

    made = Dropout(asked)(torch.ones(2_000_000))

    assert (made == 0).double().mean().item() == pytest.approx(asked, abs=1e-5)


def test_coins_of_neighbours_are_independent():
    """Four coins come from one draw; two of them fall alike as often as two of any draws."""
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(250_000, 4)) > 0).double()

    found = torch.corrcoef(kept.T).fill_diagonal_(0.0)

    assert found.abs().max() < 0.01


def test_a_seed_says_which_are_dropped():
    """A training that goes on after a kill must drop what the undisturbed one drops."""
    x, dropout = torch.ones(7, 5), Dropout(0.5)
    torch.manual_seed(3)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(3)

    torch.testing.assert_close(dropout(x), first)
    assert not torch.equal(first, second)


def test_the_gradient_goes_where_the_number_went():
    """What was dropped has no gradient, what was kept that of its scale."""
    torch.manual_seed(0)
    x = torch.randn(100, requires_grad=True)

    made = Dropout(0.3)(x)
    made.sum().backward()

    torch.testing.assert_close(x.grad * x.detach(), made.detach())


def test_nothing_is_dropped_outside_training():
    """A night's scores hold no chance."""
    x = torch.randn(5)

    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
