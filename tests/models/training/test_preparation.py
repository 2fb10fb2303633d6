"""What a network starts from before its first step."""

from types import SimpleNamespace

import pytest
import torch

from models.networks.network import Network
from models.sequences.features import FEATURE_NAMES
from models.sequences.query_features import QUERY_FEATURES
from models.sequences.year_before import YEAR_BEFORE_NAMES
from models.training.preparation import prepare
from tests.models.training.small_training import config_of, prepared

pytestmark = pytest.mark.torch


def test_a_feature_that_never_varied_in_training_is_not_read_later(tmp_path):
    """A log of eight months has no year before; when it has one, no weight of it was learnt."""
    config = config_of("gru")
    data = prepared(tmp_path / "data", config)
    network = Network(config.encoder, data.vocabulary)
    prepare(network, data.training)
    later = torch.full((1, len(QUERY_FEATURES)), 4.0)

    read = network.standardised(SimpleNamespace(query_features=later))[0]

    year_before = [QUERY_FEATURES.index(name) for name in YEAR_BEFORE_NAMES]
    told = QUERY_FEATURES.index("year_before_spend_next_28d")
    assert read[told].abs() < 1e-20
    assert (read[year_before].abs() < 1e-20).sum() >= 13  # but of the year since, which has begun
    assert (read[: len(FEATURE_NAMES)].abs() > 1e-3).all()
    assert torch.isfinite(network.feature_std).all()
