"""Demand of Complete Journey by day, beside simple rules, AutoETS and AutoTheta.

    python -m benchmarks.demand --size small|full [--no-promotions] [--json FILE]

The 100 categories and the 500 products with the most units before a cutoff, 7 and 28 days ahead.
At each cutoff of the last quarter a forecaster is trained as the product trains it, for each seed,
and every rule is fitted anew. Each answer is measured by the loss that is least for it, beside the
rules that answer the same: p50 by its WAPE, the mean by squared errors weighed by the level of the
series, p10 and p90 by pinball losses. All are by day, pooled over the cutoffs, and the mean over
seeds. Days on which the shop was closed are known to all and count for none. ``ratio`` is to each
rule; the best of the cell is named so. Coverage is that of p10 to p90, a truth that equals one of
them inside.

Settings were chosen on cutoffs from July to September (`--validation`), which had all closed by the
first cutoff of the last quarter. AutoETS and AutoTheta live in an environment of their own, which
`make bench-demand` makes, and are left out of `--size small`.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.demand_data import YEAR, Sales, read_sales
from benchmarks.table import Row, ratio_row, show
from jobs.running.settings import PROJECT, Settings, load_settings
from jobs.running.spark import open_spark
from models.config import DemandConfig, load_demand_config
from models.demand.baselines import point_rules, quantile_rules
from models.demand.calendar import Calendar
from models.demand.fit import fit_forecaster
from models.demand.forecast import Forecast
from models.demand.judging import (
    MEASURES,
    SHORT_DAYS,
    Coverage,
    Loss,
    Window,
    best_of,
    coverage,
    losses,
    pooled,
    wape,
)
from models.demand.network import QUANTILES
from models.demand.panel import Floats, Ints

PEERS = PROJECT / ".venv-forecasters" / "bin" / "python"
TEST = tuple(date(2017, 10, 4) + timedelta(days=14 * n) for n in range(5))
VALIDATION = (date(2017, 7, 5), date(2017, 8, 2), date(2017, 8, 30))
SIZES = {"small": TEST[-1:], "full": TEST}
NUM_CATEGORIES, NUM_PRODUCTS = 100, 500


@dataclass(frozen=True)
class Case:
    """A kind of series at a cutoff: what was sold, what was said, by whom."""

    kind: str
    cutoff: date
    history: Floats  # (S, D)
    sold: Floats  # (S, H)
    known: np.ndarray  # (S, H) bool
    rules: dict[str, Floats] = field(default_factory=dict)  # of one number: name -> (S, H)
    models: list[Forecast] = field(default_factory=list)  # by seed

    @property
    def key(self) -> str:
        return f"{self.kind} {self.cutoff}"


row = partial(ratio_row, "demand", digits=4, ratio_digits=3)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.demand")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument(
        "--validation", action="store_true", help="the cutoffs that choose settings"
    )
    parser.add_argument("--no-promotions", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: small 0, full 0 1 2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    settings, is_full = load_settings(), options.size == "full"
    sales = read_sales(open_spark(settings, "benchmark"), settings)
    cutoffs = VALIDATION if options.validation else SIZES[options.size]
    cases = [case for cutoff in cutoffs for case in cases_at(sales, cutoff, settings)]
    if is_full:
        ask_peers(cases, settings.horizons.demand_days)
    config = load_demand_config(PROJECT / "configs" / "demand.yaml")
    seconds = []
    for seed in options.seeds or ([0, 1, 2] if is_full else [0]):
        for cutoff in cutoffs:
            here = [case for case in cases if case.cutoff == cutoff]
            seeded = config.model_copy(update={"seed": seed})
            begun = time.monotonic()
            forecast(sales, here, settings, seeded, with_promotions=not options.no_promotions)
            seconds.append(time.monotonic() - begun)
            said = {"seed": seed, "cutoff": str(cutoff), "seconds": round(seconds[-1], 1)}
            print(json.dumps({**said, **latest(here)}), flush=True)
    rows = rows_of(cases)
    rows.append(
        row("a cutoff", "training and forecast", "s", statistics.mean(seconds), 60.0, "wanted")
    )
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def cases_at(sales: Sales, cutoff: date, settings: Settings) -> list[Case]:
    horizon = settings.horizons.demand_days
    end = (cutoff - YEAR.start).days
    closed = Calendar.of((), settings.demand.closed_days).is_closed(cutoff, horizon)
    chosen = {
        f"{NUM_CATEGORIES} categories": sales.category_units[
            sales.most_sold_categories(cutoff, NUM_CATEGORIES)
        ],
        f"{NUM_PRODUCTS} products": sales.units[sales.most_sold(cutoff, NUM_PRODUCTS)],
    }
    cases = []
    for kind, units in chosen.items():
        history, sold = units[:, :end], units[:, end : end + horizon]
        known = np.broadcast_to(~closed, sold.shape)
        cases.append(Case(kind, cutoff, history, sold, known, dict(point_rules(history, horizon))))
    return cases


def ask_peers(cases: Sequence[Case], horizon_days: int) -> None:
    """Adds what AutoETS and AutoTheta say. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        histories, forecasts = Path(folder) / "histories.npz", Path(folder) / "forecasts.npz"
        arrays: dict[str, Any] = {case.key: case.history for case in cases}
        np.savez(histories, **arrays)
        arguments = [str(histories), str(forecasts), str(horizon_days)]
        command = [str(PEERS), "-m", "benchmarks.demand_peers", *arguments]
        subprocess.run(command, check=True, cwd=PROJECT)
        said = np.load(forecasts)
        for case in cases:
            for name in ("AutoETS", "AutoTheta"):
                case.rules[name] = said[f"{case.key} {name}"]


def forecast(
    sales: Sales,
    cases: Sequence[Case],
    settings: Settings,
    config: DemandConfig,
    *,
    with_promotions: bool,
) -> None:
    """Train as of the cases' cutoff and add what the model says of each."""
    cutoff = cases[0].cutoff
    products = sales.most_sold(cutoff, NUM_PRODUCTS)
    panel = sales.panel(
        cutoff,
        top_items=settings.series.top_items,
        wanted=products,
        with_promotions=with_promotions,
    )
    calendar = Calendar.of(settings.demand.holidays, settings.demand.closed_days)
    forecaster = fit_forecaster(
        panel,
        cutoff=cutoff,
        calendar=calendar,
        horizon_days=settings.horizons.demand_days,
        config=config,
        on_step=lambda step, loss: None,
    )
    said = forecaster.forecast(panel, cutoff)
    place = {name: number for number, name in enumerate(panel.item_ids)}
    series: list[Ints] = [
        panel.num_items + sales.most_sold_categories(cutoff, NUM_CATEGORIES),
        np.asarray([place[name] for name in sales.item_ids[products]]),
    ]
    for case, chosen in zip(cases, series, strict=True):
        case.models.append(Forecast(said.quantiles[chosen], said.mean[chosen]))


def latest(cases: Sequence[Case]) -> dict[str, float]:
    """The WAPE of the seed that came last, over the whole horizon."""
    return {
        c.kind: round(pooled([wape(c.models[-1].quantiles[..., 1], c.sold, c.known)]), 4)
        for c in cases
    }


def rows_of(cases: Sequence[Case]) -> list[Row]:
    rows: list[Row] = []
    for kind in dict.fromkeys(case.kind for case in cases):
        here = [case for case in cases if case.kind == kind]
        for days in (SHORT_DAYS, here[0].sold.shape[1]):
            rows += cell(here, f"{kind}, {days} days", days)
    return rows


def cell(cases: Sequence[Case], case: str, days: int) -> list[Row]:
    """Each answer beside the rules that answer the same, by the loss that is least for it."""
    rows = []
    for measure in MEASURES:
        rules = [rules_of(each, measure) for each in cases]
        names = [name for name in rules[0] if all(name in of_case for of_case in rules)]
        values = {
            name: joined(cases, measure, [of_case[name][:, :days] for of_case in rules], days=days)
            for name in names
        }
        ours = [
            joined(
                cases, measure, [answer(c.models[n], measure)[:, :days] for c in cases], days=days
            )
            for n in range(len(cases[0].models))
        ]
        best, _ = best_of(values)
        mean = statistics.mean(ours)
        what = "WAPE" if measure == "wape" else MEASURES[measure]
        rows += [
            row(case, what, "", mean, value, f"{name}, the best" if name == best else name)
            for name, value in sorted(values.items(), key=lambda item: item[1])
        ]
        if measure == "wape" and len(ours) > 1:
            deviation = statistics.stdev(ours)
            rows.append(row(case, "WAPE, deviation of seeds", "", deviation, mean, "its mean"))
    found = [spread(cases, n, days) for n in range(len(cases[0].models))]
    for measure, wanted in (
        ("inside", 0.8),
        ("strictly_inside", 0.8),
        ("below", 0.1),
        ("above", 0.1),
    ):
        share = statistics.mean(getattr(each, measure) for each in found)
        rows.append(
            row(case, f"p10 to p90, {measure.replace('_', ' ')}", "", share, wanted, "wanted")
        )
    return rows


def rules_of(case: Case, measure: str) -> dict[str, Floats]:
    """Name -> (S, H): medians answer for no mean, and quantiles have rules of their own."""
    horizon = case.sold.shape[1]
    if measure == "p10_loss":
        return dict(quantile_rules(case.history, horizon, QUANTILES[0]))
    if measure == "p90_loss":
        return dict(quantile_rules(case.history, horizon, QUANTILES[2]))
    is_mean = measure == "mean_loss"
    return {name: each for name, each in case.rules.items() if not is_mean or "median" not in name}


def answer(forecast: Forecast, measure: str) -> Floats:
    """(S, H) what the measure judges."""
    if measure == "mean_loss":
        return forecast.mean
    return forecast.quantiles[..., ("p10_loss", "wape", "p90_loss").index(measure)]


def joined(cases: Sequence[Case], measure: str, said: Sequence[Floats], *, days: int) -> float:
    """The loss of all cutoffs together."""
    windows = [
        Window.of_history(case.sold[:, :days], case.known[:, :days], case.history) for case in cases
    ]
    return Loss.joined([losses(measure, *pair) for pair in zip(said, windows, strict=True)]).share


def spread(cases: Sequence[Case], seed: int, days: int) -> Coverage:
    """Of all cutoffs together."""
    parts = [
        (c.models[seed].quantiles[:, :days], c.sold[:, :days], c.known[:, :days]) for c in cases
    ]
    return coverage(*(np.concatenate(part) for part in zip(*parts, strict=True)))


if __name__ == "__main__":
    main()
