"""From the lake's rows to what a forecaster sees, and from its forecast to rows of `demand`."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from contracts.tables import DEMAND
from jobs.lake.column_types import arrow_schema
from models.demand.forecast import Forecaster
from models.demand.panel import Panel, panel_of


def panel_from(rows: pa.Table, *, first_day: date, end_day: date) -> Panel:
    """Rows of item_id, category, day and units; a day without a row sold nothing."""
    return panel_of(
        rows["item_id"].to_pylist(),
        rows["category"].to_pylist(),
        rows["day"].to_numpy(),
        rows["units"].to_numpy(),
        first_day=first_day,
        end_day=end_day,
    )


def demand_rows(
    forecaster: Forecaster, panel: Panel, cutoff: date, *, model_version: str
) -> pa.Table:
    """One row of `demand` for each item of the panel and day ahead."""
    found, horizon = forecaster.forecast(panel, cutoff), forecaster.horizon_days
    num_items = panel.num_items
    low, middle, high = np.moveaxis(found.quantiles[:num_items].astype(np.float64), 2, 0)
    ahead = [cutoff + timedelta(days=n) for n in range(horizon)]
    rows = {
        "item_id": np.repeat(np.asarray(panel.item_ids, dtype=object), horizon),
        "target_date": pa.array(ahead * num_items, pa.date32()),
        "units_p10": low.ravel(),
        "units_p50": middle.ravel(),
        "units_p90": high.ravel(),
        "expected_units": found.mean[:num_items].ravel(),
        "model_version": pa.array([model_version] * (num_items * horizon)),
        "cutoff": pa.array([cutoff] * (num_items * horizon), pa.date32()),
    }
    return pa.table(rows).select(DEMAND.column_names).cast(arrow_schema(DEMAND))
