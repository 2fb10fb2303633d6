"""A DuckDB file as the warehouse: it is replaced whole, and what others do with it is respected."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from contracts.errors import BusyError, ConfigError, DamagedWarehouseError, UnreachableError
from contracts.tables import WAREHOUSE
from jobs.warehouse.duckdb_file import HEADERS, DuckDBFile

from .one_night import TUESDAY, WEDNESDAY, open_at, publish, shares


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBFile:
    made = open_at(str(tmp_path / "warehouse.duckdb"))
    assert isinstance(made, DuckDBFile)
    return made


def test_an_open_reader_keeps_its_whole_old_view(warehouse):
    """A report that is running sees one night from its first query to its last."""
    publish(warehouse, TUESDAY, share=0.1)
    question = "SELECT DISTINCT purchase_probability_7d FROM user_scores_latest"
    with duckdb.connect(str(warehouse.file), read_only=True) as reader:
        before = reader.sql(question).fetchall()
        publish(warehouse, WEDNESDAY, "run-2", 0.2)

        assert before == reader.sql(question).fetchall() == [(0.1,)]
    assert shares(warehouse) == [0.2]


# A publisher in a process of its own; FAULT is code that runs before it publishes.
OPEN_FOR_WRITING = """
import duckdb, os, signal, sys
connection = duckdb.connect({file!r})
connection.execute("CREATE TABLE mine AS SELECT 42 AS answer")
print("ready", flush=True)
{then}
"""


def test_a_reader_between_two_files_reads_the_old_night(warehouse, monkeypatch):
    """DuckDB reads a file's headers, lets go of it and opens it again for the blocks.

    Whoever does so while the files change places has the headers of one and the blocks of the next,
    which may hold less: each such pair is put together here, and read.
    """
    replace, between = os.replace, []

    def meet(copy: Path, file: Path) -> None:
        if file.exists():
            torn = warehouse.file.with_name("torn.duckdb")
            torn.write_bytes(file.read_bytes()[:HEADERS] + copy.read_bytes()[HEADERS:])
            between.append(shares(open_at(str(torn))))
        replace(copy, file)

    monkeypatch.setattr(os, "replace", meet)
    days = (TUESDAY, WEDNESDAY, WEDNESDAY, TUESDAY, WEDNESDAY, WEDNESDAY, WEDNESDAY, WEDNESDAY)
    for run, day in enumerate(days):
        publish(warehouse, day, f"run-{run}", run / 10)

    assert between == [[0.0], [0.1], [0.2], [0.2], [0.4], [0.5], [0.6]]


def test_a_file_open_for_writing_is_not_copied(warehouse):
    """A copy of a file that somebody is changing could be torn: the run says so and waits."""
    publish(warehouse, TUESDAY)
    script = OPEN_FOR_WRITING.format(file=str(warehouse.file), then="sys.stdin.read()")
    analyst = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with analyst:
        assert analyst.stdout is not None
        analyst.stdout.readline()
        with pytest.raises(BusyError) as caught:
            publish(warehouse, WEDNESDAY, "run-2")
        analyst.communicate()

    assert str(caught.value) == (
        f"{warehouse.file}: found another program with the file open for writing, "
        "expected readers only. Nothing was published and the tables of the night before still "
        "answer. Close that program, or let it connect with read_only, then run this again."
    )


def test_what_a_killed_writer_left_in_its_log_is_kept(warehouse):
    """An analyst's own table, committed but still in DuckDB's log, survives the switch."""
    publish(warehouse, TUESDAY, share=0.1)
    script = OPEN_FOR_WRITING.format(
        file=str(warehouse.file), then="os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False)
    has_log = warehouse.file.with_name("warehouse.duckdb.wal").exists()
    publish(warehouse, WEDNESDAY, "run-2", 0.2)

    assert has_log
    assert warehouse.query("FROM mine")["answer"].to_pylist() == [42]
    assert shares(warehouse) == [0.2]


def test_a_failed_rename_publishes_nothing_and_says_so(warehouse, monkeypatch):
    """The outcome is read from the ledger: yesterday's file is in place, so nothing happened."""
    publish(warehouse, TUESDAY, share=0.1)

    def full(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(UnreachableError) as caught:
        publish(warehouse, WEDNESDAY, "run-2")

    assert shares(warehouse) == [0.1]
    assert str(caught.value) == (
        f"the warehouse at {warehouse.file}: found [Errno 28] No space left on device, "
        "expected an answer. Nothing was published and the tables of the night before still "
        "answer. Check the file, its folder and the space on its disk, then run this again."
    )


def test_a_failure_after_the_rename_is_a_published_night(warehouse, monkeypatch):
    """When the ledger in place has the run, the night is out: raising would make it run twice."""
    replace = os.replace

    def replace_then_fail(*paths: str) -> None:
        replace(*paths)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.replace", replace_then_fail)
    published = publish(warehouse, WEDNESDAY)

    assert published["user_scores"].num_rows == 2
    assert shares(warehouse) == [0.5]


def test_every_table_and_column_explains_itself_in_the_database(warehouse):
    """An analyst finds the contract's words in the database's own catalogue."""
    publish(warehouse, WEDNESDAY)
    comments = warehouse.query("SELECT table_name, comment FROM duckdb_tables()").to_pylist()
    columns = warehouse.query(
        "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE comment IS NOT NULL"
    ).to_pylist()

    assert {row["table_name"]: row["comment"] for row in comments} == {
        table.name: table.meaning for table in WAREHOUSE
    }
    assert len(columns) == sum(len(table.columns) for table in WAREHOUSE)
    assert any(row["comment"].endswith("(0 to 1)") for row in columns)


def test_a_missing_warehouse_says_what_to_run(warehouse):
    """Reading before the first night is a clear message, not an empty table."""
    with pytest.raises(UnreachableError) as caught:
        warehouse.query("FROM user_scores_latest")

    assert str(caught.value) == (
        f"the warehouse at {warehouse.file}: found no such file, expected an answer. "
        "Run `nightshift publish` first, or correct warehouse.uri."
    )


def test_a_night_leaves_mode_and_owner_of_the_file_as_they_were(tmp_path):
    """Whom an administrator has let read goes on reading; whom not, does not begin to."""
    file = tmp_path / "warehouse.duckdb"
    warehouse = open_at(str(file))
    publish(warehouse, TUESDAY, "run-1")
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 12345, 54321)
    before = file.stat()
    publish(warehouse, WEDNESDAY, "run-2", 0.2)
    after = file.stat()

    assert after.st_ino != before.st_ino
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)


def test_a_link_to_the_file_stays_a_link(tmp_path):
    """The file that it points to is replaced, where it lies."""
    disk = tmp_path / "disk"
    disk.mkdir()
    link = tmp_path / "warehouse.duckdb"
    link.symlink_to(disk / "real.duckdb")
    warehouse = open_at(str(link))
    publish(warehouse, TUESDAY, "run-1", 0.1)
    publish(warehouse, WEDNESDAY, "run-2", 0.2)

    assert link.is_symlink()
    assert shares(open_at(str(disk / "real.duckdb"))) == [0.2]
    assert shares(warehouse) == [0.2]


def test_a_file_of_another_kind_is_neither_read_nor_replaced(warehouse):
    """A mistyped warehouse.uri costs nobody a spreadsheet."""
    warehouse.file.write_text("a spreadsheet, say\n" * 1000)
    with pytest.raises(ConfigError) as read:
        warehouse.query("SELECT 1")
    with pytest.raises(ConfigError) as written:
        publish(warehouse, TUESDAY)

    for refused in (read, written):
        assert str(refused.value) == (
            f"{warehouse.file}: found a file of another kind, expected a DuckDB database, or no "
            "file yet. Name another file in warehouse.uri, or move this one away."
        )
    assert warehouse.file.read_text() == "a spreadsheet, say\n" * 1000


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _zeroed(content: bytes) -> bytes:
    """The headers and the first block are whole, what comes after is not."""
    end = HEADERS + 262_144
    return content[:end] + bytes(len(content) - end)


def _headless(content: bytes) -> bytes:
    return content[:4096] + bytes(8192) + content[12_288:]


@pytest.mark.parametrize("damage", [_cut, _zeroed, _headless])
def test_a_damaged_file_is_named_and_left_as_it_is(warehouse, damage):
    """A disk that lost blocks: no advice to look for another program, no try after try."""
    publish(warehouse, TUESDAY)
    damaged = damage(warehouse.file.read_bytes())
    warehouse.file.write_bytes(damaged)
    with pytest.raises(DamagedWarehouseError) as read:
        warehouse.query("SELECT * FROM user_scores")
    with pytest.raises(DamagedWarehouseError) as written:
        publish(warehouse, WEDNESDAY, "run-2")

    assert warehouse.file.read_bytes() == damaged
    for caught in (read, written):
        assert caught.value.exit_code == 3
        assert str(caught.value).startswith(f"{warehouse.file}: found a damaged file (")
        assert str(caught.value).endswith(
            "), expected a DuckDB database whose every block is as it was written. Nothing was "
            "published. Restore the file from a backup. Without one, move the file away and "
            "publish the nights to keep again, oldest first: the first with "
            "`nightshift publish --cutoff DATE --new-warehouse`, the others without that flag."
        )


def test_the_publishers_lock_is_its_owners_alone(warehouse):
    """Whoever could open the lock file, even to read, could hold the lock for good."""
    lock = warehouse.file.with_name("warehouse.duckdb.lock")
    lock.touch(0o644)
    publish(warehouse, TUESDAY)

    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
