"""A forecaster as a folder: what is loaded forecasts what was saved."""

from datetime import date, timedelta

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from contracts.errors import ConfigError, DamagedModelError  # noqa: E402
from models.demand.artifact import load_forecaster, save_forecaster  # noqa: E402
from models.demand.calibration import Tails  # noqa: E402
from models.demand.forecast import Forecaster  # noqa: E402
from models.demand.network import DemandNetwork  # noqa: E402
from tests.models.demand.made_panel import CALENDAR, FIRST, HORIZON, config, shop  # noqa: E402


def saved(folder, *, sees_promotions=False):
    torch.manual_seed(0)
    network = DemandNetwork(config().encoder).eval()
    torch.nn.init.normal_(network.out.weight, std=0.5)
    tails = Tails(low=(1.0, 0.8, 1.2), high=(0.5, 1.0, 1.5))
    forecaster = Forecaster(network, config(), CALENDAR, HORIZON, tails, sees_promotions)
    save_forecaster(
        folder, forecaster, training_cutoff=date(2017, 9, 1), snapshot_ids={}, metrics={}
    )
    return forecaster


def test_what_is_loaded_forecasts_what_was_saved(tmp_path):
    """Weights, tails, calendar and horizon: all that a forecast needs; nothing is a pickle."""
    made, cutoff = saved(tmp_path), FIRST + timedelta(days=330)
    loaded = load_forecaster(tmp_path)
    before, after = (each.forecast(shop(), cutoff) for each in (made, loaded))

    np.testing.assert_array_equal(before.quantiles, after.quantiles)
    np.testing.assert_array_equal(before.mean, after.mean)
    assert {file.name for file in tmp_path.iterdir()} == {"manifest.json", "weights.safetensors"}


@pytest.mark.parametrize("sees_promotions", [True, False])
def test_a_plan_means_nothing_to_a_forecaster_that_learnt_from_none(tmp_path, sees_promotions):
    """Weights that no plan has trained would turn one into noise; a loaded one knows of it."""
    saved(tmp_path, sees_promotions=sees_promotions)
    loaded, cutoff = load_forecaster(tmp_path), FIRST + timedelta(days=330)
    plan = np.full((12, 358, 2), 0.5, np.float32)
    without, planned = (loaded.forecast(shop(promotions=p), cutoff) for p in (None, plan))

    assert np.array_equal(without.mean, planned.mean) == (not sees_promotions)


def test_a_folder_of_another_kind_is_refused(tmp_path):
    saved(tmp_path)
    (tmp_path / "manifest.json").write_text('{"config": {}}')

    with pytest.raises(ConfigError, match="as this code writes them"):
        load_forecaster(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("manifest.json", b"{" * 100_000, "Invalid JSON"),
        ("manifest.json", b'{"a": ', "Invalid JSON"),
        (
            "weights.safetensors",
            (1 << 60).to_bytes(8, "little"),
            "8 bytes, with a header of 1152921504606846976",
        ),
        ("weights.safetensors", b"\x80\x04K\x07.", "5 bytes, with a header of"),
    ],
    ids=["nested", "cut", "header", "pickle"],
)
def test_a_hostile_file_is_refused_by_name(tmp_path, name, content, found):
    """Exit code 3, and the process stands."""
    saved(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DamagedModelError) as raised:
        load_forecaster(tmp_path)

    assert str(raised.value).startswith(f"{tmp_path / name}: found {found}")


def test_weights_that_are_no_numbers_forecast_nothing(tmp_path):
    saved(tmp_path)
    state = load_file(tmp_path / "weights.safetensors")
    name = next(iter(state))
    state[name].view(-1)[0] = float("nan")
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(DamagedModelError, match=f"values of {name} NaN or infinite"):
        load_forecaster(tmp_path)
