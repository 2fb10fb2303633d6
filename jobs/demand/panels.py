"""From the lake's rows to what a forecaster sees, and from its forecast to rows of the lake."""

from collections.abc import Mapping
from datetime import date, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.tables import DEMAND, DEMAND_BY_CATEGORY, Table
from jobs.lake.column_types import arrow_schema
from models.demand.forecast import Forecast, Forecaster
from models.demand.panel import Panel, PlannedWeeks, panel_of


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


def planned_weeks(rows: pa.Table) -> PlannedWeeks:
    """Rows of `promotions`."""
    shares = [rows[name].to_numpy() for name in ("display_share", "mailer_share")]
    return PlannedWeeks(
        rows["item_id"].to_numpy(), rows["week_start"].to_numpy(), np.stack(shares, axis=1)
    )


def demand_rows(
    forecaster: Forecaster, panel: Panel, cutoff: date, *, model_version: str
) -> dict[Table, pa.Table]:
    """One row for each item of the panel and day ahead, and one for each category and day."""
    found = forecaster.forecast(panel, cutoff)
    items, categories = slice(panel.num_items), slice(panel.num_items, None)
    item_ids, names = (np.asarray(of, object) for of in (panel.item_ids, panel.categories))
    of_items = {"item_id": item_ids, "category": names[panel.item_categories]}
    rows = partial(_rows, cutoff=cutoff, model_version=model_version)
    return {
        DEMAND: rows(DEMAND, of_items, found.of(items)),
        DEMAND_BY_CATEGORY: rows(DEMAND_BY_CATEGORY, {"category": names}, found.of(categories)),
    }


def _rows(
    table: Table,
    names: Mapping[str, NDArray[np.object_]],
    said: Forecast,
    *,
    cutoff: date,
    model_version: str,
) -> pa.Table:
    """What is said of some series, whose names are columns of the table, as its rows."""
    num_series, horizon = said.mean.shape
    num_rows = num_series * horizon
    low, middle, high = np.moveaxis(said.quantiles.astype(np.float64), 2, 0)
    ahead = [cutoff + timedelta(days=n) for n in range(horizon)]
    columns = {
        **{name: np.repeat(of, horizon) for name, of in names.items()},
        "target_date": pa.array(ahead * num_series, pa.date32()),
        "units_p10": low.ravel(),
        "units_p50": middle.ravel(),
        "units_p90": high.ravel(),
        "expected_units": said.mean.ravel(),
        "model_version": pa.array([model_version] * num_rows),
        "cutoff": pa.array([cutoff] * num_rows, pa.date32()),
    }
    return pa.table(columns).select(table.column_names).cast(arrow_schema(table))
