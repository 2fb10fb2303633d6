"""A forecaster judged on days that have come since, beside simple rules and the champion.

A cell is a kind of series, items or categories, and a horizon: the nearest week, and all of it. In
each, p50, the mean, p10 and p90 are held each to the best of the rules that answer the same, by the
loss that is least for it (`losses`); the mean, all told, to what was sold; the tails to a tenth.

Every limit leaves room for luck. What a day brings (weather, a feast) it brings to all series, so a
day is one observation, however many series there are: the room is `confidence` of a normal with the
standard error over days. For a tail it is never less than that of as many independent draws.

S series, H days, D days of all windows of a cell together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from statistics import NormalDist
from typing import Any

import numpy as np

from models.demand.baselines import point_rules, quantile_rules
from models.demand.calibration import BEYOND
from models.demand.forecast import Forecast, Forecaster, lens_of
from models.demand.judging import MEASURES, SHORT_DAYS, Day, Loss, Window, losses
from models.demand.network import QUANTILES
from models.demand.panel import Floats, Panel
from models.demand.rule import DemandRule
from models.demand.schedule import Schedule

CHAMPION = "champion"


@dataclass(frozen=True)
class Check:
    """One line of a verdict. What is no number passes nothing."""

    cell: str  # items/7d
    what: str
    value: float
    limit: float  # room for luck included
    against: str  # whose value the limit is made of
    passed: bool

    def __str__(self) -> str:
        sign = "at most" if self.passed else "above"
        return (
            f"{self.cell}: {self.what} {self.value:.4f}, {sign} {self.limit:.4f} ({self.against})"
        )


@dataclass(frozen=True)
class Cell:
    name: str  # items/7d
    losses: Mapping[str, Mapping[str, Loss]]  # measure -> forecaster (""), rule or champion -> it
    bias: Day  # of the means: error, of what was sold
    above: Day  # truths above p90, of how many truths
    at_least_high: Day  # at p90 or above
    below: Day
    at_most_low: Day

    @property
    def metrics(self) -> dict[str, float]:
        """As they are logged: those that are a number, which nothing is where nothing was sold."""
        shares = {"below_p10": self.below.share, "above_p90": self.above.share}
        said = {**shares, "inside": 1.0 - self.below.share - self.above.share}
        said["mean_bias"] = self.bias.share
        for measure, contestants in self.losses.items():
            said |= {
                f"{measure}_{name}".rstrip("_"): one.share for name, one in contestants.items()
            }
        return {f"{self.name}/{name}": value for name, value in said.items() if np.isfinite(value)}


def judge(
    forecaster: Forecaster, panel: Panel, cutoff: date, *, champion: Forecaster | None = None
) -> list[Cell]:
    """On the windows that closed last before the cutoff, which its training left alone.

    A log that names no category has no cell of categories: theirs would be one series, of all.
    """
    horizon = forecaster.horizon_days
    origins = Schedule(cutoff, horizon).judged_origins()
    kinds = {"items": slice(panel.num_items)}
    if any(panel.categories):
        kinds["categories"] = slice(panel.num_items, None)
    cells = []
    for days, chosen in ((SHORT_DAYS, origins), (horizon, origins[:1])):
        asked = [_asked(forecaster, champion, panel, origin, days) for origin in chosen]
        for kind, series in kinds.items():
            cells.append(_cell(f"{kind}/{days}d", [one.of(series) for one in asked]))
    return cells


def checks_of(cells: Sequence[Cell], rule: DemandRule) -> list[Check]:
    """Every line of the rule, those that hold too."""
    return [check for cell in cells for check in _checks(cell, rule)]


def reasons_against(checks: Sequence[Check]) -> list[str]:
    """Where the rule does not hold; nothing where it does."""
    return [str(check) for check in checks if not check.passed]


def comparisons_of(cells: Sequence[Cell], rule: DemandRule) -> list[dict[str, Any]]:
    """What each answer gains on the best rule and on the champion, with its interval over days.

    ``difference`` is the other's loss less ours, so that more is better; ``low`` and ``high`` hold
    it with the rule's confidence, by a normal with the standard error over days.
    """
    luck = NormalDist().inv_cdf((1.0 + rule.confidence) / 2.0)
    rows = []
    for cell in cells:
        for measure, contestants in cell.losses.items():
            ours = contestants[""]
            for name in _held_to(contestants):
                other = contestants[name]
                difference = other.share - ours.share
                room = luck * ours.error_of_difference(other, 1.0)
                numbers = {
                    "value": ours.share,
                    "against_value": other.share,
                    "difference": difference,
                    "low": difference - room,
                    "high": difference + room,
                }
                row = {"cell": cell.name, "measure": measure, "against": name}
                rows.append({**row, **{key: _plain(number) for key, number in numbers.items()}})
    return rows


def _held_to(contestants: Mapping[str, Loss]) -> list[str]:
    """The best of the rules, and the champion where there is one."""
    rules = {name: one.share for name, one in contestants.items() if name not in ("", CHAMPION)}
    best = min(rules, key=lambda name: rules[name])
    return [best, *([CHAMPION] if CHAMPION in contestants else [])]


def _plain(number: float) -> float | None:
    """JSON cannot write what is no number."""
    return round(number, 4) if np.isfinite(number) else None


def plain(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """As a verdict is stored: rounded, and None for what is no number, which JSON cannot write."""
    rows = []
    for check in checks:
        row = asdict(check)
        for name in ("value", "limit"):
            row[name] = _plain(row[name])
        rows.append(row)
    return rows


def _checks(cell: Cell, rule: DemandRule) -> Iterator[Check]:
    luck = NormalDist().inv_cdf(rule.confidence)

    def check(what: str, value: float, limit: float, against: str) -> Check:
        return Check(cell.name, what, value, limit, against, bool(value <= limit))

    for measure, contestants in cell.losses.items():
        ours = contestants[""]
        for name in _held_to(contestants):
            other = contestants[name]
            ratio = rule.max_ratio_to_champion if name == CHAMPION else rule.max_ratio_to_rules
            room = luck * ours.error_of_difference(other, ratio)
            against = f"{ratio:g} x {other.share:.4f} of {name}"
            yield check(MEASURES[measure], ours.share, ratio * other.share + room, against)
    yield check(
        "the means together off what was sold by",
        abs(cell.bias.share),
        rule.max_mean_bias + luck * cell.bias.standard_error,
        f"{rule.max_mean_bias:g}",
    )
    # Of counts a quantile may be a value that comes often: at most a tenth lies beyond it, and at
    # least a tenth beyond it or at it.
    for what, share, is_least in (
        ("above p90", cell.above, False),
        ("at p90 or above", cell.at_least_high, True),
        ("below p10", cell.below, False),
        ("at p10 or below", cell.at_most_low, True),
    ):
        room = rule.max_tail_error + luck * share.error_of_share(BEYOND)
        if is_least:
            yield check(f"short of {BEYOND} {what} by", BEYOND - share.share, room, f"{room:.3f}")
        else:
            yield check(f"beyond {BEYOND} {what} by", share.share - BEYOND, room, f"{room:.3f}")


@dataclass(frozen=True)
class _Asked:
    """What was said of the series as of one origin, and what was sold then."""

    forecast: Forecast
    others: Mapping[str, Mapping[str, Floats]]  # measure -> rule or champion -> (S, H)
    window: Window

    def of(self, series: slice) -> "_Asked":
        others = {
            measure: {name: each[series] for name, each in rules.items()}
            for measure, rules in self.others.items()
        }
        return _Asked(self.forecast.of(series), others, self.window.of(series))


def _asked(
    forecaster: Forecaster, champion: Forecaster | None, panel: Panel, origin: date, days: int
) -> _Asked:
    before = panel.before(origin)
    lens = lens_of(panel, forecaster.config, forecaster.calendar, forecaster.horizon_days)
    series = np.arange(panel.num_series)
    sold, known = lens.truth(series, np.full(len(series), lens.place(origin)))
    points = point_rules(before.units, days)
    others: dict[str, dict[str, Floats]] = {
        "wape": {**points},
        "mean_loss": {name: each for name, each in points.items() if "median" not in name},
        "p10_loss": {**quantile_rules(before.units, days, QUANTILES[0])},
        "p90_loss": {**quantile_rules(before.units, days, QUANTILES[2])},
    }
    if champion is not None and champion.horizon_days >= days:  # else it says nothing of the rest
        for measure, each in _answers(champion.forecast(before, origin)).items():
            others[measure][CHAMPION] = each[:, :days]
    window = Window.of_history(sold[:, :days], known[:, :days], before.units)
    return _Asked(_first(forecaster.forecast(before, origin), days), others, window)


def _first(forecast: Forecast, days: int) -> Forecast:
    return Forecast(forecast.quantiles[:, :days], forecast.mean[:, :days])


def _answers(forecast: Forecast) -> dict[str, Floats]:
    """Measure -> (S, H) the answer that it judges."""
    low, middle, high = np.moveaxis(forecast.quantiles, -1, 0)
    return {"wape": middle, "mean_loss": forecast.mean, "p10_loss": low, "p90_loss": high}


def _cell(name: str, asked: Sequence[_Asked]) -> Cell:
    compared: dict[str, dict[str, Loss]] = {}
    for measure in MEASURES:
        known = set.intersection(*({*one.others[measure]} for one in asked))
        ours = [_answers(one.forecast)[measure] for one in asked]
        said = {"": ours} | {
            other: [one.others[measure][other] for one in asked] for other in sorted(known)
        }
        windows = [one.window for one in asked]
        compared[measure] = {
            other: Loss.joined([losses(measure, *pair) for pair in zip(of, windows, strict=True)])
            for other, of in said.items()
        }

    def days(of: str) -> Day:
        return Day.joined([getattr(one.window, of)(one.forecast) for one in asked])

    names = ("above", "at_least_high", "below", "at_most_low")
    return Cell(name, compared, days("bias"), *(days(of) for of in names))
