"""What the tests of models share: `sequences` rows made of a few events."""

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml

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
from models.judging.contestants import HeadRows
from models.judging.rule import GateRule
from models.networks.network import Network
from models.registry.artifact import Manifest, save_artifact
from models.sequences.vocabulary import Vocabulary
from models.training.calibration import BaseRates, Calibration, Platt

Event = tuple[str, str, str, float | None]  # user, local time, item, amount
PROJECT = Path(__file__).resolve().parents[2]
ZONE = ZoneInfo("America/New_York")
# The rule of the project's own configuration, with fewer resamples.
RULE = GateRule.model_validate(
    {
        **yaml.safe_load((PROJECT / "configs" / "nightshift.yaml").read_text())["gate"],
        "num_bootstrap": 200,
    }
)


@pytest.fixture
def zone() -> ZoneInfo:
    return ZONE


@pytest.fixture
def horizons() -> LabelHorizons:
    return HORIZONS


HORIZONS = LabelHorizons(
    money="net",
    purchase_days=7,
    churn_days=28,
    churn_active_days=60,
    spend_days=28,
    items_days=7,
)


@pytest.fixture
def sequences() -> Callable[..., pa.Table]:
    return make_sequences


def make_sequences(events: list[Event], *, max_events: int = 2048) -> pa.Table:
    """One row per user, in order of the users' first mention; times are local to New York.

    An item named `apple` is of the category `APPLE`; an amount below 0 stands for a return.
    """
    by_user: dict[str, list[tuple[datetime, int, str, float | None]]] = defaultdict(list)
    for number, (user, time, item, amount) in enumerate(events):
        when = datetime.fromisoformat(time).replace(tzinfo=ZONE).astimezone(UTC)
        by_user[user].append((when, number, item, amount))
    rows = []
    for user, found in by_user.items():
        found.sort(key=lambda event: event[:2])
        kept = found[-max_events:]
        times = [event[0] for event in kept]
        gap = timedelta(minutes=30)
        rows.append(
            {
                "user_id": user,
                "event_times": times,
                "event_ids": [f"{user}-{event[1]:06d}" for event in kept],
                "item_ids": [event[2] for event in kept],
                "event_types": ["return" if (event[3] or 0) < 0 else "purchase" for event in kept],
                "categories": [event[2].upper().rstrip("0123456789") for event in kept],
                "quantities": [1.0] * len(kept),
                "amounts": [event[3] for event in kept],
                "texts": None,
                "session_starts": [
                    n == 0 or times[n] - times[n - 1] > gap for n in range(len(kept))
                ],
                "lifetime_events": len(found),
                "lifetime_spend": sum(np.nan_to_num([event[3] or 0.0 for event in found]).tolist()),
                "first_event_time": found[0][0],
                "last_event_time": found[-1][0],
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


_TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("event_times", pa.list_(_TIME)),
        *((name, pa.list_(pa.string())) for name in ("event_ids", "item_ids", "event_types")),
        ("categories", pa.list_(pa.string())),
        ("quantities", pa.list_(pa.float64())),
        ("amounts", pa.list_(pa.float64())),
        ("texts", pa.list_(pa.string())),
        ("session_starts", pa.list_(pa.bool_())),
        ("lifetime_events", pa.int64()),
        ("lifetime_spend", pa.float64()),
        ("first_event_time", _TIME),
        ("last_event_time", _TIME),
    ]
)


@pytest.fixture(params=["lstm", "gru", "cnn", "transformer"])
def encoder_config(request: pytest.FixtureRequest) -> EncoderConfig:
    return SMALL_ENCODERS[request.param]


SMALL: dict[str, Any] = {"max_length": 16, "dim": 8, "num_layers": 1, "dropout": 0.0}
SMALL_ENCODERS: dict[str, EncoderConfig] = {
    "lstm": LSTMConfig(**SMALL),
    "gru": GRUConfig(**SMALL),
    "cnn": CNNConfig(**SMALL, kernel_size=3),
    "transformer": TransformerConfig(**SMALL, num_heads=2),
}


@pytest.fixture
def train_config(encoder_config: EncoderConfig) -> TrainConfig:
    return small_config(encoder_config)


def small_config(encoder_config: EncoderConfig) -> TrainConfig:
    return TrainConfig(
        encoder=encoder_config,
        next_item_loss=SampledSoftmax(num_negatives=4),
        loss_weights=LossWeights(next_item=0.1, items=0.3, purchase=1.0, churn=1.0, spend=0.5),
        min_item_count=1,
        num_queries=3,
        num_ranked_queries=2,
        warmup_days=0,
        batch_size=4,
        epochs=1,
        max_minutes=5,
        learning_rate=0.01,
        weight_decay=0.0,
        seed=0,
    )


@pytest.fixture
def artifact(tmp_path: Path, train_config: TrainConfig, horizons: LabelHorizons) -> Path:
    return untrained(tmp_path / "artifact", train_config, horizons)


def untrained(folder: Path, train_config: TrainConfig, horizons: LabelHorizons) -> Path:
    """The folder of an untrained model of four items, with weights that tell tokens apart."""
    torch.manual_seed(0)
    vocabulary = Vocabulary(
        item_ids=("apple", "bread", "cream", "dates"),
        item_categories=(1, 2, 3, 4),
        categories=("APPLE", "BREAD", "CREAM", "DATES"),
        event_types=("purchase", "return"),
        amount_edges=(1e-9, 1.0, 2.0, 4.0),
        quantity_edges=(1e-9, 2.0),
        text_buckets=64,
    )
    network = Network(train_config.encoder, vocabulary)
    manifest = Manifest(
        config=train_config,
        horizons=horizons,
        time_zone=ZONE.key,
        training_cutoff=date(2017, 6, 1),
        label_limit=date(2017, 4, 6),
        snapshot_ids={"sequences": 1},
        session_gap_minutes=30,
        max_events=2048,
        base_rates=BaseRates(purchase=0.5, churn=0.25, spend=30.0),
        calibration=Calibration(
            purchase=Platt(slope=1.5, offset=-0.5), churn=Platt(slope=0.5, offset=0.1), spend=2.0
        ),
        metrics={"val/score": 0.3},
    )
    save_artifact(folder, manifest, vocabulary, network.state_dict())
    return folder


@pytest.fixture(scope="session")
def gate() -> GateRule:
    return RULE


@pytest.fixture(scope="session")
def head_rows() -> Callable[..., dict[str, HeadRows]]:
    return make_head_rows


def make_head_rows(quality: dict[str, float]) -> dict[str, HeadRows]:
    """Every head on the same users; version → what it knows: 0 nothing, 1 as much as LightGBM."""
    generator = np.random.default_rng(0)
    users = np.repeat(np.arange(400), 2)
    truth = generator.normal(size=len(users)) * 1.5
    labels = (generator.random(len(users)) < 1 / (1 + np.exp(-truth))).astype(float)
    known = {"lightgbm": 1.0, **quality}
    probability = {
        name: 1 / (1 + np.exp(-share * truth)) if share else np.full(len(users), labels.mean())
        for name, share in known.items()
    }
    probability |= {
        "base_rate": np.full(len(users), labels.mean()),
        "recency": np.clip(labels.mean() + 0.02 * truth * (users % 5 == 0), 0, 1),
    }
    spend = np.exp(truth)
    noise = generator.normal(size=len(users))
    amounts = {name: np.abs(spend + (1.2 - share) * noise) for name, share in known.items()}
    amounts |= {"constant": np.full(len(users), np.median(spend)), "persistence": spend + 3 * noise}
    found = {"personal_frequency": 1.0, **quality}
    items = {
        f"{measure}/{name}": np.clip(0.3 * share + 0.1 * noise, 0, 1)
        for measure in ("ndcg@10", "recall@10")
        for name, share in {**found, "popularity": 0.3}.items()
    }
    instants = 1 + users % 60
    favourites = np.asarray(["FRUIT", "MILK", "BREAD"], dtype=object)[users % 3]
    cutoffs, about = [date(2017, 10, 31)], (users, instants, favourites)
    return {
        "purchase": HeadRows("purchase", *about, labels, probability, cutoffs),
        "churn": HeadRows("churn", *about, labels, probability, cutoffs),
        "spend": HeadRows("spend", *about, spend, amounts, cutoffs),
        "next_item": HeadRows("next_item", *about, labels + 1, items, cutoffs),
    }
