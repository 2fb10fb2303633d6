"""The rule: every cell beside the best simple rule and the champion, the mean, and the tails."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from math import nan

import numpy as np
import pytest

from models.demand.forecast import Forecast
from models.demand.gate import Cell, judge, reasons_against
from models.demand.judging import Coverage
from models.demand.panel import Panel
from models.demand.rule import DemandRule

from .made_panel import CALENDAR, FIRST, HORIZON, config, shop

RULE = DemandRule(
    max_ratio_to_rules=1.0,
    max_ratio_to_champion=1.05,
    max_mean_ratio_to_rules=1.1,
    max_mean_bias=0.15,
    max_tail_error=0.05,
)


def changed(**values):
    return RULE.model_copy(update=values)


def cell(wape=0.9, above=0.1, below=0.1, mean_wape=1.05, mean_bias=0.1, **others):
    coverage = Coverage(below=below, above=above, at_low=0.0, at_high=0.0)
    rules = {"seasonal_naive": 1.2, "mean_28_days": 1.0, **others}
    return Cell("items/7d", wape, rules, coverage, mean_wape, mean_bias)


def test_the_best_of_the_rules_has_to_be_reached():
    assert reasons_against([cell()], RULE) == []
    assert reasons_against([cell(1.1)], RULE) == [
        "items/7d: WAPE 1.1000, above 1.0 x 1.0000 of mean_28_days"
    ]


def test_the_champion_may_be_missed_by_little():
    assert reasons_against([cell(champion=0.87)], RULE) == []
    assert reasons_against([cell(champion=0.8)], RULE) == [
        "items/7d: WAPE 0.9000, above 1.05 x 0.8000 of champion"
    ]


def test_a_tail_that_holds_too_much_or_too_little_is_a_reason():
    """Below p10 there may be nothing: what seldom sells has p10 = 0."""
    assert reasons_against([cell(below=0.0)], RULE) == []
    assert len(reasons_against([cell(below=0.2)], RULE)) == 1
    assert len(reasons_against([cell(above=0.2)], RULE)) == 1
    assert len(reasons_against([cell(above=0.01)], RULE)) == 1


def test_the_mean_has_limits_of_its_own():
    """It is what is summed to reorder, and no quantile says how good it is."""
    assert reasons_against([cell(mean_wape=1.2)], RULE) == [
        "items/7d: WAPE 1.2000 of the mean, above 1.1 x 1.0000 of mean_28_days"
    ]
    assert reasons_against([cell(mean_bias=0.2)], RULE) == [
        "items/7d: the means together +20.0% off what was sold, more than 15%"
    ]
    assert reasons_against([cell(mean_bias=-0.2)], RULE) == [
        "items/7d: the means together -20.0% off what was sold, more than 15%"
    ]


@pytest.mark.parametrize("name", ["wape", "above", "below", "mean_wape", "mean_bias", "champion"])
def test_a_number_that_is_none_is_a_reason(name):
    """What cannot be compared has not won."""
    assert len(reasons_against([cell(**{name: nan})], RULE)) == 1


@dataclass(frozen=True)
class Means:
    """A forecaster of the mean of four weeks, with tails about it, times a factor."""

    factor: float = 1.0
    horizon_days: int = HORIZON
    config: object = config()
    calendar: object = CALENDAR

    def forecast(self, panel: Panel, cutoff: date) -> Forecast:
        mean = np.repeat(panel.units[:, -28:].mean(axis=1)[:, None], HORIZON, axis=1)
        return Forecast(np.stack([mean * 0.5, mean, mean * 1.5], axis=-1), mean * self.factor)


def test_a_forecaster_whose_mean_is_a_thousand_times_too_much_is_refused_in_every_cell():
    """With the very quantiles with which it passes."""
    panel = shop()
    cutoff = FIRST + timedelta(days=panel.units.shape[1])
    lenient = changed(max_ratio_to_rules=3.0, max_mean_ratio_to_rules=3.0, max_tail_error=1.0)
    sound, wild = (judge(Means(factor), panel, cutoff) for factor in (1.0, 1000.0))
    reasons = reasons_against(wild, lenient)

    assert reasons_against(sound, lenient) == []
    assert [replace(one, mean_wape=0.0, mean_bias=0.0) for one in wild] == [
        replace(one, mean_wape=0.0, mean_bias=0.0) for one in sound
    ]
    assert len(reasons) == 2 * len(wild) == 8
