"""The executors' part of scoring: Arrow batches of `sequences` in, Arrow batches of `scores` out.

A module of its own, not a part of the program `score.py`, so that every executor process imports it
once and keeps the model it has loaded for all the tasks that it is given. Only a process that loads
a model imports torch: the driver has no use for it.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark import SparkFiles

from contracts.errors import AuditError
from contracts.tables import SCORES, SEQUENCES
from jobs.lake.column_types import arrow_schema

if TYPE_CHECKING:
    from models.registry.predict import Predictor

# Events are known by their items and times; their ids would only be carried to the executors.
INPUT_COLUMNS = [name for name in SEQUENCES.column_names if name != "event_ids"]

PROBABILITY_DECIMALS = 6  # so that a second run, summing in another order, says the same
SPEND_DECIMALS = 2
EMBEDDING_DECIMALS = 5


@dataclass(frozen=True)
class Stamp:
    """What every row says of where it comes from."""

    model_name: str
    model_version: str
    run_id: str
    cutoff: date


def scorer(
    folder: str, stamp: Stamp, *, top_k: int
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What `mapInArrow` runs; ``folder`` is the model's, as `SparkContext.addFile` knows it."""

    def score(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        predictor = load_once(SparkFiles.get(folder), os.getpid())
        for batch in batches:
            if batch.num_rows:
                yield score_batch(predictor, batch, stamp, top_k=top_k)

    return score


@cache
def load_once(directory: str, pid: int) -> "Predictor":
    """One model for each executor process; a forked one loads its own, with its own threads."""
    import torch

    from models.registry.predict import Predictor

    torch.set_num_threads(1)  # as many tasks as cores run beside each other
    return Predictor.load(Path(directory))


def score_batch(
    predictor: "Predictor", batch: pa.RecordBatch, stamp: Stamp, *, top_k: int
) -> pa.RecordBatch:
    """One row of `scores` for each row of ``batch``, in its order. Raises AuditError."""
    found = predictor.predict(batch, cutoff=stamp.cutoff, top_k=top_k)
    N = batch.num_rows
    if found.user_ids != batch.column("user_id").to_pylist():
        raise AuditError(
            f"model {stamp.model_name} version {stamp.model_version}",
            found=f"{len(found.user_ids)} answers",
            expected=f"one for each of {N} users, in their order",
            do="Nothing was committed. Mend models/registry/predict.py.",
        )
    schema = arrow_schema(SCORES)
    columns = {
        "user_id": batch.column("user_id"),
        "purchase_probability_7d": np.round(found.purchase, PROBABILITY_DECIMALS),
        "churn_probability_28d": np.round(found.churn, PROBABILITY_DECIMALS),
        "expected_spend_28d": np.round(found.spend, SPEND_DECIMALS),
        "recommended_item_ids": _lists(found.item_ids, pa.string()),
        "recommended_scores": _lists(np.round(found.item_scores, PROBABILITY_DECIMALS)),
        "embedding": _lists(np.round(found.embeddings.astype(np.float64), EMBEDDING_DECIMALS)),
        "model_name": [stamp.model_name] * N,
        "model_version": [stamp.model_version] * N,
        "run_id": [stamp.run_id] * N,
        "cutoff": [stamp.cutoff] * N,
    }
    arrays = [_array(columns[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(values: object, kind: pa.DataType) -> pa.Array:
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)


def _lists(rows: np.ndarray, kind: pa.DataType | None = None) -> pa.Array:
    """(N, k) -> N lists of k values."""
    N, k = rows.shape
    offsets = pa.array(np.arange(N + 1, dtype=np.int32) * k)
    return pa.ListArray.from_arrays(offsets, pa.array(rows.ravel(), kind))
