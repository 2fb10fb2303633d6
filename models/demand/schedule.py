"""Which days a training learns from, which it is calibrated on, and which judge it.

As of a cutoff T and with a horizon of H days: labels before T - 2H are learnt, the window from
there to T - H fits the quantiles' tails, the one from there to T judges. So no figure of a
judgement was seen by what it judges, and all of it has matured. So it is with the users' heads.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from models.demand.calendar import WEEK


@dataclass(frozen=True)
class Schedule:
    cutoff: date
    horizon_days: int

    @property
    def label_limit(self) -> date:
        """The first day that no label of the training may reach."""
        return self.cutoff - timedelta(days=2 * self.horizon_days)

    @property
    def calibration_end(self) -> date:
        return self.cutoff - timedelta(days=self.horizon_days)

    def calibration_origins(self) -> list[date]:
        return _weekly(self.label_limit, self.calibration_end)

    def judged_origins(self) -> list[date]:
        return _weekly(self.calibration_end, self.cutoff)


def _weekly(first: date, end: date) -> list[date]:
    return [first + timedelta(days=n) for n in range(0, (end - first).days, WEEK)]
