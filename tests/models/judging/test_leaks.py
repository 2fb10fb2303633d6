"""A model trained on a feature that knows the future is found out, however well it does."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from models.config import LSTMConfig
from models.judging.statistics import point
from models.sequences.features import FEATURE_NAMES, AsOfFeatures
from models.sequences.instants import DAY
from tests.models.small_version import judge_version, prepare_log, version_of

pytestmark = [pytest.mark.torch, pytest.mark.slow]

CUTOFF = date(2017, 9, 1)
RECENCY = FEATURE_NAMES.index("recency_days")


@pytest.fixture
def encoder_config() -> LSTMConfig:
    return LSTMConfig(max_length=16, dim=8, num_layers=1, dropout=0.0)


@pytest.fixture
def log(sequences) -> pa.Table:
    """32 users who come when they like: nothing before a week says who will come in it."""
    events, generator = [], np.random.default_rng(7)
    for user in range(32):
        when = datetime(2017, 1, 2, 10, tzinfo=UTC)
        while when < datetime(2017, 9, 1, tzinfo=UTC):
            events.append((f"u{user}", f"{when:%Y-%m-%dT%H:%M:%S}", f"apple{user % 5}", 2.0))
            when += timedelta(days=1 + float(generator.exponential(12.0)))
    return sequences(events)


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recency becomes the time to the *next* event, as a join on the wrong side would make it."""
    at = AsOfFeatures.at

    def leaking(self, users, moments):
        found = at(self, users, moments)
        following = self.instants.first_from(users, moments)
        times = np.append(self.instants.times, moments.max(initial=0) + 365 * DAY)
        known = following < self.instants.offsets[users + 1]
        wait = np.where(known, (times[following] - moments) / DAY, 365.0)
        found[:, RECENCY] = np.log1p(wait)
        return found

    monkeypatch.setattr(AsOfFeatures, "at", leaking)


def test_a_model_trained_on_a_leaking_feature_is_refused(
    log, train_config, horizons, zone, tmp_path, gate
):
    """Splendid on its own validation, no better than chance once the future is really unknown.

    The model is asked, as every night, about histories that end at the cutoff.
    """
    config = train_config.model_copy(update={"epochs": 8, "num_queries": 16, "learning_rate": 0.03})
    place = {"horizons": horizons, "zone": zone, "cutoff": CUTOFF}
    with pytest.MonkeyPatch.context() as patched:
        plant(patched)
        data = prepare_log(log, config, folder=tmp_path / "data", **place)
        predictor = version_of(data, config, folder=tmp_path, **place)
    judged = judge_version(predictor, log, gate=gate, **place)

    assert predictor.manifest.metrics["val/purchase_auroc"] > 0.9  # where chance is a half
    assert point(judged.collected.rows["purchase"], "auroc", "1") < 0.7
    assert not judged.verdict["admitted"]
    assert any(
        reason.startswith("purchase: ") and "expected better than" in reason
        for reason in judged.verdict["reasons"]
    )
