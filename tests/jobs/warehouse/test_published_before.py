"""A warehouse that was there and is gone is refused: one night alone must not pass for all."""

import shutil
from pathlib import Path

import duckdb
import psycopg
import pytest

from contracts.errors import VanishedWarehouseError
from jobs.warehouse.published_before import FILE, PublishedBefore
from jobs.warehouse.warehouse import Warehouse

from .one_night import TUESDAY, WEDNESDAY, open_at, publish


@pytest.fixture
def before(tmp_path: Path) -> PublishedBefore:
    return PublishedBefore(tmp_path)


@pytest.fixture
def warehouse(warehouse_uri: str, before: PublishedBefore) -> Warehouse:
    """Two nights were published there; the older one last."""
    made = open_at(warehouse_uri)
    for cutoff in (WEDNESDAY, TUESDAY):
        before.require(made)
        publish(made, cutoff, f"run-{cutoff}")
        before.remember(made, cutoff)
    return made


def lose(uri: str) -> None:
    """The disk is not mounted; the database was restored empty."""
    if uri.startswith("postgresql://"):
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
    else:
        Path(uri).unlink()


def test_a_warehouse_that_is_gone_is_refused_with_what_was_there(before, warehouse, warehouse_uri):
    """And one that is there is not."""
    before.require(warehouse)
    lose(warehouse_uri)
    with pytest.raises(VanishedWarehouseError) as caught:
        before.require(warehouse)

    assert caught.value.exit_code == 3
    assert str(caught.value) == (
        f"{warehouse.address}: found no tables, expected those that this deployment published, up "
        "to the night 2017-11-29. Nothing was published. Mount the disk, restore the backup, or "
        "correct warehouse.uri. To begin a new warehouse, run "
        "`nightshift publish --cutoff DATE --new-warehouse`."
    )


def test_an_empty_file_in_the_place_of_the_warehouse_is_refused(before, tmp_path):
    """Whoever asks DuckDB for a file that is gone has made an empty one, or one of their own."""
    file = tmp_path / "warehouse.duckdb"
    made = open_at(str(file))
    publish(made, TUESDAY, "run")
    before.remember(made, TUESDAY)
    file.unlink()
    duckdb.connect(str(file)).close()
    with pytest.raises(VanishedWarehouseError):
        before.require(made)
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE SCHEMA own; CREATE TABLE own.publish_ledger (i INTEGER)")
        connection.execute("CREATE TABLE notes (i INTEGER)")
    with pytest.raises(VanishedWarehouseError):
        before.require(made)
    publish(made, TUESDAY, "run-2")

    before.require(made)


def test_another_address_is_another_warehouse(before, warehouse, tmp_path):
    """Who names a new one in the configuration begins anew without a flag."""
    before.require(open_at(str(tmp_path / "elsewhere.duckdb")))


@pytest.mark.parametrize("content", ["", "[1]", "{", None])
def test_a_memory_that_cannot_be_read_costs_no_night(tmp_path, content):
    """It only guards; what it guards may well be there."""
    before, made = PublishedBefore(tmp_path), open_at(str(tmp_path / "warehouse.duckdb"))
    if content is not None:
        (tmp_path / FILE).write_text(content)
    before.require(made)
    before.remember(made, TUESDAY)
    with pytest.raises(VanishedWarehouseError):
        before.require(made)


def test_a_folder_that_is_gone_after_the_publish_costs_no_night(tmp_path):
    """The night is out by then."""
    home = tmp_path / "home"
    home.mkdir()
    made = open_at(str(tmp_path / "warehouse.duckdb"))
    shutil.rmtree(home)

    PublishedBefore(home).remember(made, TUESDAY)
