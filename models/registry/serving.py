"""A registered version as MLflow serves it: raw events in, one scored row per user out.

MLflow calls `_load_pyfunc` on the version's folder, so nothing is unpickled:

    model = mlflow.pyfunc.load_model("models:/nightshift@champion")
    model.predict(events, params={"cutoff": "2017-11-29", "top_k": 10})
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from contracts.errors import MissingColumnsError
from models.registry.predict import Predictor

SESSION_GAP = timedelta(minutes=30)
COLUMNS = ("user_id", "item_id", "event_type", "event_time", "category", "amount", "quantity")
MAX_TOP_K = 1000


class Served:
    """What `mlflow.pyfunc.load_model` wraps."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """One row per user of the events; without a cutoff, as of the training's own."""
        given = params or {}
        text = str(given.get("cutoff") or "")
        manifest = self.predictor.manifest
        cutoff = date.fromisoformat(text) if text else manifest.training_cutoff
        top_k = min(int(given.get("top_k") or 10), MAX_TOP_K)
        found = self.predictor.predict(sequences(model_input), cutoff=cutoff, top_k=top_k)
        return pd.DataFrame(
            {
                "user_id": found.user_ids,
                "purchase_probability_7d": found.purchase,
                "churn_probability_28d": found.churn,
                "expected_spend_28d": found.spend,
                "recommended_item_ids": [list(row) for row in found.item_ids],
                "recommended_scores": [row.tolist() for row in found.item_scores],
            }
        )


def _load_pyfunc(data_path: str) -> Served:
    return Served(Predictor.load(Path(data_path)))


def sequences(events: pd.DataFrame) -> pa.Table:
    """Raw events, in any order, as rows of `contracts.tables.SEQUENCES` without their cutoff."""
    missing = [name for name in COLUMNS if name not in events.columns]
    if missing:
        raise MissingColumnsError(
            "events",
            missing=missing,
            present=[str(name) for name in events.columns],
            mapping="the request",
        )
    frame = events.loc[:, list(COLUMNS)].copy()
    frame["user_id"] = frame["user_id"].astype(str)
    frame["item_id"] = frame["item_id"].astype(str)
    frame["category"] = frame["category"].fillna("").astype(str)
    frame["amount"] = frame["amount"].fillna(0.0).astype(float)
    frame["quantity"] = frame["quantity"].fillna(0.0).astype(float)
    frame["event_time"] = pd.to_datetime(frame["event_time"], utc=True).astype(
        "datetime64[us, UTC]"
    )
    frame = frame.sort_values(["user_id", "event_time", "item_id"], kind="stable")
    gaps = frame.groupby("user_id", sort=False)["event_time"].diff()
    frame["session_start"] = gaps.isna() | (gaps > SESSION_GAP)
    users, starts = np.unique(frame["user_id"].to_numpy(dtype=str), return_index=True)
    offsets = pa.array(np.append(starts, len(frame)), pa.int32())

    def lists(name: str, kind: pa.DataType) -> pa.ListArray:
        values = pa.Array.from_pandas(frame[name], type=kind)
        return pa.ListArray.from_arrays(offsets, values)

    lengths = np.diff(np.append(starts, len(frame)))
    times = frame["event_time"].to_numpy()
    return pa.table(
        {
            "user_id": pa.array(users.tolist(), pa.string()),
            "event_times": lists("event_time", pa.timestamp("us", tz="UTC")),
            "item_ids": lists("item_id", pa.string()),
            "event_types": lists("event_type", pa.string()),
            "categories": lists("category", pa.string()),
            "quantities": lists("quantity", pa.float64()),
            "amounts": lists("amount", pa.float64()),
            "session_starts": lists("session_start", pa.bool_()),
            "lifetime_events": pa.array(lengths, pa.int64()),
            "lifetime_spend": pa.array(
                np.add.reduceat(np.maximum(frame["amount"].to_numpy(), 0.0), starts)
                if len(frame)
                else [],
                pa.float64(),
            ),
            "first_event_time": pa.array(times[starts], pa.timestamp("us", tz="UTC")),
        }
    )


def input_example() -> tuple[pd.DataFrame, dict[str, Any]]:
    """Two users' events, as a caller would send them, and the parameters."""
    events = pd.DataFrame(
        {
            "user_id": ["7", "7", "8"],
            "item_id": ["1029743", "995242", "1082185"],
            "event_type": ["purchase"] * 3,
            "event_time": ["2017-11-03T17:20:00Z", "2017-11-03T17:20:00Z", "2017-11-20T15:02:00Z"],
            "category": ["FLUID MILK PRODUCTS", "FLUID MILK PRODUCTS", "TROPICAL FRUIT"],
            "amount": [3.19, 1.0, 0.76],
            "quantity": [1.0, 1.0, 1.0],
        }
    )
    return events, {"cutoff": "2017-11-28", "top_k": 10}


def signature() -> Any:
    """What goes in and what comes out, in MLflow's words."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array, DataType

    numbers = ("amount", "quantity")
    return ModelSignature(
        inputs=Schema(
            [ColSpec("double" if name in numbers else "string", name) for name in COLUMNS]
        ),
        outputs=Schema(
            [
                ColSpec("string", "user_id"),
                ColSpec("double", "purchase_probability_7d"),
                ColSpec("double", "churn_probability_28d"),
                ColSpec("double", "expected_spend_28d"),
                ColSpec(Array(DataType.string), "recommended_item_ids"),
                ColSpec(Array(DataType.double), "recommended_scores"),
            ]
        ),
        params=ParamSchema([ParamSpec("cutoff", "string", ""), ParamSpec("top_k", "integer", 10)]),
    )
