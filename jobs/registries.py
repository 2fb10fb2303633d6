"""The registered models of a deployment, and the key by which it signs the gate's verdicts."""

from jobs.running.mlflow_login import sign_in
from jobs.running.settings import Settings
from models.registry.registry import Registry
from models.registry.signing import SigningKey, VerdictKey, open_signing_key, open_verdict_key


def open_registry(settings: Settings, model: str | None = None) -> Registry:
    """The users' model, or the one of that name. Raises UnreachableError."""
    sign_in(settings)
    mlflow = settings.mlflow
    return Registry(mlflow.tracking_uri, model or mlflow.model, settings.artifacts_uri)


def signing_key(settings: Settings) -> SigningKey:
    """Of who judges and promotes; made the first time. Raises ConfigError."""
    return open_signing_key(settings.home / "keys" / "verdict.key")


def verdict_key(settings: Settings) -> VerdictKey:
    """Of who scores, forecasts and publishes: it can check, and not sign. Raises ConfigError."""
    return open_verdict_key(settings.home / "keys" / "verdict.pub")
