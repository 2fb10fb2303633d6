"""A PostgreSQL server as the warehouse: partitions, roles, locks, and readers that never wait."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from contracts.errors import AuditError, BusyError, ConfigError, UnreachableError
from contracts.tables import NIGHTLY, WAREHOUSE
from jobs.warehouse import postgres_sql
from jobs.warehouse.postgres import PostgresServer

from .one_night import (
    READER,
    TUESDAY,
    WEDNESDAY,
    accept,
    nightly,
    open_at,
    publication,
    publish,
    shares,
)


@pytest.fixture
def warehouse(postgres_uri: str) -> PostgresServer:
    made = open_at(postgres_uri)
    assert isinstance(made, PostgresServer)
    return made


@pytest.fixture
def reader(postgres_uri: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        yield connection


def asked(connection: psycopg.Connection, question: str) -> list[tuple]:
    return connection.execute(question).fetchall()


# A function that the planner itself calls, and that takes its time the first time.
SLOW = """
CREATE FUNCTION slowly() RETURNS text STABLE LANGUAGE plpgsql AS $$ BEGIN
    IF current_setting('tests.slept', true) IS DISTINCT FROM 'yes' THEN
        PERFORM set_config('tests.slept', 'yes', false), pg_advisory_lock_shared(1);
    END IF;
    RETURN '';
END $$
"""


def test_a_night_committed_between_plan_and_snapshot_leaves_no_reader_with_nothing(
    warehouse, reader, postgres_uri
):
    """Its partition is not in the plan, its ledger row is in the snapshot: the old night answers.

    The planner is held up until the night is committed; the snapshot comes after.
    """
    publish(warehouse, TUESDAY, "run-1", 0.1)
    reader.execute(SLOW)
    seen: list[list[tuple]] = []
    question = (
        "SELECT purchase_probability_7d, score FROM user_scores_latest "
        "JOIN user_recommendations_latest USING (user_id) WHERE user_id >= slowly()"
    )
    with psycopg.connect(postgres_uri, autocommit=True) as gate:
        gate.execute("SELECT pg_advisory_lock(1)")
        thread = threading.Thread(target=lambda: seen.append(asked(reader, question)))
        thread.start()
        while not asked(gate, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
            time.sleep(0.01)
        publish(warehouse, WEDNESDAY, "run-2", 0.2)
        gate.execute("SELECT pg_advisory_unlock(1)")
        thread.join()

    assert seen == [[(0.1, 0.1)] * 2]
    assert asked(reader, question) == [(0.2, 0.2)] * 2


def test_a_publisher_never_waits_for_a_reader_nor_a_reader_for_it(warehouse, reader):
    """A report that has been reading since yesterday holds nobody up, whatever is published."""
    publish(warehouse, TUESDAY, "run-1", 0.1)
    question = "SELECT DISTINCT purchase_probability_7d FROM user_scores_latest"
    with reader.transaction():
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        before = asked(reader, question)
        publish(warehouse, WEDNESDAY, "run-2", 0.2)
        publish(warehouse, TUESDAY, "run-3", 0.3)
        after = asked(reader, question)

    assert before == after == [(0.1,)]
    assert asked(reader, question) == [(0.2,)]
    assert shares(warehouse, "user_scores") == [0.2, 0.3]


def test_a_night_lies_in_a_partition_of_its_own(warehouse, reader):
    """One per table and cutoff; publishing again adds none."""
    publish(warehouse, TUESDAY, "run-1")
    publish(warehouse, WEDNESDAY, "run-2")
    publish(warehouse, WEDNESDAY, "run-3")
    found = asked(reader, "SELECT inhrelid::regclass::text FROM pg_inherits ORDER BY 1")

    assert [name for (name,) in found] == sorted(
        f"{table.name}_2017_11_{day}" for table in NIGHTLY for day in (28, 29)
    )


def test_an_old_night_that_is_being_read_stays_until_the_next_run(postgres_uri, reader):
    """Retention waits for nobody long, and never makes a published night fail."""
    warehouse = open_at(postgres_uri, keep_nights=1)
    publish(warehouse, TUESDAY, "run-1", 0.1)
    with reader.transaction():
        asked(reader, "SELECT * FROM user_scores")
        publish(warehouse, WEDNESDAY, "run-2", 0.2)
        kept = asked(reader, "SELECT DISTINCT cutoff FROM user_scores ORDER BY 1")
    publish(warehouse, WEDNESDAY + timedelta(days=1), "run-3", 0.3)

    assert kept == [(TUESDAY,), (WEDNESDAY,)]
    assert shares(warehouse, "user_scores") == [0.3]


def test_dropping_old_nights_makes_nobody_wait_behind_one_that_is_read(postgres_uri, reader):
    """A drop would queue for the whole table, and every new reader behind it."""
    warehouse = open_at(postgres_uri, keep_nights=30)
    for days in range(4):
        publish(warehouse, TUESDAY + timedelta(days=days), f"run-{days}")
    longest, done = [0.0], threading.Event()

    def poll() -> None:
        with psycopg.connect(postgres_uri, autocommit=True) as other:
            while not done.wait(0.01):
                begun = time.monotonic()
                for table in NIGHTLY:
                    asked(other, f"SELECT count(*) FROM {table.name}")
                longest.append(time.monotonic() - begun)

    with reader.transaction():
        for table in NIGHTLY:
            asked(reader, f"SELECT count(*) FROM {table.name}")
        thread = threading.Thread(target=poll)
        thread.start()
        warehouse.keep_nights = 1
        begun = time.monotonic()
        publish(warehouse, TUESDAY + timedelta(days=4), "run-4")
        seconds = time.monotonic() - begun
        done.set()
        thread.join()

    assert len(longest) > 2
    assert max(longest) < 0.5
    assert seconds < 5


def test_a_link_lost_after_the_commit_leaves_the_night_published(postgres_uri, reader, monkeypatch):
    """What is left to do by then is to drop old nights: the next run does it."""
    warehouse = open_at(postgres_uri, keep_nights=1)
    publish(warehouse, TUESDAY, "run-1", 0.1)
    retain = PostgresServer._retain

    def cut_off(*arguments: object) -> None:
        ours = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        assert asked(reader, f"{ours} WHERE application_name = 'run-2'") == [(True,)]
        retain(*arguments)

    monkeypatch.setattr(PostgresServer, "_retain", cut_off)
    published = publish(warehouse, WEDNESDAY, "run-2", 0.2)

    assert {*published} == {table.name for table in NIGHTLY}
    assert asked(reader, "SELECT count(*) FROM publish_ledger WHERE run_key = 'run-2'") == [
        (len(NIGHTLY),)
    ]
    assert shares(warehouse) == [0.2]


def test_the_reader_role_may_read_and_nothing_else(warehouse, reader):
    """Every table and view answers; no row can be changed, no partition taken away."""
    publish(warehouse, TUESDAY)
    reader.execute(f"SET ROLE {READER}")
    views = [f"{table.name}_latest" for table in NIGHTLY]
    for name in [*(table.name for table in WAREHOUSE), *views, "freshness"]:
        assert asked(reader, f"SELECT count(*) > 0 FROM {name}") == [(True,)]
    for forbidden in (
        "DELETE FROM user_scores",
        "DELETE FROM user_scores_2017_11_28",
        "INSERT INTO publish_ledger SELECT * FROM publish_ledger",
        "DROP TABLE user_scores_2017_11_28",
        "UPDATE nightshift_setup SET mark = ''",
        "CREATE OR REPLACE VIEW freshness AS SELECT 1 AS one",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute(forbidden)


def test_every_table_and_column_explains_itself_in_the_database(warehouse, reader):
    """An analyst's tool shows the contract's words beside each column, partitions included."""
    publish(warehouse, TUESDAY)
    tables = dict(
        asked(
            reader, "SELECT relname, obj_description(oid) FROM pg_class WHERE relkind IN ('r','p')"
        )
    )
    columns = asked(
        reader,
        "SELECT relname, attname, col_description(attrelid, attnum) FROM pg_attribute "
        "JOIN pg_class ON pg_class.oid = attrelid WHERE attnum > 0",
    )
    said = {(table, column): words for table, column, words in columns}

    for table in WAREHOUSE:
        assert tables[table.name] == table.meaning
        for column in table.columns:
            assert column.meaning in said[table.name, column.name]
            assert said[table.name, column.name].endswith(f"({column.unit})") == bool(column.unit)
    assert "(0 to 1)" in said["user_scores_2017_11_28", "purchase_probability_7d"]


MADE = "SELECT oid, xmin::text FROM pg_class WHERE relkind = 'v' ORDER BY 1"


def test_definitions_are_only_touched_when_they_change(warehouse, reader):
    """Night after night no view is made anew, so that no publisher waits for a reader's lock."""
    publish(warehouse, TUESDAY, "run-1")
    made = asked(reader, MADE)
    publish(warehouse, WEDNESDAY, "run-2")
    same = asked(reader, MADE)
    warehouse.time_zone = "Europe/Berlin"
    publish(warehouse, WEDNESDAY, "run-3")

    assert len(made) >= len(NIGHTLY) + 1
    assert same == made
    assert "Europe/Berlin" in asked(reader, "SELECT pg_get_viewdef('freshness')")[0][0]


def test_views_of_others_upon_ours_and_their_rights_outlast_a_change(warehouse, reader):
    """A definition that changes is put in the place of the one before: the same view goes on."""
    publish(warehouse, TUESDAY, "run-1", 0.1)
    reader.execute("DROP ROLE IF EXISTS ann_of_marketing")
    reader.execute("CREATE ROLE ann_of_marketing")
    reader.execute("CREATE VIEW mine AS SELECT s.*, status FROM user_scores_latest AS s, freshness")
    reader.execute("GRANT SELECT ON freshness, user_scores_latest TO ann_of_marketing")
    warehouse.time_zone = "Europe/Berlin"
    publish(warehouse, WEDNESDAY, "run-2", 0.2)
    rights = "SELECT has_table_privilege('ann_of_marketing', '{}', 'SELECT')"

    assert asked(reader, "SELECT DISTINCT purchase_probability_7d FROM mine") == [(0.2,)]
    assert asked(reader, rights.format("freshness")) == [(True,)]
    assert asked(reader, rights.format("user_scores_latest")) == [(True,)]


def test_a_view_of_other_columns_is_made_anew_unless_another_depends_on_it(warehouse, reader):
    """And then the error names what does."""
    publish(warehouse, TUESDAY, "run-1", 0.1)
    reader.execute("DROP VIEW freshness")
    reader.execute("CREATE VIEW freshness AS SELECT 1 AS one, 2 AS two")
    reader.execute("DELETE FROM nightshift_setup")
    publish(warehouse, WEDNESDAY, "run-2", 0.2)
    made = asked(reader, "SELECT count(*) FROM freshness WHERE status IS NOT NULL")
    reader.execute("DROP VIEW freshness")
    reader.execute("CREATE VIEW freshness AS SELECT 1 AS one, 2 AS two")
    reader.execute("CREATE VIEW mine AS SELECT * FROM freshness")
    reader.execute("DELETE FROM nightshift_setup")
    with pytest.raises(ConfigError) as caught:
        publish(warehouse, WEDNESDAY, "run-3", 0.3)

    assert made == [(len(NIGHTLY),)]
    assert str(caught.value) == (
        f"the warehouse at {warehouse.address}: found view mine depends on view freshness, "
        "expected nothing that depends on a view whose columns change. Nothing was published and "
        "the tables of the night before still answer. Drop what depends on it, publish, and make "
        "it again."
    )
    assert shares(warehouse, "user_scores") == [0.1, 0.2]


def test_who_is_no_longer_the_readers_role_reads_no_longer(warehouse, reader):
    """What it was granted under that name is taken back; the new one reads."""
    publish(warehouse, TUESDAY, "run-1", 0.1)
    warehouse.reader_role = "nightshift_other_reader"
    publish(warehouse, WEDNESDAY, "run-2", 0.2)
    may = "SELECT has_table_privilege('{}', '{}', 'SELECT')"

    for name in ("user_scores", "user_scores_latest", "freshness", "publish_ledger"):
        assert asked(reader, may.format(READER, name)) == [(False,)]
        assert asked(reader, may.format("nightshift_other_reader", name)) == [(True,)]


def test_a_second_publisher_is_told_who_is_at_it(warehouse):
    """Two runs at once: one publishes, the other changes nothing and names the first."""
    publish(warehouse, TUESDAY, "run-1", 0.1)
    refused: list[BusyError] = []

    def meanwhile(staged: object) -> None:
        with pytest.raises(BusyError) as caught:
            publish(warehouse, WEDNESDAY, "run-3", 0.3)
        refused.append(caught.value)

    warehouse.publish(publication(WEDNESDAY, "run-2", 0.2), check=meanwhile)
    (busy,) = refused

    assert shares(warehouse) == [0.2]
    assert busy.found.startswith("server process ")
    assert str(busy) == (
        f"{warehouse.address}: found {busy.found}, expected no other publisher. "
        "Nothing was published and the tables of the night before still answer. "
        "Wait for it to end, then run this again."
    )
    assert busy.found.endswith(" (nightshift, run-2) publishing")


def test_a_reader_that_holds_the_views_is_waited_for_a_while_only(warehouse, reader, monkeypatch):
    """Definitions change seldom; when they must, no night hangs behind a forgotten report."""
    monkeypatch.setattr("jobs.warehouse.postgres_locks.LOCK_SECONDS", 1)
    publish(warehouse, TUESDAY, "run-1", 0.1)
    warehouse.time_zone = "Europe/Berlin"
    with reader.transaction():
        asked(reader, "SELECT * FROM freshness")
        with pytest.raises(BusyError) as caught:
            publish(warehouse, WEDNESDAY, "run-2")

    assert caught.value.found == (
        "canceling statement due to lock timeout after 1 s: server process "
        f"{reader.info.backend_pid} (nightshift) with AccessShareLock on freshness"
    )


@pytest.mark.parametrize(
    "forgotten",
    [
        "LOCK TABLE user_scores IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE publish_ledger IN SHARE MODE",
        "DELETE FROM user_scores_2017_11_29",
        "CREATE INDEX ON item_demand_2017_11_29 (item_id)",
    ],
)
def test_a_forgotten_lock_is_waited_for_a_while_only_and_its_holder_is_named(
    warehouse, reader, monkeypatch, forgotten
):
    """Someone went home with an open transaction: the night says whose it is and how to end it."""
    monkeypatch.setattr("jobs.warehouse.postgres_locks.LOCK_SECONDS", 1)
    publish(warehouse, WEDNESDAY, "run-1", 0.1)
    reader.execute("SET application_name = 'psql'")
    pid = reader.info.backend_pid
    with reader.transaction():
        reader.execute(forgotten)
        begun = time.monotonic()
        with pytest.raises(BusyError) as caught:
            publish(warehouse, WEDNESDAY, "run-2", 0.2)
        seconds = time.monotonic() - begun
        reader.execute("SELECT 1")  # the session was not ended for it
        raise psycopg.Rollback

    assert seconds < 5
    assert f"after 1 s: server process {pid} (nightshift, psql) with " in caught.value.found
    assert str(caught.value).endswith(
        ", expected no other program with a lock on the tables. Nothing was published and the "
        "tables of the night before still answer. Wait for it to end, or end it with "
        f"`SELECT pg_terminate_backend({pid})`, then run this again."
    )
    assert shares(warehouse) == [0.1]


def test_who_asks_the_warehouse_waits_for_a_forgotten_lock_a_while_only(
    warehouse, reader, monkeypatch
):
    """`status` and the night's page read there too."""
    monkeypatch.setattr("jobs.warehouse.postgres_locks.LOCK_SECONDS", 1)
    publish(warehouse, WEDNESDAY, "run-1", 0.1)
    with reader.transaction():
        reader.execute("LOCK TABLE user_scores IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(BusyError) as caught:
            shares(warehouse)

    assert f"server process {reader.info.backend_pid} (nightshift" in caught.value.found


def test_a_login_that_may_only_read_cannot_hold_the_publishers_lock(
    warehouse, reader, postgres_uri
):
    """Every lock that it can take is taken, for good: the night is published all the same."""
    publish(warehouse, TUESDAY, "run-1", 0.1)
    for statement in (
        "DROP ROLE IF EXISTS idle_analyst",
        f"CREATE ROLE idle_analyst LOGIN IN ROLE {READER}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO idle_analyst",
    ):
        reader.execute(statement)
    uri = postgres_uri.replace("nightshift@", "idle_analyst@")
    with psycopg.connect(uri) as analyst:
        for relation in ("nightshift_lock", "user_scores", "publish_ledger", "nightshift_setup"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), analyst.transaction():
                analyst.execute(f"LOCK TABLE {relation} IN ROW EXCLUSIVE MODE")
            analyst.execute(f"LOCK TABLE {relation} IN ACCESS SHARE MODE")
        analyst.execute("SELECT pg_advisory_lock(28265, hashtext(current_schema()))")
        publish(warehouse, WEDNESDAY, "run-2", 0.2)
    reader.execute("DROP OWNED BY idle_analyst")
    reader.execute("DROP ROLE idle_analyst")

    assert shares(warehouse) == [0.2]


def test_two_first_publishers_make_one_lock(postgres_uri):
    """Both find an empty database in the same instant: nobody fails for that."""
    runs = [(open_at(postgres_uri), f"run-{n}") for n in range(4)]
    outcomes: list[object] = []

    def run(warehouse: PostgresServer, name: str) -> None:
        try:
            outcomes.append(publish(warehouse, TUESDAY, name))
        except BusyError as busy:
            outcomes.append(busy)

    threads = [threading.Thread(target=run, args=one) for one in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(outcomes) == len(runs)
    assert any(not isinstance(one, BusyError) for one in outcomes)


def test_a_server_that_is_not_there_says_what_to_do(postgres):
    """The address is shown without its password."""
    uri = "postgresql://nightshift:secret@127.0.0.1:9/warehouse"
    warehouse = open_at(uri)
    with pytest.raises(UnreachableError) as published:
        publish(warehouse, TUESDAY)
    with pytest.raises(UnreachableError) as read:
        warehouse.query("SELECT 1")

    for caught in (published, read):
        assert "secret" not in str(caught.value)
        assert str(caught.value).startswith(
            "the warehouse at postgresql://nightshift@127.0.0.1:9/warehouse: found "
        )
    assert str(published.value).endswith(
        "Nothing was published and the tables of the night before still answer. "
        "Start it, or mend the way to it, then run this again."
    )
    assert str(read.value).endswith("expected an answer. Start it, or correct warehouse.uri.")


@pytest.mark.parametrize("word", ["s3cret/part", "s3cret@part", "s3cret:part", "s3cret%zzpart"])
def test_no_error_quotes_a_password_that_was_not_encoded(postgres, word):
    """libpq takes such a password for a host or a port, and names it in its reason."""
    warehouse = open_at(f"postgresql://ann:{word}@127.0.0.1:9/warehouse")
    with pytest.raises(UnreachableError) as caught:
        warehouse.query("SELECT 1")

    assert "s3cret" not in str(caught.value)
    assert "part" not in str(caught.value)
    assert str(caught.value).startswith(
        "the warehouse at postgresql://ann@127.0.0.1:9/warehouse: found "
    )


def test_a_role_without_the_right_is_told_so(warehouse, postgres, reader):
    """The message is the server's own, and a configuration has to be corrected: exit 2."""
    publish(warehouse, TUESDAY, "run-1", 0.1)
    reader.execute("DROP ROLE IF EXISTS nobody_special")
    reader.execute("CREATE ROLE nobody_special LOGIN")
    database = warehouse.address.rpartition("/")[2]
    with pytest.raises(ConfigError) as caught:
        publish(open_at(postgres.uri(database, "nobody_special")), WEDNESDAY, "run-2")

    assert caught.value.exit_code == 2
    assert "permission denied" in caught.value.found


def test_a_value_that_the_database_cannot_hold_is_refused_data(warehouse):
    """PostgreSQL keeps no NUL in text: that is the rows' fault, exit 3; nothing is published."""
    publish(warehouse, TUESDAY, "run-1", 0.1)
    night = publication(WEDNESDAY, "run-2", nightly=nightly(WEDNESDAY, users=("a\0b", "bob")))
    with pytest.raises(AuditError) as caught:
        warehouse.publish(night, check=accept)

    assert str(caught.value) == (
        f"the warehouse at {warehouse.address}: found invalid byte sequence for encoding "
        '"UTF8": 0x00, expected rows that the database can hold. Nothing was published and the '
        "tables of the night before still answer. Correct what made these rows, then publish again."
    )
    assert shares(warehouse, "user_scores") == [0.1]


def test_a_partition_that_is_not_ours_is_no_night_of_ours():
    """Only names that we give are ever dropped."""
    table = NIGHTLY[0]

    assert postgres_sql.partition_cutoff(table, f"{table.name}_2017_11_28") == TUESDAY
    assert postgres_sql.partition_cutoff(table, f"{table.name}_archive") is None
    assert postgres_sql.partition_cutoff(table, "elsewhere") is None
