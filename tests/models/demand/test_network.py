"""What the demand network promises with every encoder of the project."""

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from models.demand.network import DemandNetwork  # noqa: E402
from models.demand.windows import Lens  # noqa: E402
from tests.models.demand.made_panel import CALENDAR, HORIZON, config, shop  # noqa: E402

SHARED = {"max_length": 8, "dim": 16, "num_layers": 1, "dropout": 0.0}
ENCODERS = [
    {"kind": "lstm", **SHARED},
    {"kind": "gru", **SHARED},
    {"kind": "cnn", "kernel_size": 3, **SHARED},
    {"kind": "transformer", "num_heads": 2, **SHARED},
]


@pytest.fixture(params=ENCODERS, ids=lambda encoder: encoder["kind"])
def network(request):
    torch.manual_seed(0)
    made = DemandNetwork(config(encoder=request.param).encoder).eval()
    torch.nn.init.normal_(made.out.weight, std=2.0)  # as far from its start as training may go
    return made


def windows():
    lens = Lens(shop(), CALENDAR, num_weeks=8, horizon_days=HORIZON)
    return lens.look(np.arange(15), np.full(15, 200))


def test_quantiles_never_cross_and_nothing_is_below_zero(network):
    """Whatever the weights are."""
    low, middle, high, mean = network(windows())

    assert low.shape == (15, HORIZON)
    assert (low >= 0).all()
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert (mean >= 0).all()


def test_every_week_of_the_context_moves_the_forecast(network):
    asked = windows()
    changed = asked.weeks.clone()
    changed[:, 4] += 1.0  # what all encoders reach, however few their layers are

    assert not torch.allclose(network(asked).p50, network(asked._replace(weeks=changed)).p50)


def test_other_series_of_the_batch_change_nothing(network):
    asked = windows()
    alone = type(asked)(*(part[3:4] for part in asked))

    torch.testing.assert_close(network(alone).p50, network(asked).p50[3:4], atol=1e-4, rtol=1e-4)
