"""What the network is shown: nothing from the origin on but plans, all in the series' own level."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

pytestmark = pytest.mark.torch
pytest.importorskip("torch")

from models.demand.windows import NUM_DAY, NUM_SERIES, NUM_WEEK, Lens  # noqa: E402
from tests.models.demand.made_panel import CALENDAR, HORIZON, shop  # noqa: E402

ORIGIN = 200


def lens(panel):
    return Lens(panel, CALENDAR, num_weeks=8, horizon_days=HORIZON)


def look(panel):
    series = np.arange(panel.num_series)
    return lens(panel).look(series, np.full(len(series), ORIGIN))


def test_shapes_are_those_that_the_network_is_built_for():
    windows = look(shop())

    assert windows.weeks.shape == (15, 8, NUM_WEEK)
    assert windows.series.shape == (15, NUM_SERIES)
    assert windows.days.shape == (15, HORIZON, NUM_DAY)


def test_no_day_from_the_origin_on_is_seen():
    """What is sold on the origin or later changes nothing; the day before changes something."""
    panel = shop()
    later, earlier = panel.item_units.copy(), panel.item_units.copy()
    later[:, ORIGIN:] += 50
    earlier[:, ORIGIN - 1] += 50
    seen = look(panel)

    for before, after in zip(seen, look(replace(panel, item_units=later)), strict=True):
        np.testing.assert_array_equal(before, after)
    assert not np.allclose(seen.weeks, look(replace(panel, item_units=earlier)).weeks)


def test_a_plan_is_seen_ahead():
    plan = np.zeros((12, 330 + HORIZON, 2), np.float32)
    plan[0, ORIGIN + 3, 0] = 1.0
    promoted, plain = look(shop(promotions=plan)), look(shop(promotions=np.zeros_like(plan)))
    differs = (promoted.days != plain.days).any(dim=2)[0]

    assert differs.nonzero().ravel().tolist() == [3]


def test_twice_the_units_look_alike_at_twice_the_scale():
    """Weeks and days are in levels of the series; only its facts know how much that is."""
    panel = shop()
    once, twice = look(panel), look(replace(panel, item_units=4 * panel.item_units))
    busy = once.scale > 3

    np.testing.assert_allclose(twice.scale[busy] / once.scale[busy], 4.0, rtol=0.05)
    np.testing.assert_allclose(twice.weeks[busy], once.weeks[busy], atol=0.06)


def test_the_truth_counts_where_it_is_known_and_the_doors_were_open():
    panel = shop(num_days=370)
    units, known = lens(panel).truth(np.asarray([0]), np.asarray([355]))
    christmas = (date(2017, 12, 25) - panel.first_day).days - 355

    assert known[0].tolist() == [n != christmas and 355 + n < 370 for n in range(HORIZON)]
    np.testing.assert_array_equal(units[0, :15], panel.item_units[0, 355:370])
