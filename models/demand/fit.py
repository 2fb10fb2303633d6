"""Train a forecaster on a panel: windows drawn at random, then the tails of its quantiles.

A window's origin is any day whose label window has begun before the limit; days from the limit on
count for nothing. Half a minute on one core: there is nothing to resume, and no second device.
"""

from collections.abc import Callable
from datetime import date

import numpy as np
import torch
from torch import nn

from models.config import DemandConfig
from models.demand.calendar import WEEK, Calendar
from models.demand.calibration import Tails, fit_tails
from models.demand.forecast import MEAN, Forecaster, ask, is_whole, lens_of
from models.demand.losses import demand_loss
from models.demand.network import DemandNetwork
from models.demand.panel import Floats, Ints, Panel
from models.demand.schedule import Schedule
from models.demand.windows import Lens

FIRST_ORIGIN = 9 * WEEK  # days of the panel that the earliest window has behind it
LEVEL_DAYS = 182  # over which the units that draw a series are counted
WARM_UP = 0.1  # of the steps
MAX_NORM = 1.0  # of the gradient
LEAST_UNITS = 1e-4  # a day, so that a series without a sale can be drawn
SAY_EVERY = 100  # steps

OnStep = Callable[[int, float], None]  # steps done, mean loss since the last call


def fit_forecaster(
    panel: Panel,
    *,
    cutoff: date,
    calendar: Calendar,
    horizon_days: int,
    config: DemandConfig,
    on_step: OnStep,
) -> Forecaster:
    """Learns and calibrates on days before the cutoff, and leaves the last window to the judge."""
    schedule = Schedule(cutoff, horizon_days)
    known = panel.before(schedule.calibration_end)
    lens = lens_of(known, config, calendar, horizon_days)
    network = fit(lens, lens.place(schedule.label_limit), config=config, on_step=on_step)
    tails = calibrate(network, lens, schedule)
    sees_promotions = panel.item_promotions is not None
    return Forecaster(network, config, calendar, horizon_days, tails, sees_promotions)


def calibrate(network: DemandNetwork, lens: Lens, schedule: Schedule) -> Tails:
    """The tails that fit the windows from the label limit on."""
    series = np.arange(lens.panel.num_series)
    said, sold, known = [], [], []
    for day in schedule.calibration_origins():
        origin = lens.place(day)
        said.append(ask(network, lens, series, origin)[..., :MEAN])
        units, is_known = lens.truth(series, np.full(len(series), origin))
        sold.append(units)
        known.append(is_known)
    return fit_tails(
        np.concatenate(said),
        np.concatenate(sold),
        np.concatenate(known),
        is_whole=is_whole(lens.panel),
    )


def fit(lens: Lens, limit: int, *, config: DemandConfig, on_step: OnStep) -> DemandNetwork:
    """A network that learnt from the days before ``limit``, an index of the panel's days."""
    rng = np.random.default_rng(config.seed)
    torch.manual_seed(config.seed)
    network = DemandNetwork(config.encoder)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.num_steps, pct_start=WARM_UP
    )
    draw = Draw(lens, limit, config, rng)
    losses = []
    for step in range(1, config.num_steps + 1):
        series, origins = draw.batch()
        windows = lens.look(series, origins)
        units, known = lens.truth(series, origins)
        known &= origins[:, None] + np.arange(lens.horizon_days) < limit
        truth = torch.from_numpy(units) / windows.scale[:, None]
        loss = demand_loss(network(windows), truth, torch.from_numpy(known.astype(np.float32)))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), MAX_NORM)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % SAY_EVERY == 0 or step == config.num_steps:
            on_step(step, sum(losses) / len(losses))
            losses = []
    return network.eval()


class Draw:
    """Series in proportion to a power of what they sell, origins uniformly."""

    def __init__(
        self, lens: Lens, limit: int, config: DemandConfig, rng: np.random.Generator
    ) -> None:
        self.config, self.rng, self.num_items = config, rng, lens.panel.num_items
        recent = (
            lens.units[:, max(0, limit - LEVEL_DAYS) : limit].mean(axis=1).clip(0) + LEAST_UNITS
        )
        self.items = self._chances(recent[: self.num_items])
        self.categories = self._chances(recent[self.num_items :])
        self.origins = np.arange(FIRST_ORIGIN, limit - WEEK + 1)

    def batch(self) -> tuple[Ints, Ints]:
        """-> (B,) series, (B,) origins"""
        size = self.config.batch_size
        is_category = self.rng.random(size) < self.config.category_share
        items = self.rng.choice(self.num_items, size, p=self.items)
        categories = self.rng.choice(len(self.categories), size, p=self.categories)
        series = np.where(is_category, self.num_items + categories, items)
        return series, self.rng.choice(self.origins, size)

    def _chances(self, units: Floats) -> Floats:
        weights = units.astype(np.float64) ** self.config.level_power
        chances: Floats = weights / weights.sum()
        return chances
