"""The plan in the lake, as a panel sees it."""

from datetime import date, timedelta

import numpy as np
import pytest

from contracts.errors import MissingPartitionError
from contracts.tables import PROMOTIONS
from contracts.windows import Window
from jobs.demand.plans import read_planned, require_plan
from jobs.lake.column_types import spark_schema
from jobs.lake.lake import open_lake
from models.demand.panel import Panel

pytestmark = pytest.mark.spark

FIRST, CUTOFF = date(2017, 11, 1), date(2017, 11, 29)


def test_a_forecaster_that_needs_a_plan_says_how_to_bring_one(settings):
    """A lake that was made anew has a champion still, and no plan yet."""
    with pytest.raises(MissingPartitionError) as caught:
        require_plan(open_lake(settings), CUTOFF)

    assert str(caught.value) == (
        "promotions/week_start: found no committed partition, expected one, committed whole. "
        "Run `nightshift promotions --cutoff 2017-11-29` first, then run this again."
    )


def test_a_panel_sees_its_own_days_and_those_ahead(spark, settings):
    """The week that its first day lies in, and no week that begins after the horizon."""
    lake, starts = (
        open_lake(settings),
        [date(2017, 10, 30) + timedelta(days=7 * n) for n in range(9)],
    )
    rows = [("a", start, 0.1 * (n + 1), 0.0) for n, start in enumerate(starts)]
    frame = spark.createDataFrame(rows, spark_schema(PROMOTIONS))
    window = Window(starts[0], starts[-1] + timedelta(days=1))
    lake.replace(frame, PROMOTIONS, window=window, run_key="p", reads={})
    units = np.zeros((1, (CUTOFF - FIRST).days), np.float32)
    panel = Panel(("a",), ("",), np.zeros(1, np.int64), FIRST, units)
    snapshot = require_plan(lake, CUTOFF)
    planned = read_planned(lake, panel, horizon_days=28, snapshot_id=snapshot).item_promotions

    assert planned.shape == (1, 56, 2)
    np.testing.assert_allclose(planned[0, :5, 0], 0.1)
    np.testing.assert_allclose(planned[0, 5:12, 0], 0.2)
    np.testing.assert_allclose(planned[0, -2:, 0], 0.9)
