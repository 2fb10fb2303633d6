"""Runs and registered versions in MLflow: the only file that knows where models are kept.

A version holds the artifact folder (safetensors and JSON, see `artifact.py`) as a pyfunc
that `models/registry/serving.py` loads, with the code it needs; nothing in it is pickled.
"""

import importlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal
from urllib.parse import urlparse

from contracts.errors import ConfigError, NoChampionError, UnreachableError
from models.registry.version_files import CODE, write_cache_stops

# Few and short: a night that cannot reach its registry must say so, not hang.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import mlflow
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

logging.getLogger("mlflow").setLevel(logging.WARNING)

CHAMPION = "champion"
CANDIDATE = "candidate"
PROJECT = Path(__file__).resolve().parents[2]
CODE_FOLDERS = (PROJECT / "contracts", PROJECT / "models")
NEEDED = (
    "cryptography",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "safetensors",
    "torch",
    "tzdata",
)
ARTIFACT = "model"  # name of the logged model
RunEnd = Literal["FINISHED", "FAILED", "KILLED"]
SERVING = "models.registry.serving"  # how the users' model is loaded and asked
TRY_ANY = "NIGHTSHIFT_LOAD_UNADMITTED"  # environment: 1 to try a candidate in a notebook
DATA = "data"  # where pyfunc puts the artifact folder


@dataclass(frozen=True)
class ModelVersion:
    name: str
    version: str
    run_id: str
    encoder: str
    training_cutoff: date
    tags: dict[str, str]


class Registry:
    def __init__(self, tracking_uri: str, model: str, artifacts_uri: str) -> None:
        self.tracking_uri, self.model, self.artifacts_uri = tracking_uri, model, artifacts_uri
        _make_folder(tracking_uri)
        try:
            with self._reached():
                self.client = MlflowClient(tracking_uri, registry_uri=tracking_uri)
                self.client.search_registered_models(max_results=1)
        except MlflowException as error:  # something answers, and it is not MLflow
            raise self._unreachable(error) from error

    # ---- runs --------------------------------------------------------------------------------

    def start_run(
        self, experiment: str, *, name: str, params: Mapping[str, Any], tags: Mapping[str, str]
    ) -> str:
        """Start a run and return its id; its parameters are logged at once."""
        with self._reached():
            run = self.client.create_run(
                self._experiment(experiment), run_name=name, tags=dict(tags)
            )
            logged = [Param(key, str(value)) for key, value in params.items()]
            self.client.log_batch(run.info.run_id, params=logged)
            return str(run.info.run_id)

    def is_run(self, run_id: str) -> bool:
        """Is there such a run, and is it not deleted?"""
        try:
            with self._reached():
                return bool(self.client.get_run(run_id).info.lifecycle_stage == "active")
        except _NotFoundError:
            return False

    def resume_run(self, run_id: str) -> None:
        """Set a run that had ended to running again."""
        with self._reached():
            self.client.update_run(run_id, status="RUNNING")

    def steps_of(self, run_id: str, curve: str) -> set[int]:
        """The steps at which the run has logged a point of the curve."""
        with self._reached():
            return {point.step for point in self.client.get_metric_history(run_id, curve)}

    def end_run(self, run_id: str, status: RunEnd = "FINISHED") -> None:
        with self._reached():
            self.client.set_terminated(run_id, status)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """One point of each curve; a value that is not finite is left out."""
        now = int(time.time() * 1000)  # when it was measured, as MLflow wants it
        points = [
            Metric(name, float(value), now, step)
            for name, value in metrics.items()
            if abs(float(value)) < float("inf")
        ]
        with self._reached():
            self.client.log_batch(run_id, metrics=points)

    def log_file(self, run_id: str, file: Path, *, folder: str | None = None) -> None:
        with self._reached():
            self.client.log_artifact(run_id, str(file), folder)

    # ---- versions ----------------------------------------------------------------------------

    def register(
        self,
        directory: Path,
        run_id: str,
        training_cutoff: date,
        encoder: str,
        *,
        serving: str = SERVING,
    ) -> ModelVersion:
        """Log the artifact folder on its run and register it as the newest candidate.

        ``serving`` names the module by which MLflow loads the folder and asks it.
        """
        tags = {
            "status": CANDIDATE,
            "encoder": encoder,
            "training_cutoff": training_cutoff.isoformat(),
        }
        with self._reached():
            source, model_id = self._log_model(directory, run_id, serving)
            if model_id:
                with TemporaryDirectory(prefix="nightshift-") as folder:
                    write_cache_stops(CODE_FOLDERS, Path(folder))
                    self.client.log_model_artifacts(model_id, folder, CODE)
            if not self._is_registered():
                self.client.create_registered_model(self.model)
            made = self.client.create_model_version(
                self.model, source, run_id=run_id, tags=tags, model_id=model_id
            )
            self.client.set_registered_model_alias(self.model, CANDIDATE, made.version)
        return self._version(str(made.version))

    def resolve(self, alias_or_version: str) -> ModelVersion:
        """The version with this number or alias. Raises NoChampionError, ConfigError."""
        if alias_or_version.isdecimal():
            return self._version(alias_or_version)
        try:
            with self._reached():
                found = self.client.get_model_version_by_alias(self.model, alias_or_version)
        except _NotFoundError:
            if alias_or_version == CHAMPION:
                raise NoChampionError(self.model) from None
            raise self._no_such(f"no alias {alias_or_version!r}") from None
        return _from_mlflow(found)

    def candidates(self) -> list[ModelVersion]:
        """Every version that still has the status of a candidate, oldest first."""
        return self.versions(status=CANDIDATE)

    def versions(self, **tags: str) -> list[ModelVersion]:
        """Every version whose tags have these values, oldest first."""
        wanted = [f"tags.{key} = '{value}'" for key, value in tags.items()]
        with self._reached():
            found = self.client.search_model_versions(
                " and ".join([f"name = '{self.model}'", *wanted])
            )
        return sorted(map(_from_mlflow, found), key=lambda version: int(version.version))

    def download(self, version: ModelVersion, to: Path) -> Path:
        """Fetch a version's artifact folder, ready for `Predictor.load`."""
        to.mkdir(parents=True, exist_ok=True)
        with self._reached():
            source = self.client.get_model_version_download_uri(version.name, version.version)
            folder = mlflow.artifacts.download_artifacts(
                artifact_uri=source, dst_path=str(to), tracking_uri=self.tracking_uri
            )
        held = sorted((Path(folder) / DATA).glob("*/manifest.json"))
        if not held:
            raise ConfigError(
                f"{version.name} version {version.version}",
                found=f"no {DATA}/*/manifest.json",
                expected="a version that this project registered",
                do="Choose another version, or train again.",
            )
        return held[0].parent

    def attach(self, version: ModelVersion, file: Path) -> None:
        """Lay a file beside those of a version, where who serves it finds it."""
        with self._reached():
            source = self.client.get_model_version(version.name, version.version).source or ""
            if source.startswith("models:/"):
                self.client.log_model_artifact(source.removeprefix("models:/"), str(file))

    def set_alias(self, alias: str, version: str) -> None:
        with self._reached():
            self.client.set_registered_model_alias(self.model, alias, version)

    def set_tags(self, version: str, tags: Mapping[str, str]) -> None:
        with self._reached():
            for key, value in tags.items():
                self.client.set_model_version_tag(self.model, version, key, value)

    # ---- inside ------------------------------------------------------------------------------

    def _version(self, version: str) -> ModelVersion:
        try:
            with self._reached():
                return _from_mlflow(self.client.get_model_version(self.model, version))
        except _NotFoundError:
            raise self._no_such(f"no version {version}") from None

    def _no_such(self, found: str) -> ConfigError:
        return ConfigError(
            f"registered model {self.model}",
            found=found,
            expected="one that was registered",
            do="Look at the versions in MLflow, or run `nightshift train`.",
        )

    def _is_registered(self) -> bool:
        return bool(self.client.search_registered_models(f"name = '{self.model}'"))

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        # Behind a server, the server decides where artifacts lie, and passes them through.
        local = None if self.tracking_uri.startswith("http") else self.artifacts_uri
        try:
            return str(self.client.create_experiment(name, artifact_location=local))
        except MlflowException:  # another training was quicker
            found = self.client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def _log_model(self, directory: Path, run_id: str, serving: str) -> tuple[str, str | None]:
        """Log the folder as a pyfunc without pickle; its source for the registry, and its id."""
        loader = importlib.import_module(serving)
        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.tracking_uri)
        with mlflow.start_run(run_id=run_id), _tried():
            info = mlflow.pyfunc.log_model(
                name=ARTIFACT,
                loader_module=serving,
                data_path=str(directory),
                code_paths=[*map(str, CODE_FOLDERS)],
                pip_requirements=requirements(),
                signature=loader.signature(),
                input_example=loader.input_example(),
            )
        return str(info.model_uri), info.model_id

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST" or (
                error.error_code == "INVALID_PARAMETER_VALUE" and "alias" in str(error).lower()
            ):
                raise _NotFoundError(str(error)) from error
            if " 401 " in str(error):
                raise self._refused_login() from None
            if _is_connection(error):
                raise self._unreachable(error) from error
            raise
        except OSError as error:
            raise self._unreachable(error) from error

    def _refused_login(self) -> UnreachableError:
        return UnreachableError(
            "MLflow",
            address=self.tracking_uri,
            reason="that it asks for a login, and not this one",
            do="Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD; of the MLflow that "
            "`nightshift up` starts, the password is in mlflow/password under the home folder.",
        )

    def _unreachable(self, error: Exception) -> UnreachableError:
        return UnreachableError(
            "MLflow",
            address=self.tracking_uri,
            reason=_short(error),
            do="Start it (`make up`), or correct mlflow.tracking_uri, then run this again.",
        )


@contextmanager
def _tried() -> Iterator[None]:
    """MLflow asks a model about its example before it stores it, and so before it is judged."""
    before = os.environ.get(TRY_ANY)
    os.environ[TRY_ANY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[TRY_ANY]
        else:
            os.environ[TRY_ANY] = before


class _NotFoundError(Exception):
    """The registry answered that there is no such thing."""


def _from_mlflow(found: Any) -> ModelVersion:
    tags = dict(found.tags)
    return ModelVersion(
        name=str(found.name),
        version=str(found.version),
        run_id=str(found.run_id),
        encoder=tags.get("encoder", ""),
        training_cutoff=date.fromisoformat(tags.get("training_cutoff", "1970-01-01")),
        tags=tags,
    )


def requirements() -> list[str]:
    """What serving a version needs, as installed here; torch without its local build's name."""
    return [f"{name}=={metadata.version(name).split('+')[0]}" for name in NEEDED]


def _make_folder(tracking_uri: str) -> None:
    """SQLite makes its file, not the folder around it."""
    parsed = urlparse(tracking_uri)
    if parsed.scheme != "sqlite":
        return
    folder = Path(parsed.path.removeprefix("/") if parsed.path.startswith("//") else parsed.path)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnreachableError(
            "MLflow",
            address=tracking_uri,
            reason=_short(error),
            do="Correct mlflow.tracking_uri or the rights of its folder, then run this again.",
        ) from error


def _is_connection(error: MlflowException) -> bool:
    said = str(error).lower()
    marks = ("max retries", "connection", "timed out", "unable to open", "operationalerror", "503")
    return any(mark in said for mark in marks)


def _short(error: BaseException) -> str:
    """The first cause, which says what happened; what is around it says that it mattered."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
