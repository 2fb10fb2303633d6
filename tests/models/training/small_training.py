"""A training of a few users as a process of its own, slow enough to be killed where one wants.

    python -m tests.models.training.small_training RUN_FOLDER RESULT.json --seconds-a-step 0.05

It prints `step N` after each step, and what the training says of itself. The result is the digest
of the weights it ended with, and their validation metrics.
"""

import argparse
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import torch

from contracts.errors import NightshiftError
from models.config import (
    CNNConfig,
    EncoderConfig,
    GRUConfig,
    LabelHorizons,
    LossWeights,
    LSTMConfig,
    SampledSoftmax,
    TrainConfig,
    TransformerConfig,
)
from models.networks.network import Network
from models.sequences.vocabulary import Vocabulary
from models.training.checkpoints import Checkpoints
from models.training.dataset import TrainingBatch
from models.training.fit import Fitted, fit
from models.training.keeper import Step
from models.training.module import Nightshift
from models.training.prepared import Prepared, prepare_data
from models.training.stop import Stop, listening
from models.training.validation_data import Asked
from models.training.warm_start import Start
from tests.models.conftest import make_sequences

CUTOFF = date(2017, 9, 1)
SMALL = {"max_length": 16, "dim": 8, "num_layers": 1, "dropout": 0.2}
ENCODERS: dict[str, EncoderConfig] = {
    "lstm": LSTMConfig(**SMALL),
    "gru": GRUConfig(**SMALL),
    "cnn": CNNConfig(**SMALL, kernel_size=3),
    "transformer": TransformerConfig(**SMALL, num_heads=2),
}
HORIZONS = LabelHorizons(
    money="net", purchase_days=7, churn_days=28, churn_active_days=60, spend_days=28, items_days=7
)


def config_of(encoder: str, *, shard_events: int = 10_000, **changes: object) -> TrainConfig:
    values: dict[str, object] = {
        "encoder": ENCODERS[encoder],
        "next_item_loss": SampledSoftmax(num_negatives=4),
        "loss_weights": LossWeights(next_item=0.1, items=0.3, purchase=1.0, churn=1.0, spend=0.5),
        "min_item_count": 1,
        "num_queries": 3,
        "num_ranked_queries": 2,
        "warmup_days": 0,
        "batch_size": 2,
        "epochs": 2,
        "max_minutes": 5,
        "learning_rate": 0.01,
        "weight_decay": 0.0,
        "seed": 0,
        "shard_events": shard_events,
    }
    return TrainConfig.model_validate({**values, **changes})


def users(num_users: int = 23) -> pa.Table:
    """Users who come every 3 to 11 days, some to return; every fourth stops at the end of June."""
    events = []
    for user in range(num_users):
        when, gap = datetime(2017, 1, 2 + user % 7, 10, tzinfo=UTC), 3 + user % 9
        end = datetime(2017, *((6, 28) if user % 4 == 0 else (9, 1)), tzinfo=UTC)
        while when < end:
            for item in (f"apple{user % 5}", f"bread{when.day % 3}"):
                amount = -1.0 if when.day % 5 == 0 else 1.0 + user % 3
                events.append((f"u{user}", f"{when:%Y-%m-%dT%H:%M:%S}", item, amount))
            when += timedelta(days=gap)
    return make_sequences(events)


def prepared(
    folder: Path, config: TrainConfig, *, num_users: int = 23, known: Vocabulary | None = None
) -> Prepared:
    return prepare_data(
        [users(num_users)],
        num_users=num_users,
        folder=folder,
        config=config,
        horizons=HORIZONS,
        zone=ZoneInfo("America/New_York"),
        cutoff=CUTOFF,
        known=known,
    )


def train(
    folder: Path, config: TrainConfig, *, seconds_a_step: float, stop: Stop, is_warm: bool
) -> Fitted | None:
    """Save after every step, and say so; a warm one goes on from weights drawn at random."""

    def on_step(step: Step) -> None:
        say(f"step {step.done} of {step.total}")
        time.sleep(seconds_a_step)

    data = prepared(folder / "data", config)
    torch.manual_seed(5)
    network = Network(config.encoder, data.vocabulary)
    start = Start("shop/1", data.vocabulary, network.state_dict()) if is_warm else None
    return fit(
        data,
        config=config,
        folder=folder,
        checkpoint_seconds=1e-9,
        on_epoch=lambda epoch, metrics: say(f"epoch {epoch} {json.dumps(metrics)}"),
        on_step=on_step,
        say=say,
        stop=stop,
        start=start,
    )


def say(line: str) -> None:
    """In one write: under torchrun, the line of another process would come before its end."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def break_at(kind: str, *, step: int, rank: int) -> None:
    """Let one rank meet a loss that is no number, or too little memory, in this step.

    Or be told to stop, alone, in its first validation.
    """
    losses, answer = Nightshift.losses, Nightshift.validation_step

    def told(module: Nightshift, batch: Asked, batch_idx: int) -> None:
        if module.global_rank == rank:
            os.kill(os.getpid(), signal.SIGTERM)
        answer(module, batch, batch_idx)

    if kind == "stop":
        Nightshift.validation_step = told  # type: ignore[method-assign]
        return

    def broken(module: Nightshift, batch: TrainingBatch) -> dict[str, torch.Tensor]:
        found = losses(module, batch)
        if module.step == step - 1 and module.global_rank == rank:
            if kind == "memory":
                torch.empty(160_000_000_000)  # 640 GB
            found["purchase"] = found["purchase"] * float("nan")
        return found

    Nightshift.losses = broken  # type: ignore[method-assign]


def result_of(fitted: Fitted, folder: Path) -> dict[str, object]:
    """What must not depend on kills: the best epoch, and the very last step."""
    shapes = {name: value.shape for name, value in fitted.state.items()}
    last = Checkpoints(folder, say).newest(shapes)
    assert last is not None
    metrics = {name: value for name, value in fitted.metrics.items() if "per_second" not in name}
    return {
        "best": digest_of(fitted.state),
        "last": digest_of(last.network),
        "metrics": metrics,
        "epochs": fitted.epochs,
    }


def digest_of(state: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--encoder", default="transformer")
    parser.add_argument("--seconds-a-step", type=float, default=0.0)
    parser.add_argument("--apart", action="store_true", help="a run of its own for each rank")
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--shard-events", type=int, default=900)  # three shards
    parser.add_argument("--break", dest="kind", choices=["nan", "memory", "stop"])
    parser.add_argument("--at", type=int, default=0)
    parser.add_argument("--rank", type=int)
    options = parser.parse_args()
    if options.apart:
        options.folder = options.folder / os.environ["RANK"]
    if options.kind:
        break_at(options.kind, step=options.at, rank=options.rank)
    torch.set_num_threads(1)
    config = config_of(
        options.encoder, batch_size=options.batch_size, shard_events=options.shard_events
    )
    pace = options.seconds_a_step
    with listening() as stop:
        try:
            fitted = train(
                options.folder, config, seconds_a_step=pace, stop=stop, is_warm=options.warm
            )
        except NightshiftError as error:
            rank = os.environ.get("RANK", "0")
            say(f"rank {rank}: {type(error).__name__}: {error}")
            return error.exit_code
    if fitted is not None:
        options.result.write_text(json.dumps(result_of(fitted, options.folder)))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
