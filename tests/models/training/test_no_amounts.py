"""A log in which nothing is paid for: spend is 0, and the other heads decide alone."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.judging.behaviour import check_behaviour
from models.judging.contestants import collect
from models.judging.evaluation import evaluate
from models.networks.network import Network
from models.registry.artifact import Manifest, save_artifact
from models.registry.predict import Predictor
from models.sequences.history import Histories
from models.sequences.matured import Matured, plans
from models.training.fit import fit
from models.training.module import Nightshift
from models.training.prepared import Prepared, prepare_data
from models.training.stop import Stop
from models.training.validation import Answers, validation_metrics
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
                events.append((f"u{user}", f"{when:%Y-%m-%dT%H:%M:%S}", item, 0.0))
            when += timedelta(days=0.1 + float(generator.exponential(gap)))
    return sequences(events)


@pytest.fixture
def prepared(log, horizons, zone, tmp_path) -> Prepared:
    return prepare_data(
        [log],
        num_users=len(log),
        folder=tmp_path / "data",
        config=CONFIG,
        horizons=horizons,
        zone=zone,
        cutoff=CUTOFF,
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
    fitted = fit(
        prepared,
        config=CONFIG,
        folder=tmp_path / "run",
        checkpoint_seconds=3600,
        on_epoch=lambda *_: None,
        on_step=lambda _: None,
        say=lambda _: None,
        stop=Stop(),
    )
    manifest = Manifest(
        config=CONFIG,
        horizons=horizons,
        time_zone=zone.key,
        training_cutoff=CUTOFF,
        label_limit=fitted.label_limit,
        snapshot_ids={},
        session_gap_minutes=30,
        max_events=2048,
        base_rates=fitted.base_rates,
        calibration=fitted.calibration,
        metrics=fitted.metrics,
    )
    save_artifact(tmp_path / "artifact", manifest, fitted.vocabulary, fitted.state)
    predictor = Predictor.load(tmp_path / "artifact")
    planned = plans(CUTOFF, horizons)
    cutoffs = sorted({cutoff for plan in planned.values() for cutoff in plan.test})
    said = {cutoff: predictor.predict(log, cutoff=cutoff, top_k=10) for cutoff in cutoffs}
    matured = Matured(Histories.from_arrow(log), horizons=horizons, zone=zone)
    found = collect(matured, planned, {"1": said})
    checks = check_behaviour(predictor, log, cutoff=cutoffs[0], zone=zone)

    document = evaluate(
        found.rows, {"1": checks}, champion=None, gate=gate, left_out=found.left_out
    )
    verdict = document["verdicts"]["1"]

    assert verdict["admitted"], verdict["reasons"]
    assert (
        "spend: left out, for no amount above 0 was paid in the windows that baselines learn from"
        in verdict["reasons"]
    )
    assert set(verdict["gains"]) == {"purchase", "churn", "next_item"}
    for answer in said.values():
        assert not answer.spend.any()
        assert not answer.spend_median.any()
