"""The registered models of a deployment: that of users, and that of demand forecasters."""

from jobs.running.settings import Settings
from models.registry.registry import Registry


def open_registry(settings: Settings, model: str | None = None) -> Registry:
    """The users' model, or the one of that name. Raises UnreachableError."""
    mlflow = settings.mlflow
    return Registry(mlflow.tracking_uri, model or mlflow.model, settings.artifacts_uri)
