"""A registered forecaster as MLflow serves it: units by day in, quantiles by day out.

model = mlflow.pyfunc.load_model("models:/nightshift-demand@champion")
model.predict(units, params={"cutoff": "2017-11-29"})
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.demand.artifact import load_forecaster
from models.demand.forecast import Forecaster
from models.demand.panel import panel_of
from models.registry.admission import refuse_unadmitted
from models.registry.request import cutoff_of, days, numbers, require_columns

COLUMNS = ("item_id", "category", "day", "units")
WEEK = timedelta(days=7)


class ServedForecaster:
    """What `mlflow.pyfunc.load_model` wraps."""

    def __init__(self, forecaster: Forecaster) -> None:
        self.forecaster = forecaster

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """A row per item and day ahead; without a cutoff, from the day after the last one."""
        require_columns(model_input, COLUMNS, rows="units by day")
        sold_on, units = days(model_input["day"]), numbers(model_input["units"])
        text = (params or {}).get("cutoff", "")
        is_given = text or not len(sold_on)
        cutoff = cutoff_of(text) if is_given else sold_on.max().item() + timedelta(days=1)
        weeks = self.forecaster.config.encoder.max_length
        panel = panel_of(
            model_input["item_id"].astype(str).tolist(),
            model_input["category"].fillna("").astype(str).tolist(),
            sold_on,
            units.to_numpy(dtype=np.float64),
            first_day=cutoff - weeks * WEEK,
            end_day=cutoff,
        )
        found, horizon = self.forecaster.forecast(panel, cutoff), self.forecaster.horizon_days
        items = slice(panel.num_items)
        ahead = [(cutoff + timedelta(days=n)).isoformat() for n in range(horizon)]
        low, middle, high = np.moveaxis(found.quantiles[items], 2, 0)
        return pd.DataFrame(
            {
                "item_id": np.repeat(np.asarray(panel.item_ids, dtype=object), horizon),
                "target_date": ahead * panel.num_items,
                "units_p10": low.ravel(),
                "units_p50": middle.ravel(),
                "units_p90": high.ravel(),
                "expected_units": found.mean[items].ravel(),
            }
        )


def _load_pyfunc(data_path: str) -> ServedForecaster:
    refuse_unadmitted(Path(data_path))
    return ServedForecaster(load_forecaster(Path(data_path)))


def input_example() -> tuple[pd.DataFrame, dict[str, Any]]:
    """A fortnight of one item, as a caller would send it, and the parameter."""
    dates = [f"2017-11-{15 + n}" for n in range(14)]
    units = [4.0, 3.0, 6.0, 9.0, 8.0, 2.0, 3.0] * 2
    names = {"item_id": ["1029743"] * 14, "category": ["FLUID MILK PRODUCTS"] * 14}
    return pd.DataFrame({**names, "day": dates, "units": units}), {"cutoff": "2017-11-29"}


def signature() -> Any:
    """What goes in and what comes out, in MLflow's words."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    said = ("units_p10", "units_p50", "units_p90", "expected_units")
    return ModelSignature(
        inputs=Schema(
            [ColSpec("double" if name == "units" else "string", name) for name in COLUMNS]
        ),
        outputs=Schema(
            [
                *(ColSpec("string", name) for name in ("item_id", "target_date")),
                *(ColSpec("double", name) for name in said),
            ]
        ),
        params=ParamSchema([ParamSpec("cutoff", "string", "")]),
    )
