"""What the tests of jobs share: one Spark session, and settings whose home is a fresh folder."""

import itertools
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession

from jobs.running.settings import PROJECT, Settings, load_settings
from jobs.running.spark import open_spark
from models.registry.registry import Registry

from .postgres_server import PostgresServer, find_binaries
from .shop import SHOP, use

# Its farewells come after pytest has closed the stream that they would be written to.
logging.getLogger("py4j").setLevel(logging.WARNING)


def settings_in(folder: Path) -> Settings:
    """The project's own settings with another home, and as little Spark as possible."""
    values = yaml.safe_load((PROJECT / "configs" / "nightshift.yaml").read_text())
    values["home"] = str(folder / "home")
    values["spark"] = {"master": "local[1]", "driver_memory": "1g", "partitions": 2}
    file = folder / "nightshift.yaml"
    file.write_text(yaml.safe_dump(values))
    return load_settings(file)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    session = open_spark(settings_in(tmp_path_factory.mktemp("spark")), "tests")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without a row, made once: its migrations take seconds."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    Registry(f"sqlite:///{file}", "nightshift", file.parent.as_uri())
    return file


@pytest.fixture
def registry(settings: Settings, empty_mlflow: Path) -> Registry:
    """The registry of ``settings``, real and empty."""
    file = settings.home / "mlflow" / "mlflow.db"
    file.parent.mkdir(parents=True)
    shutil.copy(empty_mlflow, file)
    return Registry(settings.mlflow.tracking_uri, settings.mlflow.model, settings.artifacts_uri)


NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL server of this session's own."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    server = PostgresServer(binaries)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_uri(postgres: PostgresServer) -> str:
    """A database without a table."""
    return postgres.new_database(f"warehouse_{next(NUMBERS)}")


DATABASES = ("duckdb", "postgresql")  # every promise of a warehouse is tested on each


@pytest.fixture(params=DATABASES)
def warehouse_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new warehouse may be made: a file's path, or a database's URI."""
    if request.param == "duckdb":
        return str(tmp_path / "warehouse.duckdb")
    return str(request.getfixturevalue("postgres_uri"))


@pytest.fixture
def shop(spark: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose source is the shop above; no run of these tests may stop the session."""
    return use(settings, SHOP, monkeypatch)
