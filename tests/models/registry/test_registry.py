"""The registry, on a real MLflow store in SQLite."""

from datetime import date
from pathlib import Path

import pytest

from contracts.errors import ConfigError, NoChampionError, UnreachableError
from models.registry.predict import Predictor
from models.registry.registry import Registry
from models.registry.serving import input_example

pytestmark = [pytest.mark.torch, pytest.mark.slow]

CUTOFF = date(2017, 6, 1)


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Registry:
    """One store for all: its first use makes every table, which takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    return Registry(f"sqlite:///{folder}/db/mlflow.db", "shop", (folder / "artifacts").as_uri())


@pytest.fixture
def encoder_config():
    from models.config import GRUConfig

    return GRUConfig(max_length=16, dim=8, num_layers=1, dropout=0.0)


def registered(registry, artifact: Path):
    run_id = registry.start_run("tests", name="run", params={"epochs": 1}, tags={"kind": "test"})
    registry.log_metrics(run_id, {"val/score": 0.25, "val/never": float("nan")}, step=3)
    version = registry.register(artifact, run_id, CUTOFF, "gru")
    registry.end_run(run_id)
    return version


def test_a_registered_version_comes_back_as_it_went_in(registry, artifact, sequences, tmp_path):
    """What is downloaded predicts what the folder predicts, and no file of it is a pickle."""
    version = registered(registry, artifact)
    table = sequences([("u", "2017-05-01T10:00:00", "apple", 1.0)])

    folder = registry.download(registry.resolve("candidate"), tmp_path / "to")

    first = Predictor.load(artifact).predict(table, cutoff=CUTOFF, top_k=2)
    again = Predictor.load(folder).predict(table, cutoff=CUTOFF, top_k=2)
    assert again.purchase.tolist() == first.purchase.tolist()
    assert again.item_ids.tolist() == first.item_ids.tolist()
    assert (version.encoder, version.training_cutoff) == ("gru", CUTOFF)
    files = [file for file in (tmp_path / "to").rglob("*") if file.is_file()]
    assert not [file.name for file in files if file.suffix in (".pkl", ".pt", ".pth", ".bin")]
    assert not [file.name for file in files if file.read_bytes()[:2] in (b"\x80\x04", b"PK")]


def test_the_newest_version_is_the_candidate_and_both_stay_candidates(registry, artifact):
    """An alias moves; a status stays until somebody changes it."""
    first, second = registered(registry, artifact), registered(registry, artifact)

    registry.set_tags(first.version, {"status": "refused"})

    assert registry.resolve("candidate").version == second.version
    candidates = [version.version for version in registry.candidates()]
    assert first.version not in candidates
    assert candidates[-1] == second.version


def test_mlflow_serves_a_version_from_raw_events(registry, artifact):
    """`mlflow.pyfunc.load_model` answers one row per user, and a cutoff is a parameter."""
    import mlflow

    version = registered(registry, artifact)
    mlflow.set_tracking_uri(registry.tracking_uri)
    events, params = input_example()

    served = mlflow.pyfunc.load_model(f"models:/{version.name}/{version.version}")
    answer = served.predict(events, params=params)
    early = served.predict(events, params={**params, "cutoff": "2017-11-10"})

    assert answer["user_id"].tolist() == ["7", "8"]
    assert answer["purchase_probability_7d"].between(0, 1).all()
    assert early["purchase_probability_7d"][1] == 0.5  # not seen yet: the base rate
    assert early["purchase_probability_7d"][0] != answer["purchase_probability_7d"][0]


def test_an_unknown_version_is_named(registry, artifact):
    """A wrong number ends in one clear error."""
    registered(registry, artifact)

    with pytest.raises(ConfigError) as error:
        registry.resolve("99")

    assert str(error.value) == (
        "registered model shop: found no version 99, expected one that was registered. "
        "Look at the versions in MLflow, or run `nightshift train`."
    )


def test_without_a_champion_nothing_is_resolved_in_its_place(registry, artifact):
    """A candidate never stands in for a champion."""
    version = registered(registry, artifact)

    with pytest.raises(NoChampionError):
        registry.resolve("champion")
    registry.set_alias("champion", version.version)

    assert registry.resolve("champion").version == version.version


def test_a_server_that_does_not_answer_is_said_so():
    """Nobody listens on port 9."""
    with pytest.raises(UnreachableError) as error:
        Registry("http://127.0.0.1:9", "shop", "")

    assert str(error.value) == (
        "MLflow at http://127.0.0.1:9: found Connection refused, expected an answer. "
        "Start it (`make up`), or correct mlflow.tracking_uri, then run this again."
    )
