"""The version that a training goes on from: found, fetched and refused before any row is read."""

import re
import tempfile
from datetime import date
from pathlib import Path

from contracts.errors import ConfigError, CutoffError
from models.config import TrainConfig
from models.registry.artifact import load_artifact
from models.registry.registry import Registry
from models.training.warm_start import Start

# Settings of an encoder that leave its weights the shape and the meaning that they have.
FREE = {"dropout", "max_length"}
_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")


def find_parent(registry: Registry, asked: str, *, config: TrainConfig, cutoff: date) -> Start:
    """``models:/<name>@<alias>``, ``models:/<name>/<version>``, an alias or a version's number.

    Raises ConfigError for another model or encoder, CutoffError for a version that knows what comes
    after the cutoff, and what `Registry.resolve` raises.
    """
    version = registry.resolve(_alias_or_version(registry, asked))
    if version.training_cutoff > cutoff:
        raise CutoffError(
            f"--from {asked}",
            found=f"version {version.version}, which was trained at {version.training_cutoff}",
            expected=f"one trained at {cutoff} or before it",
            do="Go on from an older version: this one knows what came after the cutoff.",
        )
    with tempfile.TemporaryDirectory() as folder:
        artifact = load_artifact(registry.download(version, Path(folder)))
    before = artifact.manifest.config.encoder.model_dump()
    wanted = config.encoder.model_dump()
    different = [
        name for name in sorted({*before, *wanted} - FREE) if before.get(name) != wanted.get(name)
    ]
    if different:
        raise ConfigError(
            f"--from {asked}",
            found=f"an encoder with {_said(before, different)}",
            expected=_said(wanted, different),
            do="Train with the encoder and the values of that version, or without --from.",
        )
    name = f"{version.name}/{version.version}"
    state = artifact.network.state_dict()
    return Start(name, artifact.vocabulary, state)


def _alias_or_version(registry: Registry, asked: str) -> str:
    if "/" not in asked:
        return asked
    found = _URI.fullmatch(asked)
    if found is None or found["name"] != registry.model:
        raise ConfigError(
            "--from",
            found=repr(asked),
            expected=f"models:/{registry.model}@champion, or models:/{registry.model}/7",
            do="Name a version of the model that this deployment trains.",
        )
    return found["version"] or found["alias"]


def _said(values: dict[str, object], names: list[str]) -> str:
    return ", ".join(f"{name} {values.get(name, 'none')}" for name in names)
