"""So many steps of Nightshift's training on the users in a folder, and the most memory it took.

python -m benchmarks.memory_training FOLDER NUM_USERS STEPS
"""

import json
import logging
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.generate import FIRST
from contracts.errors import TrainingStoppedError
from models.config import (
    LabelHorizons,
    LossWeights,
    SampledSoftmax,
    TrainConfig,
    TransformerConfig,
)
from models.networks.network import Network
from models.training.fit import fit
from models.training.keeper import Step
from models.training.prepared import prepare_data
from models.training.stop import Stop
from models.training.warm_start import Start

CUTOFF = FIRST + timedelta(days=180)
HORIZONS = LabelHorizons(
    money="net", purchase_days=7, churn_days=28, churn_active_days=60, spend_days=28, items_days=7
)
CONFIG = TrainConfig(
    encoder=TransformerConfig(max_length=32, dim=32, num_layers=1, num_heads=2, dropout=0.1),
    next_item_loss=SampledSoftmax(num_negatives=256),
    loss_weights=LossWeights(next_item=0.1, items=0.3, purchase=1.0, churn=1.0, spend=0.5),
    min_item_count=1,
    num_queries=4,
    num_ranked_queries=1,
    warmup_days=28,
    batch_size=128,
    epochs=8,
    max_minutes=60,
    learning_rate=0.002,
    weight_decay=0.01,
    seed=0,
    shard_events=100_000,  # so that the few users are many shards too
    validation_users=20_000,
)


def main(folder: Path, num_users: int, steps: int) -> None:
    torch.set_num_threads(1)
    started = time.monotonic()
    prepared = prepare_data(
        buckets(folder / "users"),
        num_users=num_users,
        folder=folder / "run" / "data",
        config=CONFIG,
        horizons=HORIZONS,
        zone=ZoneInfo("America/New_York"),
        cutoff=CUTOFF,
    )
    said: dict[str, float] = {"dealt_gib": peak_gib(), "dealt_seconds": since(started)}
    said["shards"] = len(prepared.training.sizes)
    stop, network = Stop(), Network(CONFIG.encoder, prepared.vocabulary)

    def on_step(step: Step) -> None:
        said.setdefault("validated_gib", peak_gib())
        if step.done == steps:
            stop.name = "enough steps"

    try:
        fit(
            prepared,
            config=CONFIG,
            folder=folder / "run",
            checkpoint_seconds=3600,
            on_epoch=lambda *_: None,
            on_step=on_step,
            say=lambda _: None,
            stop=stop,
            # A training that goes on from a version begins with a validation.
            start=Start("itself", prepared.vocabulary, network.state_dict()),
        )
    except TrainingStoppedError:
        print(json.dumps({**said, "trained_gib": peak_gib(), "seconds": since(started)}))


def buckets(folder: Path) -> Iterator[pa.Table]:
    for file in sorted(folder.glob("*.parquet")):
        yield pq.read_table(file)


def peak_gib() -> float:
    """The most memory that this process has had resident so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def since(moment: float) -> float:
    return round(time.monotonic() - moment, 1)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
