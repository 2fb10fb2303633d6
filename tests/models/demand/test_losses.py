"""The losses: each is least at what it is to find."""

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from models.demand.losses import demand_loss, pinball  # noqa: E402
from models.demand.network import Answers  # noqa: E402


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_pinball_is_least_at_the_quantile(quantile):
    truth = torch.from_numpy(np.random.default_rng(0).gamma(2.0, 3.0, 4000))
    candidates = torch.linspace(0, 20, 401)
    costs = [pinball(value, truth, quantile).mean().item() for value in candidates]
    found = candidates[int(np.argmin(costs))].item()

    assert found == pytest.approx(np.quantile(truth, quantile), abs=0.1)


def test_the_mean_is_found_where_counts_spread():
    """The median of these is 0, their mean is 1."""
    truth = torch.tensor([[0.0, 0.0, 0.0, 4.0]])
    known = torch.ones_like(truth)

    def cost(mean):
        zero = torch.zeros_like(truth)
        return demand_loss(Answers(zero, zero, zero, zero + mean), truth, known).item()

    assert min((cost(mean), mean) for mean in (0.25, 0.5, 1.0, 2.0))[1] == 1.0


def test_a_day_that_is_not_known_costs_nothing():
    truth, known = torch.tensor([[1.0, 99.0]]), torch.tensor([[1.0, 0.0]])
    one = torch.ones_like(truth)

    assert demand_loss(Answers(one, one, one, one), truth, known).item() == pytest.approx(
        0.3, abs=1e-3
    )


def test_a_mean_is_found_where_some_of_it_comes_back():
    """Three sold and one returned: one a day, as the net is; no return outweighs all sales."""
    truth = torch.tensor([[3.0, 3.0, -2.0, 0.0]])
    huge = torch.tensor([[20.0, 1.0, 1.0, -1e6]])
    known = torch.ones_like(truth)

    def cost(mean, truth):
        zero = torch.zeros_like(truth)
        return demand_loss(Answers(zero, zero, zero, zero + mean), truth, known).item()

    assert min((cost(mean, truth), mean) for mean in (0.25, 0.5, 1.0, 2.0))[1] == 1.0
    assert cost(0.5, huge) - cost(0.25, huge) == pytest.approx(
        0.3 * (0.25 - (20 + 2 - 20) / 4 * np.log(2)), abs=0.01
    )
