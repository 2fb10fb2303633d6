"""The warehouse: a night is there whole or not at all, whoever reads and whatever is killed."""

import json
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from contracts.errors import AuditError, BusyError, ConfigError, UnreachableError
from contracts.tables import ITEM_DEMAND, NIGHTLY, USER_RECOMMENDATIONS, USER_SCORES, WAREHOUSE
from jobs.lake.content_hash import content_hash, hashed_columns
from jobs.warehouse.night import Publication, Staged
from jobs.warehouse.warehouse import DuckDBWarehouse

TUESDAY, WEDNESDAY = date(2017, 11, 28), date(2017, 11, 29)
NOON = datetime(2017, 11, 29, 12, tzinfo=UTC)


def nightly(cutoff: date, *, share: float = 0.5, users: tuple[str, ...] = ("ann", "bob")) -> Staged:
    num = len(users)
    tens = pa.array([10] * num, pa.int32())
    scores = pa.table(
        {
            "cutoff": [cutoff] * num,
            "user_id": users,
            "purchase_probability_7d": [share] * num,
            "purchase_decile": tens,
            "churn_probability_28d": [0.1] * num,
            "churn_decile": tens,
            "expected_spend_28d": [9.99] * num,
            "spend_decile": tens,
            "model_name": ["nightshift"] * num,
            "model_version": ["1"] * num,
            "run_id": ["abc"] * num,
            "scored_at": pa.array([NOON] * num, pa.timestamp("us", "UTC")),
        }
    )
    recommendations = pa.table(
        {
            "cutoff": [cutoff] * num,
            "user_id": users,
            "rank": pa.array([1] * num, pa.int32()),
            "item_id": ["milk"] * num,
            "score": [0.2] * num,
        }
    )
    demand = pa.table(
        {
            "cutoff": [cutoff],
            "item_id": ["milk"],
            "target_date": [cutoff],
            "units_p10": [1.0],
            "units_p50": [2.0],
            "units_p90": [3.0],
            "expected_units": [2.0],
            "model_version": ["weekday-mean-8w"],
        }
    )
    return {USER_SCORES: scores, USER_RECOMMENDATIONS: recommendations, ITEM_DEMAND: demand}


def models(encoder: str = "lstm") -> pa.Table:
    return pa.table(
        {
            "name": ["nightshift"],
            "version": ["1"],
            "encoder": [encoder],
            "trained_at": pa.array([NOON], pa.timestamp("us", "UTC")),
            "training_cutoff": [TUESDAY],
            "metrics": ["{}"],
            "promoted_at": pa.array([None], pa.timestamp("us", "UTC")),
            "promoted_by": pa.array([None], pa.string()),
        }
    )


def publication(cutoff: date, run: str = "run-1", share: float = 0.5) -> Publication:
    return Publication(
        cutoff=cutoff,
        run_key=run,
        nightly=nightly(cutoff, share=share),
        models=models(),
        snapshot_ids={"scores": 7, "demand": 8},
        published_at=NOON,
    )


def accept(staged: Staged) -> None:
    pass


@pytest.fixture
def warehouse(tmp_path) -> DuckDBWarehouse:
    return DuckDBWarehouse(tmp_path / "warehouse.duckdb", time_zone="America/New_York")


def shares(warehouse: DuckDBWarehouse, table: str = "user_scores_latest") -> list[float]:
    rows = warehouse.query(f"SELECT DISTINCT purchase_probability_7d AS p FROM {table} ORDER BY p")
    return rows["p"].to_pylist()


def test_a_night_is_readable_as_it_was_staged(warehouse):
    """What the check saw, what the tables hold and what the ledger says are the same rows."""
    seen: dict[str, str] = {}

    def check(staged: Staged) -> None:
        for table, rows in staged.items():
            seen[table.name] = content_hash(rows, hashed_columns(table))

    published = warehouse.publish(publication(WEDNESDAY), check=check)
    ledger = warehouse.query("SELECT * FROM publish_ledger ORDER BY table_name").to_pylist()

    assert {name: row.content_hash for name, row in published.items()} == seen
    assert {row["table_name"]: row["content_hash"] for row in ledger} == seen
    assert {row["table_name"]: row["num_rows"] for row in ledger} == {
        "item_demand": 1,
        "user_recommendations": 2,
        "user_scores": 2,
    }
    assert {row["snapshot_ids"] for row in ledger} == {json.dumps({"demand": 8, "scores": 7})}
    for table in NIGHTLY:
        rows = warehouse.query(f"SELECT * FROM {table.name}_latest")
        assert rows.column_names == table.column_names
        assert content_hash(rows, hashed_columns(table)) == seen[table.name]


def test_publishing_a_night_again_leaves_the_same_rows(warehouse):
    """A second run replaces, never appends; the ledger keeps both runs as history."""
    first = warehouse.publish(publication(WEDNESDAY, "run-1"), check=accept)
    second = warehouse.publish(publication(WEDNESDAY, "run-2"), check=accept)

    assert first == second
    assert warehouse.query("FROM user_scores").num_rows == 2
    assert warehouse.query("FROM models").num_rows == 1
    assert warehouse.query("FROM publish_ledger").num_rows == 6


def test_a_night_replaces_only_itself(warehouse):
    """Other cutoffs' rows stay as they are."""
    warehouse.publish(publication(TUESDAY, "run-1", share=0.1), check=accept)
    warehouse.publish(publication(WEDNESDAY, "run-2", share=0.2), check=accept)
    warehouse.publish(publication(WEDNESDAY, "run-3", share=0.3), check=accept)

    assert shares(warehouse, "user_scores") == [0.1, 0.3]


def test_an_older_night_never_replaces_a_newer_one_in_latest(warehouse):
    """A backfill of Tuesday, run on Thursday, does not turn marketing's view back."""
    warehouse.publish(publication(WEDNESDAY, "run-1", share=0.2), check=accept)
    warehouse.publish(publication(TUESDAY, "run-2", share=0.1), check=accept)

    assert shares(warehouse) == [0.2]
    assert shares(warehouse, "user_scores") == [0.1, 0.2]
    assert set(warehouse.query("FROM freshness")["cutoff"].to_pylist()) == {WEDNESDAY}


def test_a_refused_night_leaves_yesterday(warehouse):
    """When the audit says no, the file is the one that was there, byte for byte."""
    warehouse.publish(publication(TUESDAY, share=0.1), check=accept)
    before = warehouse.file.read_bytes()

    def refuse(staged: Staged) -> None:
        raise AuditError("the night", found="x", expected="y", do="z")

    with pytest.raises(AuditError):
        warehouse.publish(publication(WEDNESDAY, "run-2"), check=refuse)

    assert warehouse.file.read_bytes() == before
    assert {path.name for path in warehouse.file.parent.iterdir()} == {
        "warehouse.duckdb",
        "warehouse.duckdb.lock",
    }


def test_an_open_reader_keeps_its_whole_old_view(warehouse):
    """A report that is running sees one night from its first query to its last."""
    warehouse.publish(publication(TUESDAY, share=0.1), check=accept)
    question = "SELECT DISTINCT purchase_probability_7d FROM user_scores_latest"
    with duckdb.connect(str(warehouse.file), read_only=True) as reader:
        before = reader.sql(question).fetchall()
        warehouse.publish(publication(WEDNESDAY, "run-2", share=0.2), check=accept)

        assert before == reader.sql(question).fetchall() == [(0.1,)]
    assert shares(warehouse) == [0.2]


# A publisher in a process of its own; FAULT is code that runs before it publishes.
PUBLISHER = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_warehouse import WEDNESDAY, DuckDBWarehouse, accept, publication
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
{fault}
warehouse = DuckDBWarehouse(Path({file!r}), time_zone="America/New_York")
warehouse.publish(publication(WEDNESDAY, "run-killed", share=0.2), check=check)
"""
FAULTS = {
    "while auditing": "check = die",
    "before the commit": (
        "check = accept\nfrom adbc_driver_manager import dbapi\ndbapi.Connection.commit = die"
    ),
    "before the rename": "check = accept\nos.replace = die",
    "after the rename": (
        "check = accept\nreplace = os.replace\nos.replace = lambda *paths: (replace(*paths), die())"
    ),
}


def start_publisher(warehouse: DuckDBWarehouse, fault: str) -> subprocess.Popen[bytes]:
    script = PUBLISHER.format(
        tests=str(Path(__file__).parent), fault=fault, file=str(warehouse.file)
    )
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)


@pytest.mark.parametrize("moment", FAULTS)
def test_a_killed_publisher_leaves_a_whole_night_and_no_obstacle(warehouse, moment):
    """kill -9 at any moment: the old night answers, or the new one, and the next run succeeds."""
    warehouse.publish(publication(TUESDAY, share=0.1), check=accept)
    killed = start_publisher(warehouse, FAULTS[moment])
    killed.wait(timeout=60)
    after_kill = shares(warehouse)
    warehouse.publish(publication(WEDNESDAY, "run-next", share=0.3), check=accept)

    assert killed.returncode == -9
    assert after_kill == ([0.2] if moment == "after the rename" else [0.1])
    assert shares(warehouse) == [0.3]
    assert not list(warehouse.file.parent.glob("*.run*"))


def test_a_second_publisher_is_told_who_is_at_it(warehouse):
    """Two runs at once: one publishes, the other changes nothing and names the first."""
    warehouse.publish(publication(TUESDAY, share=0.1), check=accept)
    waiting = "def check(staged):\n    print('ready', flush=True)\n    time.sleep(60)"
    first = start_publisher(warehouse, waiting)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == b"ready\n"
        with pytest.raises(BusyError) as caught:
            warehouse.publish(publication(WEDNESDAY, "run-2"), check=accept)
    finally:
        first.kill()
        first.wait()
        first.stdout.close()

    assert str(caught.value) == (
        f"{warehouse.file}: found process {first.pid} (run-killed) publishing, "
        "expected no other publisher. Nothing was published and the tables of the night before "
        "still answer. Wait for it to end, then run this again."
    )


OPEN_FOR_WRITING = """
import duckdb, os, signal, sys
connection = duckdb.connect({file!r})
connection.execute("CREATE TABLE mine AS SELECT 42 AS answer")
print("ready", flush=True)
{then}
"""


def test_a_file_open_for_writing_is_not_copied(warehouse):
    """A copy of a file that somebody is changing could be torn: the run says so and waits."""
    warehouse.publish(publication(TUESDAY), check=accept)
    script = OPEN_FOR_WRITING.format(file=str(warehouse.file), then="sys.stdin.read()")
    analyst = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with analyst:
        assert analyst.stdout is not None
        analyst.stdout.readline()
        with pytest.raises(BusyError) as caught:
            warehouse.publish(publication(WEDNESDAY, "run-2"), check=accept)
        analyst.communicate()

    assert str(caught.value) == (
        f"{warehouse.file}: found another program with the file open for writing, "
        "expected readers only. Nothing was published and the tables of the night before still "
        "answer. Close that program, or let it connect with read_only, then run this again."
    )


def test_what_a_killed_writer_left_in_its_log_is_kept(warehouse):
    """An analyst's own table, committed but still in DuckDB's log, survives the switch."""
    warehouse.publish(publication(TUESDAY, share=0.1), check=accept)
    script = OPEN_FOR_WRITING.format(
        file=str(warehouse.file), then="os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False)
    has_log = warehouse.file.with_name("warehouse.duckdb.wal").exists()
    warehouse.publish(publication(WEDNESDAY, "run-2", share=0.2), check=accept)

    assert has_log
    assert warehouse.query("FROM mine")["answer"].to_pylist() == [42]
    assert shares(warehouse) == [0.2]


def test_a_failed_rename_publishes_nothing_and_says_so(warehouse, monkeypatch):
    """The outcome is read from the ledger: yesterday's file is in place, so nothing happened."""
    warehouse.publish(publication(TUESDAY, share=0.1), check=accept)

    def full(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(UnreachableError) as caught:
        warehouse.publish(publication(WEDNESDAY, "run-2"), check=accept)

    assert shares(warehouse) == [0.1]
    assert str(caught.value) == (
        f"the warehouse at {warehouse.file}: found [Errno 28] No space left on device, "
        "expected an answer. Nothing was published and the tables of the night before still "
        "answer. Check the file, its folder and the space on its disk, then run this again."
    )


def test_a_failure_after_the_rename_is_a_published_night(warehouse, monkeypatch):
    """When the ledger in place has the run, the night is out: raising would make it run twice."""
    import os

    replace = os.replace

    def replace_then_fail(*paths: str) -> None:
        replace(*paths)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.replace", replace_then_fail)
    published = warehouse.publish(publication(WEDNESDAY), check=accept)

    assert published["user_scores"].num_rows == 2
    assert shares(warehouse) == [0.5]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE user_scores DROP COLUMN run_id", "no column run_id"),
        ("ALTER TABLE user_scores ADD COLUMN mood VARCHAR", "the column mood"),
        ("ALTER TABLE user_scores ALTER run_id TYPE BLOB", "run_id as BLOB"),
        ("ALTER TABLE user_scores ALTER run_id DROP NOT NULL", "run_id with nulls"),
    ],
)
def test_a_table_of_another_version_is_refused(warehouse, change, said):
    """A table is never altered, nor half filled, in silence."""
    warehouse.publish(publication(TUESDAY), check=accept)
    with duckdb.connect(str(warehouse.file)) as connection:
        connection.execute("DROP VIEW user_scores_latest")
        connection.execute(change)

    with pytest.raises(ConfigError) as caught:
        warehouse.publish(publication(WEDNESDAY, "run-2"), check=accept)

    assert str(caught.value) == (
        f"{warehouse.file}: table user_scores: found {said}, "
        "expected the columns of contracts/tables.py. Nothing was published and the tables of the "
        "night before still answer. Alter or rename the table, or name another file in "
        "warehouse.uri, then publish again."
    )


def test_a_model_that_was_promoted_again_has_one_row(warehouse):
    """`models` is keyed by version: a later night brings its row up to date."""
    warehouse.publish(publication(TUESDAY), check=accept)
    night = publication(WEDNESDAY, "run-2")
    warehouse.publish(Publication(**{**vars(night), "models": models(encoder="gru")}), check=accept)

    assert warehouse.query("FROM models")["encoder"].to_pylist() == ["gru"]


@pytest.mark.parametrize(("hours", "status"), [(20, "ok"), (40, "warn"), (70, "error")])
def test_freshness_says_how_late_the_newest_night_is(tmp_path, hours, status):
    """Hours since the newest cutoff began, in the business time zone, and what to think of it."""
    begun = datetime.now(UTC) - timedelta(hours=hours)
    offset = begun.hour + begun.minute / 60  # a zone in which the cutoff's day began just then
    ahead = round(-offset if offset <= 12 else 24 - offset)
    cutoff = (begun + timedelta(hours=ahead, minutes=30)).date()
    zone = f"Etc/GMT{-ahead:+d}"
    warehouse = DuckDBWarehouse(tmp_path / "warehouse.duckdb", time_zone=zone)
    warehouse.publish(publication(cutoff), check=accept)
    rows = warehouse.query("FROM freshness").to_pylist()

    assert {row["table_name"] for row in rows} == {table.name for table in NIGHTLY}
    assert {row["status"] for row in rows} == {status}
    assert all(abs(row["hours_since_cutoff"] - hours) < 1 for row in rows)


def test_every_table_and_column_explains_itself_in_the_database(warehouse):
    """An analyst finds the contract's words in the database's own catalogue."""
    warehouse.publish(publication(WEDNESDAY), check=accept)
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


def test_a_file_that_is_no_database_is_left_alone(warehouse):
    """Somebody's notes under the warehouse's name are never overwritten."""
    warehouse.file.write_text("notes\n" * 1000)
    with pytest.raises(UnreachableError, match="Nothing was published"):
        warehouse.publish(publication(WEDNESDAY), check=accept)

    assert warehouse.file.read_text() == "notes\n" * 1000


def test_a_night_of_the_demo_is_published_in_seconds(warehouse):
    """140,000 forecasts, hashed and audited: the night must not wait for this step."""
    num = 140_000
    night = publication(WEDNESDAY)
    demand = pa.table(
        {
            "cutoff": [WEDNESDAY] * num,
            "item_id": [f"item-{n % 5000}" for n in range(num)],
            "target_date": [WEDNESDAY + timedelta(days=n // 5000) for n in range(num)],
            **{name: [n / 7 for n in range(num)] for name in ITEM_DEMAND.column_names[3:7]},
            "model_version": ["weekday-mean-8w"] * num,
        }
    )
    big = Publication(**{**vars(night), "nightly": {**night.nightly, ITEM_DEMAND: demand}})
    start = time.process_time()
    published = warehouse.publish(big, check=accept)

    assert published["item_demand"].num_rows == num
    assert time.process_time() - start < 5
