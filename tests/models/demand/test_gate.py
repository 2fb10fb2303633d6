"""The rule: every cell beside the best simple rule and the champion, the mean, and the tails."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from math import inf, nan

import numpy as np
import pytest

from models.demand.forecast import Forecast
from models.demand.gate import Cell, checks_of, comparisons_of, judge, plain, reasons_against
from models.demand.judging import MEASURES, Day, Loss
from models.demand.panel import Panel
from models.demand.rule import DemandRule

from .made_panel import CALENDAR, FIRST, HORIZON, config, shop

RULE = DemandRule(
    max_ratio_to_rules=1.0,
    max_ratio_to_champion=1.05,
    max_mean_bias=0.15,
    max_tail_error=0.05,
    confidence=0.95,
)
DAYS = 28


def loss(share, kind=Loss):
    """The same every day: no luck to allow for."""
    return kind(np.full(DAYS, share), np.ones(DAYS))


def of_many(share):
    return Day(np.full(DAYS, share * 1e9), np.full(DAYS, 1e9))


def cell(bias=0.1, above=0.1, below=0.1, at_least_high=0.1, at_most_low=0.1, **ours):
    """Every measure at 0.9 of the best rule's 1.0 unless told."""
    measured = {name: {"": loss(ours.pop(name, 0.9)), "other": loss(1.2)} for name in MEASURES}
    for name in measured:
        measured[name]["best"] = loss(1.0)
        if "champion" in ours:
            measured[name]["champion"] = loss(ours["champion"])
    shares = (of_many(share) for share in (above, at_least_high, below, at_most_low))
    return Cell("items/7d", measured, loss(bias, Day), *shares)


def reasons(*cells, rule=RULE):
    return reasons_against(checks_of(cells, rule))


def test_a_sound_cell_holds_and_every_check_of_it_is_told():
    """A refusal says what passed too: the table is whole."""
    checks = checks_of([cell()], RULE)

    assert [check.passed for check in checks] == [True] * 9
    assert {check.what for check in checks} >= {*MEASURES.values()}
    assert plain(checks)[0] == {
        "cell": "items/7d",
        "what": "absolute error of p50",
        "value": 0.9,
        "limit": 1.0,
        "against": "1 x 1.0000 of best",
        "passed": True,
    }


@pytest.mark.parametrize("measure", MEASURES)
def test_each_answer_is_held_to_the_best_rule_by_its_own_loss(measure):
    assert reasons(cell(**{measure: 1.1})) == [
        f"items/7d: {MEASURES[measure]} 1.1000, above 1.0000 (1 x 1.0000 of best)"
    ]


def test_a_difference_has_the_interval_that_its_days_allow():
    """Of the best rule and of the champion; half a tenth better on every other day is no more."""
    ours = Loss(np.tile([0.8, 1.0], DAYS // 2), np.ones(DAYS))
    measured = {"wape": {"": ours, "best": loss(1.0), "other": loss(1.2), "champion": loss(0.9)}}
    one = replace(cell(), losses=measured)

    of_rule, of_champion = comparisons_of([one], RULE)

    assert of_rule == {
        "cell": "items/7d", "measure": "wape", "against": "best", "value": 0.9,
        "against_value": 1.0, "difference": 0.1, "low": 0.0623, "high": 0.1377,
    }  # fmt: skip
    assert of_champion["against"] == "champion"
    assert of_champion["low"] < of_champion["difference"] == 0.0 < of_champion["high"]


def test_the_champion_may_be_missed_by_little():
    assert reasons(cell(champion=0.87)) == []
    assert len(reasons(cell(champion=0.8))) == len(MEASURES)
    assert "(1.05 x 0.8000 of champion)" in reasons(cell(champion=0.8))[0]


def test_the_means_together_may_not_miss_what_was_sold():
    for bias in (0.2, -0.2):
        assert reasons(cell(bias=bias)) == [
            "items/7d: the means together off what was sold by 0.2000, above 0.1500 (0.15)"
        ]


def test_a_tail_that_holds_too_much_or_too_little_is_a_reason():
    """A count may equal its quantile: p10 = 0 of what seldom sells has nothing below, all at it."""
    assert reasons(cell(below=0.0, at_most_low=0.9)) == []
    assert reasons(cell(above=0.04, at_least_high=0.3)) == []
    assert len(reasons(cell(below=0.2))) == 1
    assert len(reasons(cell(above=0.2))) == 1
    assert len(reasons(cell(above=0.01, at_least_high=0.01))) == 1
    assert len(reasons(cell(at_most_low=0.01))) == 1


@pytest.mark.parametrize("name", [*MEASURES, "bias", "above", "below", "champion"])
@pytest.mark.parametrize("number", [nan, inf])
def test_a_number_that_is_none_is_a_reason(name, number):
    """What cannot be compared has not won; and its verdict can be written as JSON."""
    told = cell(**{name: number}) if name != "champion" else cell(champion=nan)
    checks = checks_of([told], RULE)

    assert reasons_against(checks)
    assert any(row["value"] is None or row["limit"] is None for row in plain(checks))


def test_a_miss_that_so_few_days_may_bring_by_chance_is_none():
    """Worse by a tenth on the mean of 28 days that differ by more; on 28,000 it is one."""
    rng = np.random.default_rng(0)

    def measured(num_days):
        best, days = rng.gamma(1.0, 1.0, num_days), np.ones(num_days)
        ours = Loss(rng.permutation(best) + 0.1 * best.mean(), days)
        sound = cell()
        return replace(sound, losses={**sound.losses, "wape": {"": ours, "best": Loss(best, days)}})

    assert reasons(measured(28)) == []
    assert len(reasons(measured(280_000))) == 1


@dataclass(frozen=True)
class Rule:
    """A forecaster of the weekday mean and the weekday's own quantiles, its mean times a factor."""

    factor: float = 1.0
    horizon_days: int = HORIZON
    config: object = config()
    calendar: object = CALENDAR

    def forecast(self, panel: Panel, cutoff: date) -> Forecast:
        by_week = panel.units[:, -56:].reshape(len(panel.units), 8, 7)
        ahead = np.arange(HORIZON) % 7
        quantiles = np.quantile(by_week, (0.1, 0.5, 0.9), axis=1)[:, :, ahead]
        mean = by_week.mean(axis=1)[:, ahead]
        return Forecast(np.moveaxis(quantiles, 0, -1), mean * self.factor)


def end_of(panel):
    return FIRST + timedelta(days=panel.item_units.shape[1])


def test_a_forecaster_whose_mean_is_a_thousand_times_too_much_is_refused_in_every_cell():
    """With the very quantiles with which it passes."""
    panel = shop(num_items=40)
    lenient = RULE.model_copy(update={"max_ratio_to_rules": 1.2, "max_tail_error": 0.1})
    sound, wild = (
        checks_of(judge(Rule(factor), panel, end_of(panel)), lenient) for factor in (1.0, 1000.0)
    )

    assert reasons_against(sound) == []
    assert len(reasons_against(wild)) == 2 * 4  # its loss and its bias


def test_a_log_without_categories_has_no_cell_of_them():
    """All items together would be one series, judged a second time under another name."""
    panel = shop()
    bare = replace(panel, categories=("",), item_categories=np.zeros(12, np.int64))

    assert [one.name for one in judge(Rule(), bare, end_of(bare))] == ["items/7d", "items/28d"]
    assert len(judge(Rule(), panel, end_of(panel))) == 4


class Fortnight(Rule):
    """A champion of before the horizon was made longer."""

    def forecast(self, panel: Panel, cutoff: date) -> Forecast:
        whole = super().forecast(panel, cutoff)
        return Forecast(whole.quantiles[:, :14], whole.mean[:, :14])


def test_a_champion_of_a_shorter_horizon_is_compared_as_far_as_it_reaches():
    """Training at the new horizon is what the night advises: it must not end there."""
    panel = shop(num_items=6)

    cells = judge(Rule(), panel, end_of(panel), champion=Fortnight(horizon_days=14))

    assert [one.name for one in cells if "champion" in one.losses["wape"]] == [
        "items/7d",
        "categories/7d",
    ]


def test_where_nothing_was_sold_a_forecaster_is_refused_and_can_be_written_down():
    """A share of nothing is no number: it passes no check, and is not among the measures."""
    panel = shop(num_items=6)
    panel.item_units[:, -HORIZON:] = 0.0

    cells = judge(Rule(), panel, end_of(panel))

    assert reasons_against(checks_of(cells, RULE))
    assert all(np.isfinite(value) for one in cells for value in one.metrics.values())


def test_one_series_is_not_refused_for_a_day():
    """Of 28 days of one item, 28 / 10 may not be whole: chance alone decides who lies beyond."""
    refused = 0
    for seed in range(40):
        one = shop(num_items=1, seed=seed)
        one = replace(one, categories=("",), item_categories=np.zeros(1, np.int64))
        refused += bool(reasons_against(checks_of(judge(Truth(seed), one, end_of(one)), RULE)))

    assert refused <= 6


@dataclass(frozen=True)
class Truth(Rule):
    """Says the very distribution that `shop` draws from."""

    seed: int = 0
    factor: float = 1.0

    def __init__(self, seed: int) -> None:
        object.__setattr__(self, "seed", seed)

    def forecast(self, panel: Panel, cutoff: date) -> Forecast:
        from scipy import stats

        level = np.random.default_rng(self.seed).gamma(2.0, 3.0, (1, 1))
        first = (cutoff - FIRST).days
        days = np.arange(first, first + HORIZON)
        mean = np.repeat(level * np.where(days % 7 < 5, 1.3, 0.4), 2, axis=0)
        quantiles = np.stack([stats.poisson.ppf(q, mean) for q in (0.1, 0.5, 0.9)], axis=-1)
        return Forecast(quantiles, mean)


def test_a_shop_of_lumpy_items_and_of_returns_can_be_judged():
    """Nine in ten days sell nothing, some take back: zero is a rule, and no share is impossible."""
    rng = np.random.default_rng(1)
    panel = shop(num_items=60)
    units = (rng.random(panel.item_units.shape) < 0.05).astype(np.float32)
    units[rng.random(units.shape) < 0.01] = -1.0
    lumpy = replace(panel, item_units=units)
    lenient = RULE.model_copy(update={"max_ratio_to_rules": 1.5, "max_mean_bias": 0.5})
    checks = checks_of(judge(Rule(), lumpy, end_of(lumpy)), lenient)
    of_median = [check for check in checks if check.what == MEASURES["wape"]]

    assert all(np.isfinite([check.value, check.limit]).all() for check in checks)
    assert " 1.0000 of " in of_median[0].against  # what zero says, and the median
    assert [check for check in checks if " p90" in check.what and not check.passed] == []
