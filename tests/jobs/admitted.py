"""Versions that a deployment has judged and promoted, without a training or an evaluation."""

from typing import Any

from jobs.registries import signing_key
from jobs.running.settings import Settings
from models.registry.registry import ModelVersion, Registry
from tests.models.registry import admitted
from tests.models.registry.admitted import bare_version

__all__ = ["bare_version", "judge", "make_champion"]


def judge(
    settings: Settings, registry: Registry, version: ModelVersion, **facts: Any
) -> ModelVersion:
    return admitted.judge(registry, version, signing_key(settings), **facts)


def make_champion(settings: Settings, registry: Registry, version: str) -> ModelVersion:
    return admitted.make_champion(registry, version, signing_key(settings))
