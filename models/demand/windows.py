"""What the network is shown of a series as of an origin, all of it scaled by the series' own level.

B windows, K weeks of context, H days ahead, S series, C categories, D days of the panel. An origin
is the index of a day: the first that the window does not see. Weeks are counted back from it, so
that the days ahead have their weekday's place in every week. Units are net and may be below 0; a
level and a profile never are.
"""

from datetime import date
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.demand.calendar import BUMP, HOLIDAYS, NUM_CALENDAR, WEEK, Calendar
from models.demand.panel import NUM_PROMOTIONS, Floats, Ints, Panel

LEVEL_DAYS = 56  # a series' level is its mean over these
PRIOR_UNITS, PRIOR_DAYS = 0.5, 4.0  # so that a series that sold nothing has a level too
LEAST_OF_LONG = 0.3  # of the mean over the whole context, where the last weeks fell below it
MAX_SCALED = 12.0  # levels above which a day is cut

NUM_WEEK = (4 + NUM_PROMOTIONS) * WEEK + len(range(NUM_CALENDAR)[HOLIDAYS]) + 2
NUM_SERIES = 8
NUM_DAY = 10 + 3 * NUM_PROMOTIONS + NUM_CALENDAR


class Windows(NamedTuple):
    weeks: Tensor  # (B, K, NUM_WEEK)
    series: Tensor  # (B, NUM_SERIES)
    days: Tensor  # (B, H, NUM_DAY)
    profile: Tensor  # (B, H) the weekday's share of a level, from the category and from all
    scale: Tensor  # (B,) the level, in units a day


class Lens:
    """Looks at a panel through a calendar: so many weeks back, so many days ahead."""

    def __init__(
        self, panel: Panel, calendar: Calendar, *, num_weeks: int, horizon_days: int
    ) -> None:
        self.panel, self.num_weeks, self.horizon_days = panel, num_weeks, horizon_days
        self.units = panel.units  # (S, D)
        self.num_days = self.units.shape[1]
        ahead = self.num_days + horizon_days
        self.total = self.units[panel.num_items :].sum(axis=0)  # (D,)
        self.calendar = calendar.features(panel.first_day, ahead)  # (D + H, NUM_CALENDAR)
        self.is_closed = calendar.is_closed(panel.first_day, ahead)  # (D + H,)
        self.promotions = _until(panel.promotions, ahead)  # (S, D + H, 2)

    def place(self, day: date) -> int:
        """The day's index in the panel."""
        return (day - self.panel.first_day).days

    def truth(self, series: Ints, origins: Ints) -> tuple[Floats, NDArray[np.bool_]]:
        """-> (B, H) units, and whether a day's are known and the doors were open."""
        days = origins[:, None] + np.arange(self.horizon_days)  # (B, H)
        known = (days < self.num_days) & ~self.is_closed[days]
        return self.units[series[:, None], np.minimum(days, self.num_days - 1)], known

    def look(self, series: Ints, origins: Ints) -> Windows:
        """(B,), (B,) -> what each series shows as of each origin; nothing from it on but plans."""
        back = origins[:, None] + np.arange(-WEEK * self.num_weeks, 0)  # (B, 7K)
        is_seen = back >= 0
        back = np.maximum(back, 0)
        category = self.panel.num_items + self.panel.series_categories[series]
        units = self.units[series[:, None], back] * is_seen  # (B, 7K)
        own, scale, long = _scaled(units, is_seen)
        sold = self.units[category[:, None], back] * is_seen
        of_category, category_scale, _ = _scaled(sold, is_seen)
        of_all, _, _ = _scaled(self.total[back] * is_seen, is_seen)
        ahead = origins[:, None] + np.arange(self.horizon_days)  # (B, H)
        planned = self.promotions[series[:, None], ahead]  # (B, H, 2)
        promoted = self.promotions[series[:, None], back]  # (B, 7K, 2)
        recent = units[:, -2 * WEEK :].mean(axis=1).clip(0) + PRIOR_UNITS / LEVEL_DAYS
        facts: list[Floats] = [
            np.log(scale),
            np.log(scale / long),
            np.log(recent / scale),
            (units[:, -LEVEL_DAYS:] > 0).mean(axis=1),
            series >= self.panel.num_items,
            np.log(category_scale),
            is_seen.mean(axis=1),
            np.sqrt((own[:, -LEVEL_DAYS:] ** 2).mean(axis=1)).clip(0, 6),
        ]
        means = [self._weekday_mean(own, weeks) for weeks in (4, 8, self.num_weeks)]
        means += [self._weekday_mean(of_category, weeks) for weeks in (4, 8)]
        means += [self._weekday_mean(of_all, weeks) for weeks in (8, self.num_weeks)]
        median = np.median(self._by_week(own)[:, -8:], axis=1)
        place = np.broadcast_to(np.arange(self.horizon_days), ahead.shape)
        # What was sold and came back may be millions of levels that together are nothing.
        cut = [each.clip(-MAX_SCALED, MAX_SCALED) for each in (*means, self._ahead(median))]
        days = [*cut, place / self.horizon_days, place < WEEK]
        usual, latest = promoted[:, -LEVEL_DAYS:].mean(axis=1), promoted[:, -1]  # (B, 2) each
        plans = [planned, planned - usual[:, None], planned - latest[:, None]]
        profile = (_shape(means[4]) + _shape(means[6])) / 2
        return Windows(
            weeks=self._weeks(own, of_category, of_all, promoted, back, is_seen),
            series=_tensor(np.stack(facts, axis=1)),
            days=_tensor(
                np.concatenate([np.stack(days, axis=2), *plans, self.calendar[ahead]], axis=2)
            ),
            profile=_tensor(profile),
            scale=_tensor(scale),
        )

    def _weeks(
        self,
        own: Floats,
        of_category: Floats,
        of_all: Floats,
        promoted: Floats,
        back: Ints,
        is_seen: NDArray[np.bool_],
    ) -> Tensor:
        """(B, 7K) each -> (B, K, NUM_WEEK): a week is seven days of each, and what it was like."""
        daily = [_logged(values) for values in (own, of_category, of_all)]
        daily += [promoted[:, :, n] for n in range(NUM_PROMOTIONS)]
        daily += [self.calendar[back][:, :, BUMP]]
        by_week = [self._by_week(values) for values in daily]  # (B, K, 7) each
        holidays = self.calendar[back][:, :, HOLIDAYS]
        holidays = holidays.reshape(*self._by_week(own).shape, -1).sum(axis=2)  # (B, K, 6)
        mean = _logged(self._by_week(own).mean(axis=2, keepdims=True))
        seen = self._by_week(is_seen).mean(axis=2, keepdims=True)
        return _tensor(np.concatenate([*by_week, holidays, mean, seen], axis=2))

    def _by_week(self, daily: Floats) -> Floats:
        """(B, 7K) -> (B, K, 7)"""
        return daily.reshape(len(daily), self.num_weeks, WEEK)

    def _weekday_mean(self, daily: Floats, weeks: int) -> Floats:
        """(B, 7K) -> (B, H): the mean of the same weekday over the latest weeks."""
        return self._ahead(self._by_week(daily)[:, -weeks:].mean(axis=1))

    def _ahead(self, weekly: Floats) -> Floats:
        """(B, 7) -> (B, H)"""
        ahead: Floats = weekly[:, np.arange(self.horizon_days) % WEEK]
        return ahead


def _scaled(units: Floats, is_seen: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """(B, 7K) units -> (B, 7K) in levels, (B,) the level, (B,) the mean of the whole context."""
    seen = is_seen.sum(axis=1)
    long = (units.sum(axis=1).clip(0) + PRIOR_UNITS) / (seen + PRIOR_DAYS)
    recent = units[:, -LEVEL_DAYS:].sum(axis=1).clip(0) + PRIOR_UNITS
    level = recent / (np.minimum(seen, LEVEL_DAYS) + PRIOR_DAYS)
    level = np.maximum(level, LEAST_OF_LONG * long)
    return units / level[:, None], level, long


def _logged(scaled: Floats) -> Floats:
    """0 where nothing moved; as far below it for what comes back as above it for what is sold."""
    logged: Floats = np.sign(scaled) * np.log1p(np.minimum(np.abs(scaled), MAX_SCALED))
    return logged


def _shape(means: Floats) -> Floats:
    """(B, H) -> (B, H) as shares of the week's mean."""
    means = means.clip(0)
    shares: Floats = means / np.maximum(means[:, :WEEK].mean(axis=1, keepdims=True), 1e-3)
    return shares


def _until(promotions: Floats, num_days: int) -> Floats:
    """(S, D', 2) -> (S, num_days, 2): past the last day that is planned nothing is promoted."""
    known = promotions[:, :num_days]
    return np.pad(known, ((0, 0), (0, num_days - known.shape[1]), (0, 0)))


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
