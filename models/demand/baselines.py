"""What a forecast must beat: rules of one line, which have no training.

S series, D days, H days ahead.
"""

from collections.abc import Mapping

import numpy as np

from models.demand.calendar import WEEK
from models.demand.panel import Floats


def simple_forecasts(units: Floats, horizon_days: int) -> Mapping[str, Floats]:
    """(S, D) what was sold before the origin -> name -> (S, H)"""
    return {
        "seasonal_naive": weekday_mean(units, 1, horizon_days),
        "mean_28_days": np.repeat(units[:, -28:].mean(axis=1)[:, None], horizon_days, axis=1),
        "weekday_mean_4_weeks": weekday_mean(units, 4, horizon_days),
    }


def weekday_mean(units: Floats, weeks: int, horizon_days: int) -> Floats:
    """(S, D) -> (S, H): of the same weekday in the latest weeks."""
    by_week = units[:, -weeks * WEEK :].reshape(len(units), weeks, WEEK)
    ahead: Floats = by_week.mean(axis=1)[:, np.arange(horizon_days) % WEEK]
    return ahead
