"""How a forecast is judged: errors that can be pooled, and shares with ties told apart."""

from datetime import date

import numpy as np
import pytest

from models.demand.baselines import simple_forecasts
from models.demand.judging import coverage, pooled, wape
from models.demand.schedule import Schedule


def test_wapes_are_pooled_by_units_and_not_by_window():
    known = np.asarray([True, True, False])
    much = wape(np.asarray([90.0, 90.0, 0.0]), np.asarray([100.0, 100.0, 50.0]), known)
    little = wape(np.asarray([2.0, 0.0, 0.0]), np.asarray([1.0, 1.0, 9.0]), known)

    assert much == (20.0, 200.0)
    assert pooled([much, little]) == pytest.approx(22 / 202)


def test_a_truth_that_equals_a_quantile_lies_inside_but_not_strictly():
    quantiles = np.tile([1.0, 2.0, 4.0], (5, 1))
    found = coverage(quantiles, np.asarray([0.0, 1.0, 3.0, 4.0, 5.0]), np.ones(5, bool))

    assert (found.below, found.above) == (0.2, 0.2)
    assert found.inside == pytest.approx(0.6)
    assert found.strictly_inside == pytest.approx(0.2)


def test_rules_read_the_weekday_of_the_day_they_forecast():
    """Sold on one weekday only: every weekday rule says so, the flat one spreads it."""
    units = np.zeros((1, 28))
    units[0, [0, 7, 14, 21]] = [1.0, 2.0, 3.0, 10.0]
    said = simple_forecasts(units, 8)

    assert said["seasonal_naive"][0].tolist() == [10, 0, 0, 0, 0, 0, 0, 10]
    assert said["weekday_mean_4_weeks"][0].tolist() == [4, 0, 0, 0, 0, 0, 0, 4]
    assert said["mean_28_days"][0].tolist() == [16 / 28] * 8


def test_what_judges_is_apart_from_what_calibrates_and_from_what_is_learnt():
    schedule = Schedule(date(2017, 11, 28), 28)

    assert schedule.label_limit == date(2017, 10, 3)
    assert schedule.calibration_origins()[0] == date(2017, 10, 3)
    assert schedule.calibration_origins()[-1] < schedule.calibration_end == date(2017, 10, 31)
    assert [day.day for day in schedule.judged_origins()] == [31, 7, 14, 21]
