"""The version that a training goes on from, and which ones it cannot."""

from datetime import date

import pytest
import torch

from contracts.errors import ConfigError, CutoffError
from models.registry.artifact import load_artifact
from models.registry.parent import find_parent
from models.registry.registry import CHAMPION, Registry

pytestmark = [pytest.mark.torch, pytest.mark.slow]

TRAINED = date(2017, 6, 1)
LATER = date(2017, 6, 8)


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Registry:
    folder = tmp_path_factory.mktemp("mlflow")
    return Registry(f"sqlite:///{folder}/db/mlflow.db", "shop", (folder / "artifacts").as_uri())


@pytest.fixture
def encoder_config():
    from models.config import GRUConfig

    return GRUConfig(max_length=16, dim=8, num_layers=1, dropout=0.0)


def test_a_parent_is_found_by_each_of_its_names_and_refused_for_what_it_is(
    registry, artifact, train_config
):
    """By URI, alias or number; never of another model or encoder, nor one that knows too much."""
    run_id = registry.start_run("tests", name="run", params={}, tags={})
    version = registry.register(artifact, run_id, TRAINED, "gru").version
    registry.set_alias(CHAMPION, version)

    def found(asked, cutoff=LATER, **changes):
        encoder = train_config.encoder.model_copy(update=changes)
        config = train_config.model_copy(update={"encoder": encoder})
        return find_parent(registry, asked, config=config, cutoff=cutoff)

    for asked in ("models:/shop@champion", f"models:/shop/{version}", "champion", version):
        start = found(asked, dropout=0.5, max_length=99)
        assert start.name == f"shop/{version}"
        assert start.vocabulary == load_artifact(artifact).vocabulary
        wanted = load_artifact(artifact).network.state_dict()
        assert all(torch.equal(start.state[name], wanted[name]) for name in wanted)

    with pytest.raises(ConfigError) as other_encoder:
        found("champion", dim=16, num_layers=2)
    assert str(other_encoder.value) == (
        "--from champion: found an encoder with dim 8, num_layers 1, "
        "expected dim 16, num_layers 2. "
        "Train with the encoder and the values of that version, or without --from."
    )
    with pytest.raises(CutoffError) as too_new:
        found("champion", cutoff=date(2017, 5, 31))
    assert str(too_new.value) == (
        f"--from champion: found version {version}, which was trained at 2017-06-01, "
        "expected one trained at 2017-05-31 or before it. "
        "Go on from an older version: this one knows what came after the cutoff."
    )
    with pytest.raises(ConfigError) as other_model:
        found("models:/farm@champion")
    assert str(other_model.value) == (
        "--from: found 'models:/farm@champion', "
        "expected models:/shop@champion, or models:/shop/7. "
        "Name a version of the model that this deployment trains."
    )
