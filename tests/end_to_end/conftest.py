"""A deployment of its own for the end-to-end test: a slice of the real logs, small and whole."""

import socket
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from contracts.night import Program
from jobs.running.settings import PROJECT, Settings, load_settings
from jobs.running.steps import Result, run_program
from jobs.write_raw import package_tables, write_raw

HOUSEHOLDS = 120
FIRST = date(2017, 6, 12)  # early enough that training, validation and test labels have closed
TRAINING = date(2017, 11, 28)
TONIGHT = date(2017, 11, 29)


@dataclass
class Deployment:
    settings: Settings

    def run(self, program: Program, *arguments: str) -> Result:
        """Start a program as the command line does."""
        return run_program(program, [*arguments, "--json"], self.settings, devices=2)

    def must(self, program: Program, *arguments: str) -> dict[str, Any]:
        """The summary of a run that has to end well."""
        result = self.run(program, *arguments)
        assert result.exit_code == 0, f"{result.message}\n{result.log.read_text()}"
        return result.summary


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Configuration and raw logs; nothing has run yet."""
    folder = tmp_path_factory.mktemp("deployment")
    settings = settings_in(folder)
    write_raw(settings.raw_folder, **slice_of_the_package(folder))
    return Deployment(settings)


def settings_in(folder: Path) -> Settings:
    """The project's own configuration with a home of its own."""
    for source in (PROJECT / "configs").rglob("*.yaml"):
        copy = folder / "configs" / source.relative_to(PROJECT / "configs")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(source.read_text())
    file = folder / "configs" / "nightshift.yaml"
    values = yaml.safe_load(file.read_text())
    values["home"] = str(folder / "home")
    values["spark"]["partitions"] = 2
    values["series"]["top_items"] = 200
    values["gate"]["num_bootstrap"] = 200
    for name, value in values["demand"]["gate"].items():
        if name.startswith("max_") and isinstance(value, float):
            values["demand"]["gate"][name] = 1000.0  # a forecaster that learnt little is let pass
    file.write_text(yaml.safe_dump(values))
    return load_settings(file)


def slice_of_the_package(folder: Path) -> dict[str, Path]:
    """Some households, from FIRST on, as the package has them."""
    transactions, products = package_tables()
    copy = folder / "transactions.parquet"
    duckdb.sql(
        f"""
        COPY (
            SELECT * FROM read_parquet('{transactions}')
            WHERE transaction_timestamp >= DATE '{FIRST}' AND household_id IN (
                SELECT DISTINCT household_id FROM read_parquet('{transactions}')
                ORDER BY hash(household_id) LIMIT {HOUSEHOLDS}
            )
        ) TO '{copy}' (FORMAT parquet)
        """
    )
    return {"transactions": copy, "products": products}
