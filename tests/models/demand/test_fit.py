"""A training: it learns what is there to learn, and only from before its limit."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from models.demand.baselines import point_rules  # noqa: E402
from models.demand.fit import fit_forecaster  # noqa: E402
from models.demand.judging import coverage, wape  # noqa: E402
from tests.models.demand.made_panel import (  # noqa: E402
    CALENDAR,
    FIRST,
    HORIZON,
    config,
    shop,
)

CUTOFF = date(2017, 10, 25)  # day 297 of the panel


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fitted(panel, **changes):
    return fit_forecaster(
        panel.before(CUTOFF),
        cutoff=CUTOFF,
        calendar=CALENDAR,
        horizon_days=HORIZON,
        config=config(**changes),
        on_step=lambda step, loss: None,
    )


def test_it_beats_the_rules_on_what_it_has_not_seen():
    """Counts with a rhythm: the median of the model against last week and the four-week means."""
    panel = shop(num_items=40)
    end = (CUTOFF - FIRST).days
    said = fitted(panel, num_steps=120).forecast(panel.before(CUTOFF), CUTOFF)
    sold = panel.item_units[:, end : end + HORIZON]
    known = np.ones(sold.shape, bool)
    errors = {
        name: wape(each, sold, known)[0]
        for name, each in point_rules(panel.item_units[:, :end], HORIZON).items()
    }
    ours = wape(said.quantiles[:40, :, 1], sold, known)[0]

    assert ours < 0.97 * min(errors.values())
    assert 0.75 < coverage(said.quantiles[:40], sold, known).inside < 0.92


def test_means_add_up_over_the_category_and_closed_days_sell_nothing():
    """To the last digit that a float64 has; quantiles do not cross."""
    panel = shop()
    forecaster = replace(fitted(panel, num_steps=3), calendar=CALENDAR)
    christmas = date(2017, 12, 25)
    said = forecaster.forecast(shop(num_days=350), FIRST + timedelta(days=350))
    closed = (christmas - FIRST).days - 350
    items, categories = said.mean[:12], said.mean[12:]

    for place in range(3):
        np.testing.assert_allclose(items[place::3].sum(axis=0), categories[place], rtol=1e-12)
    assert (said.mean[:, closed] == 0).all()
    assert (said.quantiles[:, closed] == 0).all()
    assert (np.diff(said.quantiles, axis=2) >= 0).all()


def test_no_day_of_the_judged_window_reaches_the_training():
    """Nor does one from the label limit on reach the weights: other sales there change nothing."""
    panel = shop()
    end = (CUTOFF - FIRST).days
    judged, held_out = panel.item_units.copy(), panel.item_units.copy()
    judged[:, end - HORIZON :] += 30
    held_out[:, end - 2 * HORIZON :] += 30
    plain = fitted(panel, num_steps=5)

    def same_weights(one, other):
        pairs = zip(one.network.parameters(), other.network.parameters(), strict=True)
        return all(torch.equal(a, b) for a, b in pairs)

    after = fitted(replace(panel, item_units=judged), num_steps=5)
    assert same_weights(plain, after)
    assert plain.tails == after.tails
    after = fitted(replace(panel, item_units=held_out), num_steps=5)
    assert same_weights(plain, after)
    assert plain.tails != after.tails


def test_units_that_came_back_are_learnt_from_and_answered_by_numbers_of_at_least_nothing():
    """80,995 units bought on a day and returned on the next, an item of returns, a day below 0."""
    panel = shop()
    units = panel.item_units.copy()
    units[0, [200, 201]] = [80_995.0, -80_995.0]
    units[1, -90:] = -3.0
    units[2, ::5] -= 20.0
    forecaster = fitted(replace(panel, item_units=units), num_steps=20)
    said = forecaster.forecast(replace(panel, item_units=units).before(CUTOFF), CUTOFF)

    assert all(torch.isfinite(weight).all() for weight in forecaster.network.parameters())
    assert np.isfinite(said.quantiles).all()
    assert np.isfinite(said.mean).all()
    assert (said.quantiles >= 0).all()
    assert (said.mean >= 0).all()
    assert said.mean[0].sum() < 80_995  # a cancelled order is no demand
