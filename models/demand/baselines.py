"""What a forecast must beat: rules of one line, which have no training.

Each promise of a forecast has rules of its own. A median is least in absolute error, a mean in
squared error, p10 and p90 in pinball loss: a rule for one of them is no measure of another.
A rule never says less than 0, as a forecast does not. S series, D days, H days ahead.
"""

from collections.abc import Callable, Mapping

import numpy as np

from models.demand.calendar import WEEK
from models.demand.panel import Floats

LAST_YEAR_DAYS = 52 * WEEK  # the same weekday of a year before


def point_rules(units: Floats, horizon_days: int) -> Mapping[str, Floats]:
    """(S, D) net units before the origin -> name -> (S, H): one number for each day."""
    rules = {
        "zero": np.zeros((len(units), horizon_days)),
        "mean_28_days": np.repeat(units[:, -28:].mean(axis=1)[:, None], horizon_days, axis=1),
        "median_56_days": np.repeat(np.median(units[:, -56:], axis=1)[:, None], horizon_days, 1),
    }
    rules |= {
        name: weekday(units, weeks, horizon_days, how)
        for name, weeks, how in (
            ("seasonal_naive", 1, np.mean),
            ("weekday_mean_4_weeks", 4, np.mean),
            ("weekday_mean_8_weeks", 8, np.mean),
            ("weekday_median_4_weeks", 4, np.median),
            ("weekday_median_8_weeks", 8, np.median),
        )
        if units.shape[1] >= weeks * WEEK
    }
    if units.shape[1] >= LAST_YEAR_DAYS >= horizon_days:
        start = units.shape[1] - LAST_YEAR_DAYS
        rules["same_weekdays_last_year"] = units[:, start : start + horizon_days]
    return {name: np.maximum(ahead, 0.0) for name, ahead in rules.items()}


def quantile_rules(units: Floats, horizon_days: int, quantile: float) -> Mapping[str, Floats]:
    """(S, D) -> name -> (S, H): what was not exceeded in so many of the latest days."""

    def of(values: Floats, *, axis: int) -> Floats:
        found: Floats = np.quantile(values, quantile, axis=axis)
        return found

    rules = {
        "zero": np.zeros((len(units), horizon_days)),
        "quantile_56_days": np.repeat(of(units[:, -56:], axis=1)[:, None], horizon_days, axis=1),
    }
    if units.shape[1] >= 8 * WEEK:
        rules["weekday_quantile_8_weeks"] = weekday(units, 8, horizon_days, of)
    return {name: np.maximum(ahead, 0.0) for name, ahead in rules.items()}


def weekday(units: Floats, weeks: int, horizon_days: int, how: Callable[..., Floats]) -> Floats:
    """(S, D) -> (S, H): over the same weekday of the latest weeks."""
    by_week = units[:, -weeks * WEEK :].reshape(len(units), weeks, WEEK)
    ahead: Floats = how(by_week, axis=1)[:, np.arange(horizon_days) % WEEK]
    return ahead
