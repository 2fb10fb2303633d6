"""What the warehouse's `models` table says of a version, once it scores or is judged."""

import json
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from mlflow.exceptions import MlflowException

from contracts.errors import NightshiftError
from contracts.exclusions import Exclusions
from contracts.tables import MODELS
from jobs.lake.column_types import arrow_schema
from jobs.running.settings import Settings
from jobs.warehouse.warehouse import open_warehouse
from models.registry.admission import fetch_admitted
from models.registry.registry import ModelVersion, Registry
from models.registry.signing import VerdictKey
from models.sequences.vocabulary import Vocabulary

MATURED = "test/"  # metrics on matured cutoffs are logged as test/<head>/<metric>


def published_models(registry: Registry, versions: Iterable[str]) -> pa.Table:
    """One row for each version. Raises UnreachableError, ConfigError."""
    rows = []
    for version in map(registry.resolve, versions):
        run = registry.client.get_run(version.run_id)
        ended = run.info.end_time or run.info.start_time  # milliseconds since 1970
        rows.append(model_row(version, ended / 1000, run.data.metrics))
    return pa.Table.from_pylist(rows, schema=arrow_schema(MODELS))


def tell_readers(settings: Settings, registry: Registry, versions: Iterable[str]) -> dict[str, str]:
    """Put what was said of these versions into `models` at once, where there is a warehouse.

    Returns what came of it. The alias has moved, or has not, whether the warehouse answers or not:
    what it does not hear now, it hears with the next night that the version scores.
    """
    try:
        warehouse = open_warehouse(settings)
        if not warehouse.is_made():
            return {}
        warehouse.record(
            published_models(registry, versions), run_key=f"models-{secrets.token_hex(4)}"
        )
    except (NightshiftError, MlflowException) as error:
        return {"not_written": settings.without_secrets(str(error))}
    return {"written": warehouse.address}


class Catalogue(NamedTuple):
    item_ids: pa.Array  # that versions have a number for
    excluded: pa.Array  # those of them that may not be recommended


def catalogue(
    registry: Registry, versions: Iterable[str], exclusions: Exclusions, *, key: VerdictKey
) -> Catalogue:
    """What these versions know, and what of it is excluded by what they know of it.

    Raises UnreachableError, ConfigError; NotAdmittedError and DamagedModelError for rows that no
    version which the gate admitted can have made.
    """
    items, excluded = set[str](), set[str]()
    with tempfile.TemporaryDirectory() as folder:
        for version in map(registry.resolve, versions):
            to = Path(folder) / version.version
            known = Vocabulary.load(fetch_admitted(registry, version, key, to))
            items.update(known.item_ids)
            numbers = np.append(
                np.flatnonzero(known.excluded_by(exclusions)),
                np.asarray(known.excluded_items, dtype=np.int64) - 1,
            )
            excluded.update(known.item_ids[number] for number in numbers)
    return Catalogue(*(pa.array(sorted(names), pa.string()) for names in (items, excluded)))


def model_row(
    version: ModelVersion, trained_at: float, metrics: Mapping[str, float]
) -> dict[str, object]:
    promoted_at = version.tags.get("promoted_at")
    return {
        "name": version.name,
        "version": version.version,
        "encoder": version.encoder,
        "trained_at": datetime.fromtimestamp(trained_at, UTC),
        "training_cutoff": version.training_cutoff,
        "metrics": json.dumps(by_head(metrics), sort_keys=True),
        "promoted_at": datetime.fromisoformat(promoted_at) if promoted_at else None,
        "promoted_by": version.tags.get("promoted_by"),
        "verdict": version.tags.get("evaluation"),
    }


def by_head(metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """test/purchase/auroc: 0.8 → purchase: auroc: 0.8; what is not a test metric is left out."""
    heads: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        head, _, metric = name.removeprefix(MATURED).partition("/")
        if name.startswith(MATURED) and metric:
            heads.setdefault(head, {})[metric] = value
    return heads
