"""On which days training may ask about whom.

N users. Days are ordinals of dates; a query is asked at its day's local midnight.
"""

from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

import numpy as np

from models.config import LabelHorizons, TrainConfig
from models.sequences.features import exact_from
from models.sequences.history import Bools, Histories, Ints
from models.sequences.instants import DAY
from models.sequences.labels import midnights
from models.sequences.query_features import HISTORY_DAYS


@dataclass(frozen=True)
class QueryDays:
    first: int  # the log has warmed up
    latest: int  # a label window that begins then has closed by the limit
    limit: int  # training sees nothing from here on
    zone: ZoneInfo

    @classmethod
    def of(
        cls,
        first_time: int,
        *,
        limit: date,
        config: TrainConfig,
        horizons: LabelHorizons,
        zone: ZoneInfo,
    ) -> "QueryDays":
        """Of a log whose first event is at this microsecond."""
        begins = date(1970, 1, 1).toordinal() + first_time // DAY - 1  # by any zone's calendar
        return cls(
            first=begins + config.warmup_days,
            latest=latest_day(limit, horizons),
            limit=limit.toordinal(),
            zone=zone,
        )

    def earliest_of(self, histories: Histories) -> Ints:
        """(N,) from when each user may be asked: something was seen, and the features are exact.

        It is after the latest day for those who may never be asked.
        """
        starts = midnights(np.arange(self.first, self.latest + 2), self.zone)
        known = np.searchsorted(starts, exact_from(histories, HISTORY_DAYS), side="right")
        return np.asarray(self.first + known, dtype=np.int64)


def latest_day(limit: date, horizons: LabelHorizons) -> int:
    return limit.toordinal() - min(horizons.purchase_days, horizons.items_days)


def can_be_asked(
    histories: Histories, limit: date, horizons: LabelHorizons, zone: ZoneInfo
) -> Bools:
    """(N,) may the user be asked on some day, once the log has warmed up?"""
    latest = midnights(np.asarray([latest_day(limit, horizons)]), zone)
    return np.asarray(exact_from(histories, HISTORY_DAYS) < latest, dtype=bool)
