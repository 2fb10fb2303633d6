"""The registry, on a real MLflow store in SQLite."""

import io
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

import pytest

from contracts.errors import ConfigError, NoChampionError, UnreachableError
from models.registry.admission import KEY_FILE
from models.registry.predict import Predictor
from models.registry.registry import TRY_ANY, Registry
from models.registry.serving import input_example
from models.registry.signing import open_signing_key

from .admitted import make_champion

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


def test_mlflow_serves_a_version_from_raw_events(registry, artifact, monkeypatch):
    """`mlflow.pyfunc.load_model` answers one row per user, and a cutoff is a parameter."""
    import mlflow
    from mlflow.pyfunc.scoring_server import predictions_to_json

    version = registered(registry, artifact)
    monkeypatch.setenv(TRY_ANY, "1")
    mlflow.set_tracking_uri(registry.tracking_uri)
    events, params = input_example()

    served = mlflow.pyfunc.load_model(f"models:/{version.name}/{version.version}")
    answer = served.predict(events, params=params)
    early = served.predict(events, params={**params, "cutoff": "2017-11-10"})

    assert answer["user_id"].tolist() == ["7", "8"]
    assert answer["purchase_probability_7d"].between(0, 1).all()
    assert early["purchase_probability_7d"][1] == 0.5  # not seen yet: the base rate
    assert answer["churn_probability_28d"].between(0, 1).all()
    assert early["churn_probability_28d"].isna().tolist() == [False, True]  # not seen: not asked
    said = io.StringIO()
    predictions_to_json(early, said)
    assert "NaN" not in said.getvalue()
    assert json.loads(said.getvalue())["predictions"][1]["churn_probability_28d"] is None
    assert early["last_event_date"].tolist() == ["2017-11-03", None]
    assert early["purchase_probability_7d"][0] != answer["purchase_probability_7d"][0]


@pytest.mark.slow
def test_mlflow_answers_a_request_for_raw_events_over_http(
    registry, artifact, tmp_path, monkeypatch
):
    """`mlflow models serve` and a curl, as the README shows them."""
    key = open_signing_key(tmp_path / "verdict.key")
    version = make_champion(registry, registered(registry, artifact).version, key)
    registry.client.delete_registered_model_alias(registry.model, "champion")
    monkeypatch.setenv(KEY_FILE, str(tmp_path / "verdict.pub"))
    port = free_port()
    events, params = input_example()
    body = {"dataframe_records": events.to_dict("records"), "params": params}
    uri = f"models:/{version.name}/{version.version}"
    command = ["mlflow", "models", "serve", "--model-uri", uri, "--port", str(port)]

    with running(command, registry.tracking_uri, port):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            said = json.load(answer)["predictions"]

    assert [row["user_id"] for row in said] == ["7", "8"]
    assert all(0 <= row["purchase_probability_7d"] <= 1 for row in said)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_a_version_answers_in_an_environment_of_nothing_but_what_it_lists(
    registry, artifact, tmp_path
):
    """MLflow, the version's own requirements and the code that lies in it: no checkout of ours."""
    key = open_signing_key(tmp_path / "verdict.key")
    version = make_champion(registry, registered(registry, artifact).version, key)
    registry.client.delete_registered_model_alias(registry.model, "champion")
    venv.create(tmp_path / "clean", with_pip=True)
    python = tmp_path / "clean/bin/python"
    folder = registry.download(version, tmp_path / "version").parents[1]
    listed = folder / "requirements.txt"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", listed], check=True)
    ask = f"""
import mlflow, sys
from mlflow.models import Model
events = Model.load({str(folder)!r}).load_input_example({str(folder)!r})
said = mlflow.pyfunc.load_model({str(folder)!r}).predict(events, params={{"cutoff": "2017-11-28"}})
print(said["user_id"].tolist(), [name for name in sys.modules if name.startswith("pyspark")])
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    done = subprocess.run(
        [python, "-c", ask], cwd=tmp_path, env=environment, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['7', '8'] []"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], tracking_uri: str, port: int) -> Iterator[None]:
    """A server in this environment, until its port answers; stopped with all that it started."""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": tracking_uri}
    process = subprocess.Popen(
        [*command, "--env-manager", "local"],
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            assert process.poll() is None, "the server has ended"
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ping"):
                break
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


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
