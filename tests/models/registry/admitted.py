"""Versions judged and promoted by a key, without a training or an evaluation."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from models.registry.admission import EVALUATION, admit, root_of, signed
from models.registry.registry import DATA, ModelVersion, Registry
from models.registry.signing import SigningKey
from models.registry.version_files import digests_of

NOW = datetime(2017, 11, 28, 5, tzinfo=UTC)


def bare_version(registry: Registry, folder: Path, tags: dict[str, str]) -> ModelVersion:
    """A registered version whose one file is an empty manifest."""
    held = folder / DATA / "model"
    held.mkdir(parents=True)
    (held / "manifest.json").write_text("{}")
    if not registry._is_registered():
        registry.client.create_registered_model(registry.model)
    run_id = registry.start_run("tests", name="lstm", params={}, tags={})
    made = registry.client.create_model_version(
        registry.model, folder.as_uri(), run_id, tags={"encoder": "gru", **tags}
    )
    return registry.resolve(str(made.version))


def judge(registry: Registry, version: ModelVersion, key: SigningKey, **facts: Any) -> ModelVersion:
    """Leave on it what `jobs.evaluate` would have left."""
    with TemporaryDirectory() as folder:
        files = digests_of(root_of(registry.download(version, Path(folder))))
    about = {
        "cutoff": str(version.training_cutoff),
        "admitted": True,
        "reasons": [],
        "champion": None,
        "gain": 0.0,
        "gains": {},
        "files": files,
        **facts,
    }
    registry.set_tags(version.version, signed(EVALUATION, version, about, key))
    return registry.resolve(version.version)


def make_champion(registry: Registry, version: str, key: SigningKey) -> ModelVersion:
    """Judge and promote it, as `jobs.promote` does."""
    admit(registry, judge(registry, registry.resolve(version), key), key, by="tests", now=NOW)
    registry.set_alias("champion", version)
    return registry.resolve(version)
