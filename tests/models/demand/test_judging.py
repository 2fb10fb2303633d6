"""How a forecast is judged: errors that can be pooled, and shares with ties told apart."""

from datetime import date

import numpy as np
import pytest

from models.demand.baselines import point_rules, quantile_rules
from models.demand.judging import Loss, Window, coverage, losses, pooled, wape
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
    said = point_rules(units, 8)

    assert said["seasonal_naive"][0].tolist() == [10, 0, 0, 0, 0, 0, 0, 10]
    assert said["weekday_mean_4_weeks"][0].tolist() == [4, 0, 0, 0, 0, 0, 0, 4]
    assert said["mean_28_days"][0].tolist() == [16 / 28] * 8


def test_a_rule_of_medians_and_of_quantiles_says_what_its_weeks_had():
    """Eight Mondays: one feast moves the mean, not the median; p90 is near the feast."""
    units = np.zeros((1, 56))
    units[0, ::7] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 100.0]
    said = point_rules(units, 7)

    assert said["weekday_median_8_weeks"][0].tolist() == [4.5, 0, 0, 0, 0, 0, 0]
    assert said["weekday_median_4_weeks"][0, 0] == 6.5
    assert said["weekday_mean_8_weeks"][0, 0] == 16.0
    assert not said["zero"].any()
    assert quantile_rules(units, 7, 0.9)["weekday_quantile_8_weeks"][0, 0] == pytest.approx(34.9)
    assert quantile_rules(units, 7, 0.1)["quantile_56_days"][0, 0] == 0.0


def test_the_weekdays_of_last_year_are_a_rule_where_the_log_has_that_year():
    """364 days before, so that a Monday is a Monday; a return is no forecast below 0."""
    units = np.arange(400.0)[None]
    units[0, 37] = -5.0

    assert point_rules(units, 7)["same_weekdays_last_year"][0].tolist() == [36, 0, *range(38, 43)]
    assert "same_weekdays_last_year" not in point_rules(units[:, :363], 7)


def test_every_loss_is_least_for_the_answer_that_it_judges():
    """Of lumpy sales the median is 0, the mean is not: each would lose by the other's measure."""
    sold = np.random.default_rng(0).negative_binomial(0.4, 0.1, (1, 20_000)).astype(float)
    window = Window(sold, np.ones(sold.shape, bool), np.ones((1, 1)))
    candidates = np.arange(0.0, 15.0, 0.1)

    def least(measure):
        costs = [losses(measure, np.full(sold.shape, one), window).share for one in candidates]
        return candidates[int(np.argmin(costs))]

    assert least("wape") == pytest.approx(np.median(sold), abs=0.11)
    assert least("mean_loss") == pytest.approx(sold.mean(), abs=0.11)
    assert least("p10_loss") == pytest.approx(np.quantile(sold, 0.1), abs=0.11)
    assert least("p90_loss") == pytest.approx(np.quantile(sold, 0.9), abs=0.11)


def test_what_comes_back_is_a_share_of_what_moved():
    """A window whose net is nothing, or less, has errors all the same."""
    window = Window(np.asarray([[5.0, -5.0]]), np.ones((1, 2), bool), np.ones((1, 1)))

    assert losses("wape", np.zeros((1, 2)), window).share == 1.0
    assert wape(np.zeros(2), np.asarray([5.0, -5.0]), np.ones(2, bool)) == (10.0, 10.0)


def test_a_day_is_one_observation_however_many_series_there_are():
    """A thousand series that all sell out on the same days are no surer than one."""
    rng = np.random.default_rng(0)
    beyond = (rng.random(28) < 0.1).astype(float)
    apart = (rng.random((1000, 28)) < 0.1).sum(axis=0).astype(float)
    one, all_alike, own = (
        Loss(over, np.full(28, num))
        for over, num in ((beyond, 1.0), (1000 * beyond, 1000.0), (apart, 1000.0))
    )

    assert all_alike.error_of_share(0.1) == pytest.approx(one.error_of_share(0.1), rel=0.1)
    assert one.error_of_share(0.1) >= np.sqrt(0.1 * 0.9 / 28)
    assert own.error_of_share(0.1) < 0.1 * one.error_of_share(0.1)


def test_what_judges_is_apart_from_what_calibrates_and_from_what_is_learnt():
    schedule = Schedule(date(2017, 11, 28), 28)

    assert schedule.label_limit == date(2017, 10, 3)
    assert schedule.calibration_origins()[0] == date(2017, 10, 3)
    assert schedule.calibration_origins()[-1] < schedule.calibration_end == date(2017, 10, 31)
    assert [day.day for day in schedule.judged_origins()] == [31, 7, 14, 21]
