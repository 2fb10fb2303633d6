"""Nightshift's scoring of every user, inside Spark, as a night does it: a side of `scoring.py`.

    python -m benchmarks.scoring_nightshift SHAPE THREADS WORK

Sequences lie in Parquet files, one purchase an instant; rows of `scores` are written as Parquet
files. What starts once a night is apart: a first pass over a few users starts the workers, which
import torch and load the model.
"""

import json
import sys
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pyarrow.fs import LocalFileSystem

from benchmarks.scored_users import Shape, Users, shape_of, users_of
from contracts.tables import SCORES, SEQUENCES
from jobs.histories.sequence_parts import Part, Whole
from jobs.lake.column_types import arrow_schema
from jobs.lake.files import RowGroup
from jobs.lake.writer import FileWriter
from jobs.running.settings import Settings, load_settings
from jobs.running.spark import open_spark
from jobs.score_batches import Request, Stamp, write_scores
from jobs.services.memory import PeakMemory, family
from models.config import LabelHorizons, TransformerConfig, load_train_config
from models.networks.network import Network
from models.registry.artifact import Manifest, save_artifact
from models.sequences.instants import DAY
from models.sequences.vocabulary import Vocabulary
from models.training.calibration import IDENTITY, BaseRates, Calibration

CUTOFF = date(2017, 11, 29)
MIDNIGHT = int(datetime(2017, 11, 29, tzinfo=UTC).timestamp()) * 1_000_000
BUCKETS = 4  # files that a night writes at least: `spark.partitions` of the demo


def main(text: str, threads: int, work: Path) -> None:
    shape = shape_of(text)
    for users in users_of(text):
        write_sequences(work / "sequences", users, BUCKETS)
    write_sequences(work / "few", users.first_of(2 * BUCKETS), BUCKETS)
    save_model(work / "model", shape)
    spark = open_spark(settings_with(threads), "benchmark")
    spark.sparkContext.addFile(str(work / "model"), recursive=True)
    request = Request("model", Stamp("nightshift", "1", "benchmark", CUTOFF), top_k=10)
    memory = PeakMemory(workers, every_seconds=0.2)
    memory.start()
    seconds, cpu_seconds = 0.0, 0.0
    for name in ("few", "sequences"):
        folder = str(work / f"scores-{name}")
        writer = FileWriter(SCORES.name, SCORES.partition, LocalFileSystem(), folder, "")
        begun, cpu_begun = time.monotonic(), cpu_of(family(psutil.Process()))
        files = write_scores(spark, parts(work / name), request, writer)
        seconds = time.monotonic() - begun
        cpu_seconds = cpu_of(family(psutil.Process())) - cpu_begun
    workers_gib = memory.end()
    spark.stop()
    written = sum(pq.read_metadata(file).num_rows for file in files)
    if written != shape.num_users:
        raise SystemExit(f"{written} rows for {shape.num_users} users")
    said = {"users": shape.num_users, "seconds": seconds, "cpu_seconds": cpu_seconds}
    print(json.dumps({**said, "workers_gib": workers_gib}))


def parts(folder: Path) -> list[Part]:
    files = sorted(folder.glob("*.parquet"))
    return [Whole(RowGroup(str(file), 0, pq.read_metadata(file).num_rows)) for file in files]


def workers() -> set[psutil.Process]:
    """Spark's Python processes: all below this one but the JVM."""
    below = family(psutil.Process()) - {psutil.Process()}
    return {process for process in below if process.name().startswith("python")}


def cpu_of(processes: Iterable[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def settings_with(threads: int) -> Settings:
    settings = load_settings()
    spark = settings.spark.model_copy(update={"master": f"local[{threads}]", "partitions": BUCKETS})
    return settings.model_copy(update={"spark": spark})


def write_sequences(folder: Path, users: Users, num_files: int) -> None:
    """As many files as a night writes at least, one row group each."""
    folder.mkdir(exist_ok=True)
    for part in users.divided(num_files):
        file = folder / f"{part.first:08d}.parquet"
        pq.write_table(sequence_rows(part), file, compression="zstd", row_group_size=len(part))


def sequence_rows(users: Users) -> pa.Table:
    """One purchase a day, the last on the day before the cutoff."""
    N, E = len(users), len(users.items)
    offsets = pa.array(users.offsets, pa.int32())
    lengths = np.diff(users.offsets)
    ages = np.repeat(users.offsets[1:], lengths) - np.arange(E)
    times = MIDNIGHT - ages * DAY
    last = MIDNIGHT - DAY

    def lists(values: pa.Array) -> pa.ListArray:
        return pa.ListArray.from_arrays(offsets, values)

    def instants(values: np.ndarray) -> pa.Array:
        return pa.array(values, pa.timestamp("us", "UTC"))

    names = np.char.add("item-", np.char.zfill(users.items.astype(str), 6))
    columns = {
        "user_id": pa.array([f"user-{n:08d}" for n in range(users.first, users.first + N)]),
        "event_times": lists(instants(times)),
        "event_ids": lists(pa.array(np.arange(E).astype(str))),
        "item_ids": lists(pa.array(names)),
        "event_types": lists(pa.repeat(pa.scalar("purchase"), E)),
        "categories": lists(pa.repeat(pa.scalar("things"), E)),
        "quantities": lists(pa.array(np.ones(E))),
        "amounts": lists(pa.array(1.0 + users.items % 9)),
        "texts": pa.nulls(N, pa.list_(pa.string())),
        "session_starts": lists(pa.array(np.ones(E, dtype=bool))),
        "lifetime_events": pa.array(lengths),
        "lifetime_spend": pa.array(np.add.reduceat(1.0 + users.items % 9, users.offsets[:-1])),
        "first_event_time": instants(last - (lengths - 1) * DAY),
        "last_event_time": instants(np.full(N, last)),
        "since": pa.nulls(N, pa.date32()),
        "cutoff": pa.repeat(pa.scalar(CUTOFF, pa.date32()), N),
    }
    schema = arrow_schema(SEQUENCES)
    arrays = [columns[field.name].cast(field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def save_model(folder: Path, shape: Shape) -> None:
    """Random weights take as long as learnt ones: 64 wide, 2 blocks, 2 heads."""
    torch.manual_seed(0)
    encoder = TransformerConfig(
        max_length=shape.max_length, dim=64, num_layers=2, num_heads=2, expansion=1, dropout=0.0
    )
    order = np.argsort(-shape.item_counts, kind="stable")
    vocabulary = Vocabulary(
        item_ids=tuple(f"item-{n + 1:06d}" for n in order),
        item_categories=(1,) * shape.num_items,
        categories=("things",),
        event_types=("purchase",),
        amount_edges=(1e-9, *(float(n) for n in range(2, 9))),
        quantity_edges=(1e-9, 1.0),
        text_buckets=0,
    )
    file = load_settings().file.parent / "models" / "transformer.yaml"
    manifest = Manifest(
        config=load_train_config(file, encoder=encoder.model_dump()),
        horizons=LabelHorizons(
            money="net",
            purchase_days=7,
            churn_days=28,
            churn_active_days=60,
            spend_days=28,
            items_days=7,
        ),
        time_zone="UTC",
        training_cutoff=CUTOFF,
        label_limit=CUTOFF,
        snapshot_ids={},
        session_gap_minutes=30,
        max_events=2048,
        base_rates=BaseRates(purchase=0.5, churn=0.1, spend=10.0),
        calibration=Calibration(purchase=IDENTITY, churn=IDENTITY, spend=1.0),
        metrics={},
    )
    save_artifact(folder, manifest, vocabulary, Network(encoder, vocabulary).state_dict())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
