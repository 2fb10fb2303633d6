"""A night of two users and an item, and a warehouse wherever one is asked for.

Every score of a night is the same ``share``, in every table, so that a mixed night shows.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from contracts.errors import AuditError
from contracts.tables import CATEGORY_DEMAND, ITEM_DEMAND, USER_RECOMMENDATIONS, USER_SCORES
from jobs.lake.column_types import arrow_schema
from jobs.warehouse.duckdb_file import DuckDBFile
from jobs.warehouse.postgres import PostgresServer
from jobs.warehouse.publication import Publication, Published, Staged
from jobs.warehouse.warehouse import Warehouse

TUESDAY, WEDNESDAY = date(2017, 11, 28), date(2017, 11, 29)
NOON = datetime(2017, 11, 29, 12, tzinfo=UTC)
READER = "nightshift_reader"


def open_at(uri: str, *, time_zone: str = "America/New_York", keep_nights: int = 30) -> Warehouse:
    if uri.startswith("postgresql://"):
        return PostgresServer(uri, time_zone=time_zone, keep_nights=keep_nights, reader_role=READER)
    return DuckDBFile(Path(uri), time_zone=time_zone, keep_nights=keep_nights)


def nightly(cutoff: date, *, share: float = 0.5, users: tuple[str, ...] = ("ann", "bob")) -> Staged:
    score = {
        "purchase_probability_7d": share,
        "purchase_decile": 10,
        "churn_probability_28d": share,
        "churn_decile": 10,
        "expected_spend_28d": share,
        "spend_decile": 10,
        "model_name": "nightshift",
        "model_version": "1",
        "run_id": "abc",
        "scored_at": NOON,
        "last_event_date": cutoff - timedelta(days=1),
    }
    units = dict.fromkeys(("units_p10", "units_p50", "units_p90", "expected_units"), share)
    rows: dict[Any, list[dict[str, Any]]] = {
        USER_SCORES: [{"cutoff": cutoff, "user_id": user, **score} for user in users],
        USER_RECOMMENDATIONS: [
            {"cutoff": cutoff, "user_id": user, "rank": 1, "item_id": "milk", "score": share}
            for user in users
        ],
        ITEM_DEMAND: [
            {
                "cutoff": cutoff,
                "item_id": "milk",
                "category": "dairy",
                "target_date": cutoff,
                "model_version": "weekday-mean-8w",
                **units,
            }
        ],
        CATEGORY_DEMAND: [
            {
                "cutoff": cutoff,
                "category": "dairy",
                "target_date": cutoff,
                "model_version": "weekday-mean-8w",
                **units,
            }
        ],
    }
    return {
        table: pa.Table.from_pylist(some, schema=arrow_schema(table))
        for table, some in rows.items()
    }


def models(encoder: str = "lstm") -> pa.Table:
    return pa.table(
        {
            "name": ["nightshift"],
            "version": ["1"],
            "encoder": [encoder],
            "trained_at": pa.array([NOON], pa.timestamp("us", "UTC")),
            "training_cutoff": [TUESDAY],
            "metrics": ["{}"],
            "promoted_at": pa.array([None], pa.timestamp("us", "UTC")),
            "promoted_by": pa.array([None], pa.string()),
            "verdict": pa.array([None], pa.string()),
        }
    )


def publication(
    cutoff: date, run: str = "run-1", share: float = 0.5, **changes: Any
) -> Publication:
    return Publication(
        **{
            "cutoff": cutoff,
            "run_key": run,
            "nightly": nightly(cutoff, share=share),
            "models": models(),
            "snapshot_ids": {"scores": 7, "demand": 8},
            "published_at": NOON,
            **changes,
        }
    )


def accept(staged: Staged) -> None:
    pass


def refuse(staged: Staged) -> None:
    raise AuditError("the night", found="x", expected="y", do="z")


def publish(
    warehouse: Warehouse, cutoff: date, run: str = "run-1", share: float = 0.5
) -> dict[str, Published]:
    return warehouse.publish(publication(cutoff, run, share), check=accept)


def shares(warehouse: Warehouse, table: str = "user_scores_latest") -> list[float]:
    rows = warehouse.query(f"SELECT DISTINCT purchase_probability_7d AS p FROM {table} ORDER BY p")
    return list(rows["p"].to_pylist())
