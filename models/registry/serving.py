"""A registered version as MLflow serves it: raw events in, one scored row per user out.

MLflow calls `_load_pyfunc` on the version's folder, so nothing is unpickled:

    model = mlflow.pyfunc.load_model("models:/nightshift@champion")
    model.predict(events, params={"cutoff": "2017-11-29", "top_k": 10})
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from contracts.money import Money
from contracts.windows import instant
from models.money import counted_amounts, in_money, sums, whole_units
from models.registry.admission import refuse_unadmitted
from models.registry.exclusion import Exclusion
from models.registry.predict import Predictor
from models.registry.request import cutoff_of, instants, numbers, require_columns, top_k_of

COLUMNS = ("user_id", "item_id", "event_type", "event_time", "category", "amount", "quantity")
TEXT = "text"  # may be left out, as it is by most logs
_TIME = pa.timestamp("us", tz="UTC")


class Served:
    """What `mlflow.pyfunc.load_model` wraps."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """One row per user of the events. Raises ConfigError for what `request` refuses."""
        given = params or {}
        manifest = self.predictor.manifest
        cutoff, top_k = cutoff_of(given.get("cutoff", "")), top_k_of(given.get("top_k", 10))
        rows = sequences(
            model_input,
            before=instant(cutoff, manifest.zone),
            gap=timedelta(minutes=manifest.session_gap_minutes),
            max_events=manifest.max_events,
            money=manifest.horizons.money,
        )
        exclusion = Exclusion(
            bought=bool(given.get("exclude_bought")),
            item_ids=frozenset(map(str, given.get("exclude_item_ids", ()))),
        )
        found = self.predictor.predict(rows, cutoff=cutoff, top_k=top_k, exclusion=exclusion)
        offered = found.item_ids != ""
        return pd.DataFrame(
            {
                "user_id": found.user_ids,
                "purchase_probability_7d": found.purchase,
                # None, which is null in an answer over HTTP: JSON has no NaN.
                "churn_probability_28d": pd.Series(found.churn, dtype=object).where(
                    found.is_active, None
                ),
                "last_event_date": [
                    None if np.isnat(day) else str(day) for day in found.last_event_dates
                ],
                "expected_spend_28d": found.spend,
                "recommended_item_ids": [
                    row[some].tolist() for row, some in zip(found.item_ids, offered, strict=True)
                ],
                "recommended_scores": [
                    row[some].tolist() for row, some in zip(found.item_scores, offered, strict=True)
                ],
            }
        )


def _load_pyfunc(data_path: str) -> Served:
    refuse_unadmitted(Path(data_path))
    return Served(Predictor.load(Path(data_path)))


def sequences(
    events: pd.DataFrame, *, before: datetime, gap: timedelta, max_events: int, money: Money
) -> pa.Table:
    """Raw events, in any order, as rows of `contracts.tables.SEQUENCES` without their cutoff.

    Of a user the latest ``max_events`` before the cutoff are kept, and all are counted, as the
    nights do. Raises MissingColumnsError, ConfigError.
    """
    frame = _ordered(events)
    users, starts = np.unique(frame["user_id"].to_numpy(dtype=str), return_index=True)
    lengths = np.diff(np.append(starts, len(frame)))
    kinds, codes = np.unique(frame["event_type"].to_numpy(dtype=str), return_inverse=True)
    paid = counted_amounts(frame["amount"].to_numpy(), kinds, codes, money=money)
    spend = in_money(sums(whole_units(paid), starts))
    whole = {
        "lifetime_events": pa.array(lengths, pa.int64()),
        "lifetime_spend": pa.array(spend, pa.float64()),
        "first_event_time": pa.array(frame["event_time"].to_numpy()[starts], _TIME),
    }
    is_past = (frame["event_time"] < before).to_numpy()
    ends = np.append(0, np.cumsum(is_past))  # past events up to each place
    of_user = np.repeat(np.arange(len(users)), lengths)
    later = ends[(starts + lengths)[of_user]] - ends[1:]  # past events of the user after each one
    kept = frame[~is_past | (later < max_events)]
    gaps = kept.groupby("user_id", sort=False)["event_time"].diff()
    kept = kept.assign(session_start=gaps.isna() | (gaps > gap))
    counts = np.bincount(of_user[~is_past | (later < max_events)], minlength=len(users))
    offsets = pa.array(np.append(0, np.cumsum(counts)), pa.int32())

    def lists(name: str, kind: pa.DataType) -> pa.ListArray:
        return pa.ListArray.from_arrays(offsets, pa.Array.from_pandas(kept[name], type=kind))

    return pa.table(
        {
            "user_id": pa.array(users.tolist(), pa.string()),
            "event_times": lists("event_time", _TIME),
            "item_ids": lists("item_id", pa.string()),
            "event_types": lists("event_type", pa.string()),
            "categories": lists("category", pa.string()),
            "quantities": lists("quantity", pa.float64()),
            "amounts": lists("amount", pa.float64()),
            "texts": lists(TEXT, pa.string()),
            "session_starts": lists("session_start", pa.bool_()),
            **whole,
        }
    )


def _ordered(events: pd.DataFrame) -> pd.DataFrame:
    """The columns that count, typed, by user and time."""
    require_columns(events, COLUMNS, rows="events")
    events = events[events["user_id"].notna()]  # an event of nobody is in no user's history
    frame = events.loc[:, list(COLUMNS)].copy()
    frame[TEXT] = events[TEXT].fillna("").astype(str) if TEXT in events.columns else ""
    for name in ("user_id", "item_id"):
        frame[name] = frame[name].astype(str)
    frame["category"] = frame["category"].fillna("").astype(str)
    frame["amount"] = numbers(frame["amount"], unknown=np.nan)
    frame["quantity"] = numbers(frame["quantity"], unknown=0.0)
    frame["event_time"] = instants(frame["event_time"])
    return frame.sort_values(["user_id", "event_time", "item_id"], kind="stable")


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
            [
                *(ColSpec("double" if name in numbers else "string", name) for name in COLUMNS),
                ColSpec("string", TEXT, required=False),
            ]
        ),
        outputs=Schema(
            [
                ColSpec("string", "user_id"),
                ColSpec("double", "purchase_probability_7d"),
                ColSpec("double", "churn_probability_28d", required=False),
                ColSpec("string", "last_event_date", required=False),
                ColSpec("double", "expected_spend_28d"),
                ColSpec(Array(DataType.string), "recommended_item_ids"),
                ColSpec(Array(DataType.double), "recommended_scores"),
            ]
        ),
        params=ParamSchema(
            [
                ParamSpec("cutoff", "string", ""),
                ParamSpec("top_k", "integer", 10),
                ParamSpec("exclude_bought", "boolean", False),
                ParamSpec("exclude_item_ids", "string", [], shape=(-1,)),
            ]
        ),
    )
