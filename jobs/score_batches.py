"""The executors' part of scoring: parts of `sequences` in, rows of `scores` out.

A task reads its part batch by batch, asks the model and passes the answers on. Of a whole partition
it never holds more than a batch of users and what is being written, however many there are; where
nights are to be folded, a bucket of users. The columns go from file to model and back into a file
without becoming rows of the JVM.

A module of its own, not a part of the program `score.py`, so that every executor process imports it
once and keeps the model it has loaded for all the tasks that it is given. Only a process that loads
a model imports torch: the driver has no use for it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyarrow.fs import FileSystem
from pyspark import SparkFiles
from pyspark.sql import DataFrame, SparkSession

from contracts.errors import AuditError
from contracts.tables import SCORES
from jobs.histories.sequence_buckets import ROW_COLUMNS
from jobs.histories.sequence_parts import Part
from jobs.lake.column_types import arrow_schema, spark_schema
from jobs.lake.writer import FileWriter
from models.registry.exclusion import NOTHING_EXCLUDED, Exclusion

if TYPE_CHECKING:
    from models.registry.predict import Predictor

# Events are known by their items and times; their ids would only be read for nothing.
INPUT_COLUMNS = [name for name in ROW_COLUMNS if name != "event_ids"]
BATCH_USERS = 1024  # some 40 MB at 600 events a user

CHURN_ACTIVE_DAYS = "churn_active_days"  # the fact of a commit that says who was asked about churn
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


@dataclass(frozen=True)
class Request:
    """What the executors have to know of a run."""

    folder: str  # the model's, as `SparkContext.addFile` knows it
    stamp: Stamp
    top_k: int
    exclusion: Exclusion = NOTHING_EXCLUDED


def write_scores(
    spark: SparkSession, parts: list[Part], request: Request, writer: FileWriter
) -> list[str]:
    """A file of `scores` for each part of `sequences`; returns their paths."""
    filesystem = writer.filesystem

    def write(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number in _of(numbers):
            rows = _scored(parts[number], request, filesystem)
            for path in writer.write_stream(rows, label=f"{number:05}-"):
                yield pa.record_batch({"path": [path]})

    return [row["path"] for row in _tasks(spark, parts).mapInArrow(write, "path string").collect()]


def score_rows(
    spark: SparkSession, parts: list[Part], request: Request, filesystem: FileSystem
) -> DataFrame:
    """The rows that `write_scores` would write."""

    def score(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number in _of(numbers):
            yield from _scored(parts[number], request, filesystem)

    return _tasks(spark, parts).mapInArrow(score, spark_schema(SCORES))


def _tasks(spark: SparkSession, parts: list[Part]) -> DataFrame:
    """A task for each part, which knows it by its number."""
    return spark.range(0, len(parts), 1, max(len(parts), 1))


def _of(numbers: Iterator[pa.RecordBatch]) -> Iterator[int]:
    pa.set_cpu_count(1)  # as many tasks as cores run beside each other
    for batch in numbers:
        yield from batch.column("id").to_pylist()


def _scored(part: Part, request: Request, filesystem: FileSystem) -> Iterator[pa.RecordBatch]:
    predictor = load_once(SparkFiles.get(request.folder), os.getpid())
    for batch in part.batches(filesystem, BATCH_USERS, INPUT_COLUMNS):
        yield score_batch(predictor, batch, request)


@cache
def load_once(directory: str, pid: int) -> "Predictor":
    """One model for each executor process; a forked one loads its own, with its own threads."""
    import torch

    from models.registry.predict import Predictor

    torch.set_num_threads(1)  # as many tasks as cores run beside each other
    return Predictor.load(Path(directory))


def score_batch(predictor: "Predictor", batch: pa.RecordBatch, request: Request) -> pa.RecordBatch:
    """One row of `scores` for each row of ``batch``, in its order. Raises AuditError."""
    stamp = request.stamp
    found = predictor.predict(
        batch, cutoff=stamp.cutoff, top_k=request.top_k, exclusion=request.exclusion
    )
    N = batch.num_rows
    if found.user_ids != batch.column("user_id").to_pylist():
        raise AuditError(
            f"model {stamp.model_name} version {stamp.model_version}",
            found=f"{len(found.user_ids)} answers",
            expected=f"one for each of {N} users, in their order",
            do="Nothing was committed. Mend models/registry/predict.py.",
        )
    offered = found.item_ids != ""  # (N, k)
    states = np.round(found.embeddings.astype(np.float64), EMBEDDING_DECIMALS)  # (N, D)
    schema = arrow_schema(SCORES)
    columns = {
        "user_id": batch.column("user_id"),
        "purchase_probability_7d": np.round(found.purchase, PROBABILITY_DECIMALS),
        "churn_probability_28d": pa.array(
            np.round(found.churn, PROBABILITY_DECIMALS),
            mask=~found.is_active,  # who is not asked has no answer
        ),
        "last_event_date": found.last_event_dates,
        "expected_spend_28d": np.round(found.spend, SPEND_DECIMALS),
        "recommended_item_ids": _lists(found.item_ids, offered, pa.string()),
        "recommended_scores": _lists(np.round(found.item_scores, PROBABILITY_DECIMALS), offered),
        "embedding": _lists(states, np.ones(states.shape, dtype=bool)),
        "model_name": [stamp.model_name] * N,
        "model_version": [stamp.model_version] * N,
        "run_id": [stamp.run_id] * N,
        "cutoff": [stamp.cutoff] * N,
    }
    arrays = [_array(columns[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(values: object, kind: pa.DataType) -> pa.Array:
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)


def _lists(rows: np.ndarray, kept: np.ndarray, kind: pa.DataType | None = None) -> pa.Array:
    """(N, k), (N, k) bool -> N lists of the values that are kept."""
    offsets = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows[kept], kind))
