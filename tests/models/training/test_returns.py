"""A log in which much comes back: spend is signed, learnt as it is, and judged beside baselines."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.judging.statistics import point
from tests.models.small_version import judge_version, prepare_log, version_of
from tests.models.training.small_training import config_of

pytestmark = pytest.mark.torch

CUTOFF = date(2017, 9, 1)
CONFIG = config_of("gru", epochs=4, batch_size=16, num_queries=12, learning_rate=0.02)


@pytest.fixture
def log(sequences) -> pa.Table:
    """240 users who come by chance; every second brings half of it back weeks later."""
    events, generator = [], np.random.default_rng(3)
    for user in range(240):
        when, gap = datetime(2017, 1, 2 + user % 7, 10, tzinfo=UTC), 2.0 * 25 ** (user / 240)
        while when < datetime(2017, 9, 1, tzinfo=UTC):
            amount = round(float(generator.gamma(2.0, 10.0)), 2)
            events.append((f"u{user}", f"{when:%Y-%m-%dT%H:%M:%S}", f"apple{user % 20}", amount))
            back = when + timedelta(days=float(generator.uniform(10, 40)))
            if user % 2 and generator.random() < 0.5 and back < datetime(2017, 9, 1, tzinfo=UTC):
                events.append((f"u{user}", f"{back:%Y-%m-%dT%H:%M:%S}", "apple", -amount))
            when += timedelta(days=0.1 + float(generator.exponential(gap)))
    return sequences(events)


@pytest.mark.parametrize("money", ["net", "gross"])
def test_training_and_validation_count_as_the_labels_say(log, horizons, zone, tmp_path, money):
    """Net, some windows are below 0; gross, none is, and their sum is greater."""
    counted = horizons.model_copy(update={"money": money})
    prepared = prepare_log(
        log, CONFIG, horizons=counted, zone=zone, cutoff=CUTOFF, folder=tmp_path / "data"
    )
    data = prepared.training.open(0)
    batch = data.batch_of(data.users, np.random.default_rng(0))
    spend = batch.spend[torch.isfinite(batch.spend)]
    validated = prepared.validation.spend[np.isfinite(prepared.validation.spend)]

    assert bool((spend < 0).any()) == (money == "net")
    assert bool((validated < 0).any()) == (money == "net")
    assert (spend > 0).any()
    assert (validated > 0).any()


@pytest.mark.slow
def test_the_mean_of_signed_spend_is_learnt(log, horizons, zone, tmp_path, gate):
    """As expected spend, at least 0, which adds up to what came true net of returns."""
    place = {"horizons": horizons, "zone": zone, "cutoff": CUTOFF}
    prepared = prepare_log(log, CONFIG, folder=tmp_path / "data", **place)
    predictor = version_of(prepared, CONFIG, folder=tmp_path, **place)
    said, collected, _ = judge_version(predictor, log, gate=gate, **place)
    rows = collected.rows["spend"]
    gross = np.maximum(rows.labels, 0.0).sum() / rows.labels.sum() - 1

    assert (rows.labels < 0).any()
    assert all(
        (answer.spend >= 0).all() and np.isfinite(answer.spend).all() for answer in said.values()
    )
    assert np.isfinite(predictor.manifest.metrics["val/spend_deviance"])
    assert abs(point(rows, "total_bias", "1")) < 0.25
    assert abs(point(rows, "total_bias", "lightgbm_mean")) < 0.25
    assert gross > 0.02
