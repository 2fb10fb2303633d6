"""A log in which nothing is paid for: spend is 0, and the other heads decide alone."""

import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.networks.network import Network
from models.training.module import Nightshift
from models.training.prepared import Prepared
from models.training.validation import Answers, validation_metrics
from tests.models.small_version import judge_version, prepare_log, version_of
from tests.models.training.small_training import config_of

pytestmark = pytest.mark.torch

CUTOFF = date(2017, 9, 1)
CONFIG = config_of("gru", epochs=4, batch_size=16, num_queries=12, learning_rate=0.02)


@pytest.fixture
def log(sequences) -> pa.Table:
    """480 users who come by chance, every 2 to 50 days, for their own item and another."""
    events, generator = [], np.random.default_rng(3)
    for user in range(480):
        when, gap = datetime(2017, 1, 2 + user % 7, 10, tzinfo=UTC), 2.0 * 25 ** (user / 480)
        while when < datetime(2017, 9, 1, tzinfo=UTC):
            for item in (f"apple{user % 20}", f"bread{(user + when.day) % 40}"):
                events.append((f"u{user}", f"{when:%Y-%m-%dT%H:%M:%S}", item, math.nan))
            when += timedelta(days=0.1 + float(generator.exponential(gap)))
    return sequences(events)


@pytest.fixture
def prepared(log, horizons, zone, tmp_path) -> Prepared:
    return prepare_log(
        log, CONFIG, horizons=horizons, zone=zone, cutoff=CUTOFF, folder=tmp_path / "data"
    )


def test_spend_is_neither_learnt_nor_measured(prepared):
    """No loss moves the shared weights, no gain of it picks an epoch, and it says 0."""
    torch.manual_seed(0)
    network = Network(CONFIG.encoder, prepared.vocabulary)
    module = Nightshift(CONFIG, network, prepared.training, prepared.validation, num_ranks=1)
    data = prepared.training.open(0)
    batch = data.batch_of(data.users[:6], np.random.default_rng(0))

    losses = module.losses(batch)
    metrics = validation_metrics(prepared.validation, Answers.empty(prepared.validation))

    assert "spend" not in losses
    assert not any(weight.requires_grad for weight in network.spend.parameters())
    assert not [name for name in metrics if "spend" in name]
    assert -1.0 < metrics["val/score"] < 1.0
    assert network.currency(torch.tensor([3.0])).tolist() == [0.0]
    assert network.median_currency(torch.tensor([3.0])).tolist() == [0.0]


@pytest.mark.slow
def test_a_version_is_admitted_by_what_its_other_heads_show(
    log, prepared, horizons, zone, tmp_path, gate
):
    """Trained, scored and judged as any other; the verdict says why spend was left out."""
    place = {"horizons": horizons, "zone": zone, "cutoff": CUTOFF}
    predictor = version_of(prepared, CONFIG, folder=tmp_path, **place)
    said, _, verdict = judge_version(predictor, log, gate=gate, **place)

    assert verdict["admitted"], verdict["reasons"]
    assert (
        "spend: left out, for no amount above 0 was paid in the windows that baselines learn from"
        in verdict["reasons"]
    )
    assert set(verdict["gains"]) == {"purchase", "churn", "next_item"}
    for answer in said.values():
        assert not answer.spend.any()
        assert not answer.spend_median.any()
