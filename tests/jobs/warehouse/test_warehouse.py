"""Every warehouse: a night is there whole or not at all, as it was staged, and explains itself."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import duckdb
import psycopg
import pyarrow as pa
import pytest

from contracts.errors import AuditError, ConfigError
from contracts.tables import NIGHTLY, USER_SCORES
from jobs.lake.column_types import arrow_schema
from jobs.lake.content_hash import content_hash, hashed_columns
from jobs.warehouse.publication import Staged
from jobs.warehouse.warehouse import Warehouse
from tests.jobs.conftest import DATABASES

from .one_night import (
    NOON,
    TUESDAY,
    WEDNESDAY,
    accept,
    models,
    nightly,
    open_at,
    publication,
    publish,
    refuse,
    shares,
)


@pytest.fixture
def warehouse(warehouse_uri: str) -> Warehouse:
    return open_at(warehouse_uri)


@pytest.fixture
def analyst(warehouse_uri: str) -> Callable[[str], None]:
    """Somebody who may do as they like, and does it."""

    def do(statement: str) -> None:
        if "://" in warehouse_uri:
            with psycopg.connect(warehouse_uri, autocommit=True) as connection:
                connection.execute(statement)
        else:
            with duckdb.connect(warehouse_uri) as connection:
                connection.execute(statement)

    return do


def test_there_are_two_databases():
    """The tests below run on each; this one fails when the list is empty."""
    assert DATABASES == ("duckdb", "postgresql")


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
        "category_demand": 1,
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
    first = publish(warehouse, WEDNESDAY, "run-1")
    second = publish(warehouse, WEDNESDAY, "run-2")

    assert first == second
    assert warehouse.query("SELECT * FROM user_scores").num_rows == 2
    assert warehouse.query("SELECT * FROM models").num_rows == 1
    assert warehouse.query("SELECT * FROM publish_ledger").num_rows == 2 * len(NIGHTLY)


def test_a_night_replaces_only_itself(warehouse):
    """Other cutoffs' rows stay as they are."""
    publish(warehouse, TUESDAY, "run-1", 0.1)
    publish(warehouse, WEDNESDAY, "run-2", 0.2)
    publish(warehouse, WEDNESDAY, "run-3", 0.3)

    assert shares(warehouse, "user_scores") == [0.1, 0.3]


def test_an_older_night_never_replaces_a_newer_one_in_latest(warehouse):
    """A backfill of Tuesday, run on Thursday, does not turn marketing's view back."""
    publish(warehouse, WEDNESDAY, "run-1", 0.2)
    publish(warehouse, TUESDAY, "run-2", 0.1)

    assert shares(warehouse) == [0.2]
    assert shares(warehouse, "user_scores") == [0.1, 0.2]
    assert set(warehouse.query("SELECT * FROM freshness")["cutoff"].to_pylist()) == {WEDNESDAY}


def test_a_model_that_was_promoted_again_has_one_row(warehouse):
    """`models` is keyed by version: a later night brings its row up to date."""
    publish(warehouse, TUESDAY)
    night = publication(WEDNESDAY, "run-2", models=models(encoder="gru"))
    warehouse.publish(night, check=accept)

    assert warehouse.query("SELECT * FROM models")["encoder"].to_pylist() == ["gru"]


@pytest.mark.parametrize(("hours", "status"), [(20, "ok"), (40, "warn"), (70, "error")])
def test_freshness_says_how_late_the_newest_night_is(warehouse_uri, hours, status):
    """Hours since the newest cutoff began, in the business time zone, and what to think of it."""
    begun = datetime.now(UTC) - timedelta(hours=hours)
    offset = begun.hour + begun.minute / 60  # a zone in which the cutoff's day began just then
    ahead = round(-offset if offset <= 12 else 24 - offset)
    cutoff = (begun + timedelta(hours=ahead, minutes=30)).date()
    zone = f"Etc/GMT{-ahead:+d}"
    warehouse = open_at(warehouse_uri, time_zone=zone)
    publish(warehouse, cutoff)
    rows = warehouse.query("SELECT * FROM freshness").to_pylist()

    assert {row["table_name"] for row in rows} == {table.name for table in NIGHTLY}
    assert {row["status"] for row in rows} == {status}
    assert all(abs(row["hours_since_cutoff"] - hours) < 1 for row in rows)


def test_a_night_of_the_past_is_not_late(warehouse):
    """A demo of an old log is as fresh as it can be; a night that nobody follows is not."""
    statuses, now = "SELECT DISTINCT status FROM freshness", datetime.now(UTC)
    stalled = (now - timedelta(days=90)).date()
    soon = datetime(stalled.year, stalled.month, stalled.day, tzinfo=UTC) + timedelta(days=2)

    def published(cutoff: date, run: str, at: datetime) -> list[str]:
        warehouse.publish(publication(cutoff, run, published_at=at), check=accept)
        return warehouse.query(statuses)["status"].to_pylist()

    assert published(date(2017, 11, 29), "demo", now) == ["past"]
    assert published(stalled, "on-time", soon) == ["error"]
    assert published(stalled, "again", now) == ["error"]  # made again, it is no demo's
    assert published(now.date() - timedelta(days=4), "mended", now) == ["error"]  # four are missing


def test_a_refused_night_leaves_yesterday_and_its_reason(warehouse):
    """The audit says no: not a row changes, and the ledger says who was refused and why."""
    publish(warehouse, TUESDAY, "run-1", 0.1)
    before = {table.name: warehouse.query(f"SELECT * FROM {table.name}") for table in NIGHTLY}
    with pytest.raises(AuditError) as caught:
        warehouse.publish(publication(WEDNESDAY, "run-2"), check=refuse)
    refused = warehouse.query("SELECT * FROM publish_ledger WHERE run_key = $1", "run-2")

    assert before == {
        table.name: warehouse.query(f"SELECT * FROM {table.name}") for table in NIGHTLY
    }
    assert shares(warehouse) == [0.1]
    assert {row["outcome"] for row in refused.to_pylist()} == {"refused"}
    assert {row["reason"] for row in refused.to_pylist()} == {str(caught.value)}
    assert {row["table_name"] for row in refused.to_pylist()} == {one.name for one in NIGHTLY}
    assert set(warehouse.query("SELECT cutoff FROM freshness")["cutoff"].to_pylist()) == {TUESDAY}


def test_the_very_first_night_may_be_refused(warehouse):
    """Nothing is there to keep; the reason is, and the next run publishes."""
    with pytest.raises(AuditError):
        warehouse.publish(publication(TUESDAY, "run-1"), check=refuse)
    nothing = shares(warehouse)
    publish(warehouse, TUESDAY, "run-2", 0.2)

    assert nothing == []
    assert shares(warehouse) == [0.2]


def test_rows_that_change_on_their_way_are_never_published(warehouse, monkeypatch):
    """A driver that drops a row or turns a digit is found out before the switch."""
    import jobs.warehouse.duckdb_file
    import jobs.warehouse.postgres
    from jobs.warehouse.connection import append

    def lossy(connection: object, target: str, rows: pa.Table) -> None:
        append(connection, target, rows.slice(1) if "user_scores" in target else rows)

    publish(warehouse, TUESDAY, "run-1", 0.1)
    for place in (jobs.warehouse.duckdb_file, jobs.warehouse.postgres):
        monkeypatch.setattr(place, "append", lossy)
    with pytest.raises(AuditError, match=r"^user_scores, staged: found rows .*-1, expected those"):
        publish(warehouse, WEDNESDAY, "run-2", 0.2)
    monkeypatch.undo()

    assert shares(warehouse, "user_scores") == [0.1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user_id", "eve"),
        ("churn_probability_28d", 0.25),
        ("scored_at", NOON.replace(hour=13)),
        ("model_version", "2"),
    ],
)
@pytest.mark.parametrize("of", ["one row", "every row"])
def test_a_value_that_changes_on_its_way_is_never_published(
    warehouse, monkeypatch, name, value, of
):
    """Whether it differs from row to row or is the night's own, and is never read back."""
    import jobs.warehouse.duckdb_file
    import jobs.warehouse.postgres
    from jobs.warehouse.connection import append

    def altering(connection: object, target: str, rows: pa.Table) -> None:
        if "user_scores" in target:
            cells = rows[name].to_pylist()
            cells[: 1 if of == "one row" else len(cells)] = [value]
            cells += [value] * (len(rows) - len(cells))
            place = rows.column_names.index(name)
            rows = rows.set_column(place, name, pa.array(cells, rows[name].type))
        append(connection, target, rows)

    for place in (jobs.warehouse.duckdb_file, jobs.warehouse.postgres):
        monkeypatch.setattr(place, "append", altering)
    with pytest.raises(AuditError, match=r"^user_scores, staged: found rows .*, expected those"):
        publish(warehouse, WEDNESDAY, "run-1", 0.2)
    monkeypatch.undo()

    assert shares(warehouse, "user_scores") == []


def test_a_run_that_is_in_the_ledger_publishes_nothing_again(warehouse):
    """A task that is started twice with one run key finds its work done."""
    first = publish(warehouse, TUESDAY, "run-1", 0.1)
    again = publish(warehouse, TUESDAY, "run-1", 0.9)

    assert again == first
    assert shares(warehouse) == [0.1]
    assert warehouse.query("SELECT * FROM publish_ledger").num_rows == len(NIGHTLY)


def test_only_the_newest_nights_are_kept(warehouse_uri):
    """Retention takes whole cutoffs, oldest first, and never the one just published."""
    warehouse = open_at(warehouse_uri, keep_nights=2)
    for day in (3, 4, 5, 1):
        publish(warehouse, WEDNESDAY + timedelta(days=day), f"run-{day}", day / 10)
    kept = shares(warehouse, "user_scores")
    publish(warehouse, WEDNESDAY + timedelta(days=6), "run-6", 0.6)

    assert kept == [0.1, 0.4, 0.5]
    assert shares(warehouse, "user_scores") == [0.5, 0.6]
    assert shares(warehouse) == [0.6]
    for table in ("user_recommendations", "item_demand", "category_demand"):
        found = warehouse.query(f"SELECT DISTINCT cutoff FROM {table}")
        assert found.num_rows == 2


AWKWARD = ("O'Brien", 'say "hi"', "🛒 Zoë", "x" * 500, "a\\b\tc\nd", "", "NULL", "$1 %s ;--")


def test_any_user_id_arrives_as_it_is(warehouse):
    """Quotes, emoji, line breaks, nothing at all: values are bound, never pasted."""
    night = publication(WEDNESDAY, nightly=nightly(WEDNESDAY, users=AWKWARD))
    warehouse.publish(night, check=accept)
    found = warehouse.query("SELECT user_id FROM user_scores_latest")["user_id"].to_pylist()
    one = warehouse.query("SELECT user_id FROM user_scores WHERE user_id = $1", AWKWARD[0])

    assert sorted(found) == sorted(AWKWARD)
    assert one["user_id"].to_pylist() == [AWKWARD[0]]


def test_a_table_whose_columns_were_put_in_another_order_is_filled_by_name(warehouse, analyst):
    """The run's id never lands in the column of the model because someone rebuilt the table."""
    publish(warehouse, TUESDAY)
    analyst("DROP VIEW user_scores_latest")
    analyst("ALTER TABLE user_scores RENAME COLUMN model_name TO other")
    analyst("ALTER TABLE user_scores ADD COLUMN model_name VARCHAR")
    analyst("UPDATE user_scores SET model_name = other")
    analyst("ALTER TABLE user_scores DROP COLUMN other")
    analyst("ALTER TABLE user_scores ALTER COLUMN model_name SET NOT NULL")
    publish(warehouse, WEDNESDAY, "run-2")
    found = warehouse.query("SELECT DISTINCT model_name, run_id FROM user_scores").to_pylist()

    assert found == [{"model_name": "nightshift", "run_id": "abc"}]


def test_a_view_that_somebody_dropped_is_there_again_after_the_next_night(warehouse, analyst):
    """Readers are not left without it until the contract changes."""
    publish(warehouse, TUESDAY)
    analyst("DROP VIEW user_scores_latest")
    publish(warehouse, WEDNESDAY, "run-2", 0.2)

    assert shares(warehouse) == [0.2]


def test_a_table_of_before_is_brought_up_to_date_and_keeps_its_rows(
    warehouse, warehouse_uri, analyst
):
    """What may be empty now is added, or loses its NOT NULL; who reads a view of theirs goes on."""
    publish(warehouse, TUESDAY, "run-1", 0.1)
    columns = ", ".join(USER_SCORES.column_names[:-1])
    for statement in (
        "DROP VIEW user_scores_latest",
        "ALTER TABLE user_scores DROP COLUMN last_event_date",
        "ALTER TABLE user_scores ALTER COLUMN churn_probability_28d SET NOT NULL",
        "ALTER TABLE user_scores ALTER COLUMN churn_decile SET NOT NULL",
        f"CREATE VIEW user_scores_latest AS SELECT {columns} FROM user_scores",
        "CREATE VIEW theirs AS SELECT user_id FROM user_scores_latest",
        *(["UPDATE nightshift_setup SET mark = 'of before'"] if "://" in warehouse_uri else []),
    ):
        analyst(statement)
    asked = nightly(WEDNESDAY, share=0.2)
    rows = [
        {**row, "churn_probability_28d": None, "churn_decile": None}
        for row in asked[USER_SCORES].to_pylist()
    ]
    tonight = {**asked, USER_SCORES: pa.Table.from_pylist(rows, schema=arrow_schema(USER_SCORES))}
    warehouse.publish(publication(WEDNESDAY, "run-2", nightly=tonight), check=accept)
    found = warehouse.query(
        "SELECT cutoff, churn_probability_28d AS churn, last_event_date AS last FROM user_scores "
        "WHERE user_id = 'ann' ORDER BY cutoff"
    ).to_pylist()

    assert found == [
        {"cutoff": TUESDAY, "churn": 0.1, "last": None},
        {"cutoff": WEDNESDAY, "churn": None, "last": TUESDAY},
    ]
    latest = warehouse.query("SELECT last_event_date AS last FROM user_scores_latest")
    assert latest["last"].to_pylist() == [TUESDAY, TUESDAY]
    assert warehouse.query("SELECT count(*) AS n FROM theirs")["n"].to_pylist() == [2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE user_scores DROP COLUMN run_id", "no column run_id"),
        ("ALTER TABLE user_scores ADD COLUMN mood VARCHAR", "the column mood"),
        ("ALTER TABLE user_scores ALTER COLUMN spend_decile TYPE BIGINT", "spend_decile as BIGINT"),
        ("ALTER TABLE user_scores ALTER COLUMN run_id DROP NOT NULL", "run_id with nulls"),
    ],
)
def test_a_table_of_another_version_is_refused(warehouse, analyst, change, said):
    """A table is never altered, nor half filled, in silence."""
    publish(warehouse, TUESDAY)
    analyst("DROP VIEW user_scores_latest")
    analyst(change)

    with pytest.raises(ConfigError) as caught:
        publish(warehouse, WEDNESDAY, "run-2")

    assert str(caught.value) == (
        f"{warehouse.address}: table user_scores: found {said}, "
        "expected the columns of contracts/tables.py. Nothing was published and the tables of the "
        "night before still answer. Alter or rename the table, or name another warehouse in "
        "warehouse.uri, then publish again."
    )


def test_what_is_said_of_a_model_can_be_put_in_without_a_night(warehouse):
    """Of the same name and version there is one row; the night that is there stays."""
    publish(warehouse, TUESDAY, "run-1", 0.1)
    warehouse.record(models("gru"), run_key="models-1")
    rows = warehouse.query("SELECT name, version, encoder FROM models").to_pylist()

    assert rows == [{"name": "nightshift", "version": "1", "encoder": "gru"}]
    assert shares(warehouse) == [0.1]
