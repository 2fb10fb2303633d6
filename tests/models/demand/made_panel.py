"""A small shop: items with a weekday's rhythm, in categories, over a year."""

from datetime import date

import numpy as np

from models.config import DemandConfig
from models.demand.calendar import Calendar
from models.demand.panel import Panel

FIRST = date(2017, 1, 1)
CALENDAR = Calendar.of([date(2017, 7, 4)], [date(2017, 12, 25)])
HORIZON = 28


def shop(num_items=12, num_days=330, seed=0, promotions=None):
    """Poisson counts around a level that falls by half on weekends."""
    rng = np.random.default_rng(seed)
    level = rng.gamma(2.0, 3.0, (num_items, 1))
    rhythm = np.where((np.arange(num_days) % 7) < 5, 1.3, 0.4)
    units = rng.poisson(level * rhythm).astype(np.float32)
    names = tuple(f"item {n:02}" for n in range(num_items))
    categories = ("", "BREAD", "MILK")
    return Panel(names, categories, np.arange(num_items) % 3, FIRST, units, promotions)


def config(**changes):
    encoder = {"kind": "lstm", "max_length": 8, "dim": 16, "num_layers": 1, "dropout": 0.0}
    values = {
        "encoder": encoder,
        "num_steps": 60,
        "batch_size": 64,
        "category_share": 0.3,
        "level_power": 0.5,
        "learning_rate": 0.01,
        "weight_decay": 0.01,
        "seed": 0,
    }
    return DemandConfig.model_validate({**values, **changes})
