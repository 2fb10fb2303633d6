"""The plan of promotions in the lake: which snapshot a run reads, and what it says of its days."""

from datetime import date, timedelta

import pyarrow as pa

from contracts.errors import MissingPartitionError
from contracts.tables import PROMOTIONS
from contracts.windows import Window
from jobs.demand.panels import planned_weeks
from jobs.lake.lake import Lake
from models.demand.panel import Panel, promotions_by_day

WEEK = timedelta(days=7)


def require_plan(lake: Lake, cutoff: date) -> int:
    """The table's snapshot of now. Raises MissingPartitionError where no plan was ever read."""
    snapshot = lake.snapshot_id(PROMOTIONS)
    if snapshot is None:
        raise MissingPartitionError(
            PROMOTIONS.name,
            partition=PROMOTIONS.partition,
            producer=f"nightshift promotions --cutoff {cutoff}",
        )
    return snapshot


def read_planned(lake: Lake, panel: Panel, *, horizon_days: int, snapshot_id: int) -> Panel:
    """The panel, with what that snapshot says of its days and of those ahead."""
    ahead = panel.end_day + timedelta(days=horizon_days)
    rows: pa.Table = lake.read_arrow(
        PROMOTIONS, window=Window(panel.first_day - WEEK, ahead), snapshot_id=snapshot_id
    )
    num_days = (ahead - panel.first_day).days
    weeks = planned_weeks(rows)
    return panel.planned(
        promotions_by_day(panel.item_ids, weeks, first_day=panel.first_day, num_days=num_days)
    )
