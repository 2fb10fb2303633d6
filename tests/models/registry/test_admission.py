"""The wall: a version speaks where its admission is signed and its files are those judged."""

import json
import os
import py_compile
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import mlflow
import pytest

from contracts.errors import DamagedModelError, NotAdmittedError
from models.registry.admission import (
    ADMISSION,
    EVALUATION,
    admit,
    fetch_admitted,
    require_admitted,
)
from models.registry.registry import ModelVersion, Registry
from models.registry.serving import input_example
from models.registry.signing import SigningKey, open_signing_key, open_verdict_key
from models.registry.version_files import digests_of

from .admitted import NOW, bare_version, judge, make_champion

pytestmark = [pytest.mark.torch, pytest.mark.slow]

CUTOFF = date(2017, 6, 1)
TAGS = {"training_cutoff": str(CUTOFF)}
ADVICE = (
    ", expected a version that the gate admitted and a promotion signed. An alias alone admits "
    "nothing. Run `nightshift evaluate` and `nightshift promote` (`nightshift train-demand` for "
    "demand), or `nightshift rollback`."
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Registry:
    folder = tmp_path_factory.mktemp("mlflow")
    return Registry(f"sqlite:///{folder}/db/mlflow.db", "shop", (folder / "artifacts").as_uri())


@pytest.fixture(scope="module")
def key(tmp_path_factory) -> SigningKey:
    return open_signing_key(tmp_path_factory.mktemp("keys") / "verdict.key")


def refusal(version: ModelVersion, key: SigningKey) -> str:
    with pytest.raises(NotAdmittedError) as raised:
        require_admitted(version, key)
    assert raised.value.exit_code == 4
    assert str(raised.value).endswith(ADVICE)
    return str(raised.value).removesuffix(ADVICE).partition(": ")[2]


def test_an_alias_admits_nothing(registry, key, tmp_path):
    """Whoever moved it: there is no admission."""
    version = bare_version(registry, tmp_path / "v", TAGS)
    registry.set_alias("champion", version.version)

    assert refusal(registry.resolve("champion"), key) == "found no admission"


def test_a_verdict_that_refuses_is_never_signed_into_an_admission(registry, key, tmp_path):
    """Nor one that nobody signed."""
    version = bare_version(registry, tmp_path / "v", TAGS)
    refused = judge(registry, version, key, admitted=False)
    with pytest.raises(NotAdmittedError, match="found an evaluation that refuses it"):
        admit(registry, refused, key, by="Eve", now=NOW)
    text = refused.tags[EVALUATION].replace('"admitted": false', '"admitted": true')
    registry.set_tags(version.version, {EVALUATION: text})
    with pytest.raises(NotAdmittedError, match="found evaluation that this deployment's key has"):
        admit(registry, registry.resolve(version.version), key, by="Eve", now=NOW)

    assert refusal(registry.resolve(version.version), key) == "found no admission"


def test_an_admission_is_of_one_version_and_is_no_evaluation(registry, key, tmp_path):
    """Copied to another, edited, or in the other's place, it admits nothing."""
    good = make_champion(registry, bare_version(registry, tmp_path / "a", TAGS).version, key)
    bad = bare_version(registry, tmp_path / "b", TAGS).version
    copied = {name: good.tags[name] for name in (ADMISSION, f"{ADMISSION}_signature")}
    unsigned = "found admission that this deployment's key has not signed"
    require_admitted(good, key)

    registry.set_tags(bad, copied)
    assert refusal(registry.resolve(bad), key) == f"found admission of shop version {good.version}"
    edited = copied[ADMISSION].replace(f'"version": "{good.version}"', f'"version": "{bad}"')
    registry.set_tags(bad, {ADMISSION: edited})
    assert refusal(registry.resolve(bad), key) == unsigned
    judged = judge(registry, registry.resolve(bad), key).tags
    signature = judged[f"{EVALUATION}_signature"]
    registry.set_tags(bad, {ADMISSION: judged[EVALUATION], f"{ADMISSION}_signature": signature})
    assert refusal(registry.resolve(bad), key) == unsigned


def test_an_admission_is_of_one_run(registry, key, tmp_path):
    """Whoever writes to MLflow's database can give the version's name and number to another run."""
    champion = make_champion(registry, bare_version(registry, tmp_path / "a", TAGS).version, key)

    assert refusal(replace(champion, run_id="another"), key) == (
        f"found admission of run {champion.run_id}"
    )


def test_a_key_of_another_deployment_admits_nothing_here(registry, key, tmp_path):
    """MLflow holds the texts and the signatures, and no key."""
    version = bare_version(registry, tmp_path / "v", TAGS).version
    other = open_signing_key(tmp_path / "keys" / "verdict.key")
    champion = make_champion(registry, version, other)

    assert "has not signed" in refusal(champion, key)
    assert "has not signed" in refusal(champion, open_verdict_key(tmp_path / "none.pub"))


def test_a_version_that_was_rolled_back_does_not_speak_again_by_an_alias(registry, key, tmp_path):
    """What it said of past nights may still be published."""
    version = bare_version(registry, tmp_path / "v", TAGS).version
    make_champion(registry, version, key)
    registry.set_tags(version, {"status": "rolled_back"})

    assert refusal(registry.resolve(version), key) == "found a version that was rolled back"
    fetch_admitted(registry, registry.resolve(version), key, tmp_path / "to")


# ---- files ---------------------------------------------------------------------------------------


@pytest.fixture
def champion(registry, key, artifact) -> ModelVersion:
    """A trained version, judged and promoted."""
    run_id = registry.start_run("tests", name="run", params={}, tags={})
    return make_champion(registry, registry.register(artifact, run_id, CUTOFF, "gru").version, key)


@pytest.fixture
def encoder_config():
    from models.config import GRUConfig

    return GRUConfig(max_length=16, dim=8, num_layers=1, dropout=0.0)


@pytest.fixture
def stored(registry, champion) -> Path:
    """Where MLflow keeps its files: whoever reaches this folder can change them."""
    source = registry.client.get_model_version(champion.name, champion.version).source
    model = registry.client.get_logged_model(source.removeprefix("models:/"))
    return Path(model.artifact_location.removeprefix("file://"))


@pytest.fixture(
    params=["exchanged items", "cut weights", "another file", "code", "missing", "compiled", "link"]
)
def harm(request, stored) -> Iterator[str]:
    """Something done to the files; the value is what the refusal says of it."""
    data = next((stored / "data").iterdir())
    index, weights = data / "item_index.json", data / "weights.safetensors"
    name = f"data/{data.name}"
    if request.param == "exchanged items":
        written = json.loads(index.read_text())
        written["item_ids"][:2] = written["item_ids"][1::-1]
        index.write_text(json.dumps(written))
        yield f"{name}/item_index.json changed"
    elif request.param == "cut weights":
        weights.write_bytes(weights.read_bytes()[:-4])
        yield f"{name}/weights.safetensors changed"
    elif request.param == "another file":
        (stored / "data" / "a").mkdir()
        (stored / "data" / "a" / "manifest.json").write_text("{}")
        yield "data/a/manifest.json, which was not there"
    elif request.param == "code":
        file = stored / "code" / "models" / "registry" / "predict.py"
        file.write_text(f"{file.read_text()}\n")
        yield "code changed"
    elif request.param == "compiled":
        cache = stored / "code" / "models" / "registry" / "__pycache__"
        cache.unlink()
        py_compile.compile(
            str(cache.with_name("predict.py")),
            str(cache / "predict.cpython-311.pyc"),
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        yield "code/models/registry/__pycache__/predict.cpython-311.pyc, which was not there"
    elif request.param == "missing":
        (stored / "requirements.txt").unlink()
        yield "no requirements.txt"
    else:
        other = stored.parent / f"{stored.name}-index"
        index.rename(other)
        index.symlink_to(other)
        yield ""  # followed when MLflow copies: what it leads to is what was judged


def test_files_that_are_not_those_judged_are_refused_by_name(
    registry, key, champion, harm, tmp_path
):
    """Once, with exit code 3: trying again cannot help."""
    if not harm:
        fetch_admitted(registry, champion, key, tmp_path)
        return
    with pytest.raises(DamagedModelError) as raised:
        fetch_admitted(registry, champion, key, tmp_path)

    assert raised.value.exit_code == 3
    assert str(raised.value).startswith(f"shop version {champion.version}: found {harm}, expected ")


def test_no_compiled_code_is_judged(tmp_path):
    """Of which source it is, nobody can say."""
    file = tmp_path / "code" / "models" / "__pycache__" / "predict.pyc"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    with pytest.raises(DamagedModelError) as refused:
        digests_of(tmp_path)

    assert str(refused.value).startswith(
        f"{file}: found compiled code, expected source alone, which is what is judged."
    )


def test_a_version_whose_code_is_imported_where_it_lies_stays_as_it_was_judged(
    registry, key, champion, stored, tmp_path
):
    """MLflow serves a version of this machine from its own folder: Python compiled it there."""
    subprocess.run(
        [sys.executable, "-c", "import contracts.errors, models.configuration"],
        cwd=stored / "code",
        env={"PATH": os.defpath},
        check=True,
    )
    fetch_admitted(registry, champion, key, tmp_path)

    assert not [*stored.rglob("*.pyc")]


def test_the_served_model_refuses_what_was_not_promoted(registry, key, artifact, monkeypatch):
    """A candidate is served to nobody, whatever names it; its owner may try it all the same."""
    run_id = registry.start_run("tests", name="run", params={}, tags={})
    version = registry.register(artifact, run_id, CUTOFF, "gru").version
    registry.set_alias("champion", version)
    mlflow.set_tracking_uri(registry.tracking_uri)
    with pytest.raises(NotAdmittedError) as raised:
        mlflow.pyfunc.load_model("models:/shop@champion")
    monkeypatch.setenv("NIGHTSHIFT_LOAD_UNADMITTED", "1")
    events, params = input_example()

    assert "found no admission.json" in str(raised.value)
    assert str(raised.value).endswith(" To try a candidate, set NIGHTSHIFT_LOAD_UNADMITTED=1.")
    assert len(mlflow.pyfunc.load_model("models:/shop@champion").predict(events, params)) == 2


def test_the_served_model_checks_its_files_and_the_signature(
    registry, key, champion, stored, tmp_path, monkeypatch
):
    """The files without any key; who signed with the half that checks."""
    mlflow.set_tracking_uri(registry.tracking_uri)
    uri = f"models:/shop/{champion.version}"
    events, params = input_example()
    mine, other = tmp_path / "mine.pub", tmp_path / "b" / "verdict.key"
    mine.write_text(key._public.public_bytes_raw().hex())
    open_signing_key(other)

    assert len(mlflow.pyfunc.load_model(uri).predict(events, params)) == 2
    monkeypatch.setenv("NIGHTSHIFT_VERDICT_KEY", str(mine))
    assert len(mlflow.pyfunc.load_model(uri).predict(events, params)) == 2
    monkeypatch.setenv("NIGHTSHIFT_VERDICT_KEY", str(other.with_suffix(".pub")))
    with pytest.raises(NotAdmittedError, match="has not signed"):
        mlflow.pyfunc.load_model(uri)
    monkeypatch.delenv("NIGHTSHIFT_VERDICT_KEY")
    weights = next(stored.glob("data/*/weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(DamagedModelError, match=r"weights\.safetensors changed"):
        mlflow.pyfunc.load_model(uri)
