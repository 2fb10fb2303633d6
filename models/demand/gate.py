"""A forecaster judged on days that have come since, beside simple rules and the champion.

A cell is a kind of series, items or categories, and a horizon: the nearest week, and all of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from models.demand.baselines import simple_forecasts
from models.demand.calibration import BEYOND
from models.demand.forecast import Forecaster, lens_of
from models.demand.judging import SHORT_DAYS, Coverage, best_of, bias, coverage, pooled, wape
from models.demand.panel import Floats, Panel
from models.demand.rule import DemandRule
from models.demand.schedule import Schedule

CHAMPION = "champion"


@dataclass(frozen=True)
class Cell:
    name: str  # items/7d
    wape: float
    others: Mapping[str, float]  # WAPE of each rule, and of the champion where there is one
    coverage: Coverage
    mean_wape: float
    mean_bias: float  # of all means together; 0.1: a tenth more than was sold

    @property
    def rules(self) -> dict[str, float]:
        return {name: value for name, value in self.others.items() if name != CHAMPION}

    @property
    def metrics(self) -> dict[str, float]:
        """As they are logged."""
        shares = {"below_p10": self.coverage.below, "above_p90": self.coverage.above}
        said = {"wape": self.wape, "inside": self.coverage.inside, **shares}
        said |= {"mean_wape": self.mean_wape, "mean_bias": self.mean_bias}
        said |= {f"wape_{name}": value for name, value in self.others.items()}
        return {f"{self.name}/{name}": value for name, value in said.items()}


def judge(
    forecaster: Forecaster, panel: Panel, cutoff: date, *, champion: Forecaster | None = None
) -> list[Cell]:
    """On the windows that closed last before the cutoff, which its training left alone."""
    horizon = forecaster.horizon_days
    origins = Schedule(cutoff, horizon).judged_origins()
    cells = []
    for days, chosen in ((SHORT_DAYS, origins), (horizon, origins[:1])):
        parts = [_window(forecaster, champion, panel, origin, days) for origin in chosen]
        for kind in ("items", "categories"):
            cells.append(_cell(f"{kind}/{days}d", [part[kind] for part in parts]))
    return cells


def reasons_against(cells: list[Cell], rule: DemandRule) -> list[str]:
    """Where the rule does not hold; nothing where it does. A number that is none holds nowhere."""
    reasons = []
    for cell in cells:
        name, best = best_of(cell.rules)
        limits = [(name, best, rule.max_ratio_to_rules)]
        if CHAMPION in cell.others:
            limits.append((CHAMPION, cell.others[CHAMPION], rule.max_ratio_to_champion))
        reasons += [
            f"{cell.name}: WAPE {cell.wape:.4f}, above {limit} x {value:.4f} of {other}"
            for other, value, limit in limits
            if not cell.wape <= limit * value
        ]
        limit = rule.max_mean_ratio_to_rules
        if not cell.mean_wape <= limit * best:
            reasons.append(
                f"{cell.name}: WAPE {cell.mean_wape:.4f} of the mean, "
                f"above {limit} x {best:.4f} of {name}"
            )
        if not abs(cell.mean_bias) <= rule.max_mean_bias:
            reasons.append(
                f"{cell.name}: the means together {cell.mean_bias:+.1%} off what was sold, "
                f"more than {rule.max_mean_bias:.0%}"
            )
        above, below = cell.coverage.above, cell.coverage.below
        if not abs(above - BEYOND) <= rule.max_tail_error:
            reasons.append(f"{cell.name}: {above:.3f} above p90, not {BEYOND} within the tolerance")
        if not below - BEYOND <= rule.max_tail_error:  # nothing lies below a p10 of nothing
            reasons.append(f"{cell.name}: {below:.3f} below p10, not {BEYOND} within the tolerance")
    return reasons


@dataclass(frozen=True)
class _Part:
    """One kind of series in one window."""

    said: Floats  # (S, H, 3)
    mean: Floats  # (S, H)
    others: Mapping[str, Floats]  # (S, H) each
    sold: Floats  # (S, H)
    known: Floats  # (S, H)


def _window(
    forecaster: Forecaster, champion: Forecaster | None, panel: Panel, origin: date, days: int
) -> dict[str, _Part]:
    before = panel.before(origin)
    lens = lens_of(panel, forecaster.config, forecaster.calendar, forecaster.horizon_days)
    series = np.arange(panel.num_series)
    sold, known = lens.truth(series, np.full(len(series), lens.place(origin)))
    forecast = forecaster.forecast(before, origin)
    others = dict(simple_forecasts(before.units, days))
    if champion is not None:
        others[CHAMPION] = champion.forecast(before, origin).quantiles[..., 1]
    kinds = {"items": slice(panel.num_items), "categories": slice(panel.num_items, None)}
    return {
        kind: _Part(
            forecast.quantiles[of, :days],
            forecast.mean[of, :days],
            {name: each[of, :days] for name, each in others.items()},
            sold[of, :days],
            known[of, :days],
        )
        for kind, of in kinds.items()
    }


def _cell(name: str, parts: list[_Part]) -> Cell:
    others = {
        other: pooled([wape(part.others[other], part.sold, part.known) for part in parts])
        for other in parts[0].others
    }
    return Cell(
        name=name,
        wape=pooled([wape(part.said[..., 1], part.sold, part.known) for part in parts]),
        others=others,
        coverage=coverage(
            np.concatenate([part.said for part in parts]),
            np.concatenate([part.sold for part in parts]),
            np.concatenate([part.known for part in parts]),
        ),
        mean_wape=pooled([wape(part.mean, part.sold, part.known) for part in parts]),
        mean_bias=pooled([bias(part.mean, part.sold, part.known) for part in parts]),
    )
