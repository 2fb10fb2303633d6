"""A trained network asked as of a cutoff: quantiles and means of every item and category.

Means add up. A category's own forecast sees the whole of it, the sum of its items' sees each of
them; halfway between errs less than either (combined forecasts of a hierarchy: Hollyman et al.,
2021, https://doi.org/10.1016/j.ejor.2021.04.034). Items are scaled to it in proportion, which is
least squares where variances grow with means, as those of counts do.

S series, H days, N items, C categories.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import torch

from models.config import DemandConfig
from models.demand.calendar import Calendar
from models.demand.calibration import Tails, stretched
from models.demand.network import DemandNetwork
from models.demand.panel import Floats, Ints, Panel
from models.demand.windows import Lens

BATCH = 1024  # windows that are asked at once
MEAN = 3  # its place among the network's answers, after the quantiles


@dataclass(frozen=True)
class Forecast:
    """Of a panel's items, then of its categories."""

    quantiles: Floats  # (S, H, 3) p10, p50, p90
    mean: Floats  # (S, H)

    def of(self, series: slice) -> "Forecast":
        return Forecast(self.quantiles[series], self.mean[series])


@dataclass(frozen=True)
class Forecaster:
    """What a training leaves, and all that a forecast needs beside the panel."""

    network: DemandNetwork
    config: DemandConfig
    calendar: Calendar
    horizon_days: int
    tails: Tails
    sees_promotions: bool  # it learnt from a plan; else a plan means nothing to it

    def forecast(self, panel: Panel, cutoff: date) -> Forecast:
        """As of the cutoff: calibrated, and adding up."""
        panel = panel if self.sees_promotions else panel.planned(None)
        lens = lens_of(panel, self.config, self.calendar, self.horizon_days)
        units = ask(self.network, lens, np.arange(panel.num_series), lens.place(cutoff))
        quantiles = stretched(units[..., :MEAN], self.tails, is_whole=is_whole(panel))
        return Forecast(quantiles, reconciled(units[..., MEAN], panel))


def lens_of(panel: Panel, config: DemandConfig, calendar: Calendar, horizon_days: int) -> Lens:
    return Lens(panel, calendar, num_weeks=config.encoder.max_length, horizon_days=horizon_days)


def ask(network: DemandNetwork, lens: Lens, series: Ints, origin: int) -> Floats:
    """(B,) -> (B, H, 4) p10, p50, p90 and mean in units, as the network has them."""
    found = []
    with torch.inference_mode():
        for begin in range(0, len(series), BATCH):
            chosen = series[begin : begin + BATCH]
            windows = lens.look(chosen, np.full(len(chosen), origin))
            answers = torch.stack([*network(windows)], dim=2)  # (B, H, 4)
            found.append((answers * windows.scale[:, None, None]).numpy())
    units = np.concatenate(found)
    units[:, lens.is_closed[origin : origin + lens.horizon_days]] = 0.0
    return units


def reconciled(mean: Floats, panel: Panel) -> Floats:
    """(S, H) -> (S, H) float64: categories halfway to their items, the items in proportion."""
    items = mean[: panel.num_items].astype(np.float64)
    summed = panel.summed(items)  # (C, H)
    wanted = (mean[panel.num_items :] + summed) / 2
    factor = np.divide(wanted, summed, out=np.zeros_like(summed), where=summed > 0)
    items = items * factor[panel.item_categories]
    return np.concatenate([items, panel.summed(items)])


def is_whole(panel: Panel) -> bool:
    """Are units counted in this panel, and not weighed?"""
    return bool((panel.item_units == np.rint(panel.item_units)).all())
