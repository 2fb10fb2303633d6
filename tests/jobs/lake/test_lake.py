"""Replacing partitions: whole, at once, said in the snapshot, and never two at a time."""

import sqlite3
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from contracts.errors import (
    AuditError,
    BusyError,
    MissingPartitionError,
    MissingSnapshotError,
    UnreachableError,
)
from contracts.tables import EVENTS, QUARANTINE, SERIES
from contracts.windows import Window, one_day
from jobs.lake.column_types import spark_schema
from jobs.lake.lake import Lake, content_of, new_run_key, open_lake

pytestmark = pytest.mark.spark

CUTOFF = date(2017, 1, 5)
DAY = date(2017, 1, 4)
SERIES_DDL = "item_id string, category string, day date, units double, revenue double, cutoff date"


@pytest.fixture
def lake(settings) -> Lake:
    return open_lake(settings)


def rows(spark, *items, cutoff=CUTOFF, units=1.0):
    values = [(item, None, DAY, units, 2.0, cutoff) for item in items]
    return spark.createDataFrame(values, SERIES_DDL)


def put(lake, frame, *, run_key=None, cutoff=CUTOFF):
    key = run_key or new_run_key("test", cutoff)
    return lake.replace(frame, SERIES, window=one_day(cutoff), run_key=key, reads={"events": 7})


def items(lake, **options):
    return sorted(lake.read_arrow(SERIES, columns=["item_id"], **options)["item_id"].to_pylist())


def test_a_second_run_replaces_the_first_and_says_so(spark, lake):
    """Only the newest run's rows are seen; equal rows in another order have an equal hash."""
    two = put(lake, rows(spark, "a", "b", units=3.0), run_key="two")
    three = put(lake, rows(spark, "a", "c"), run_key="three")
    four = put(lake, rows(spark, "c", "a").repartition(2), run_key="four")

    assert items(lake) == ["a", "c"]
    assert len({two.content_hash, three.content_hash, four.content_hash}) == 2
    assert three.content_hash == four.content_hash
    assert (two.num_rows, two.reads, two.run_key) == (2, {"events": 7}, "two")
    assert items(lake, snapshot_id=two.snapshot_id) == ["a", "b"]
    assert sorted(row.item_id for row in lake.read(spark, SERIES).collect()) == ["a", "c"]


def test_a_table_made_before_a_column_had_its_type_follows(spark, lake):
    """What was kept as text is read as bytes, beside what text cannot hold."""
    columns = [replace(c, type="string") if c.name == "raw" else c for c in QUARANTINE.columns]
    before = replace(QUARANTINE, columns=tuple(columns))
    ddl = "source string, line long, reason string, raw {}, ingest_date date"
    kept = {}
    for day, table, kind, raw in [
        (DAY, before, "string", "é"),
        (CUTOFF, QUARANTINE, "binary", b"\xff"),
    ]:
        frame = spark.createDataFrame([("a", 1, "why", raw, day)], ddl.format(kind))
        lake.replace(frame, table, window=one_day(day), run_key=kind, reads={})
        kept = {row["ingest_date"]: row["raw"] for row in lake.read_arrow(table).to_pylist()}

    assert kept == {DAY: "é".encode(), CUTOFF: b"\xff"}


def test_a_table_made_before_a_column_was_there_follows(spark, lake):
    """The rows of before have none of it, those of after have it."""
    before = replace(SERIES, columns=tuple(c for c in SERIES.columns if c.name != "category"))
    day = {"day": DAY, "units": 1.0, "revenue": 2.0}
    for cutoff, table, category in [(DAY, before, None), (CUTOFF, SERIES, "x")]:
        row = {"item_id": "a", "category": category, **day, "cutoff": cutoff}
        frame = spark.createDataFrame([row], spark_schema(SERIES))
        lake.replace(frame, table, window=one_day(cutoff), run_key=f"r{cutoff}", reads={})
    found = lake.read_arrow(SERIES).to_pylist()
    by_spark = lake.read(spark, SERIES).collect()

    for some in (found, by_spark):
        assert {row["cutoff"]: row["category"] for row in some} == {DAY: None, CUTOFF: "x"}


def test_other_partitions_are_left_alone(spark, lake):
    """A run replaces its own cutoff only, and a window reads only its own."""
    later = date(2017, 1, 6)
    put(lake, rows(spark, "a"))
    put(lake, rows(spark, "b", cutoff=later), cutoff=later)

    assert lake.partitions(SERIES) == [CUTOFF, later]
    assert items(lake) == ["a", "b"]
    assert items(lake, window=one_day(later)) == ["b"]
    assert lake.read(spark, SERIES, window=one_day(CUTOFF)).count() == 1


def test_a_partition_without_rows_is_committed_all_the_same(spark, lake):
    """A night without refused lines has been ingested, and is told from one that was not."""
    put(lake, rows(spark, "a"))
    empty = put(lake, rows(spark), run_key="empty")

    assert empty.num_rows == 0
    assert items(lake) == []
    assert lake.require(SERIES, CUTOFF, producer="nightshift series").run_key == "empty"


def test_what_was_not_committed_is_not_there(spark, lake):
    """A run that is killed after writing leaves files that nobody reads."""
    put(lake, rows(spark, "a"))
    lake.stage(rows(spark, "half"), SERIES, window=one_day(CUTOFF), run_key="killed")

    assert items(lake) == ["a"]
    with pytest.raises(MissingPartitionError) as refused:
        lake.require(SERIES, date(2017, 1, 9), producer="nightshift series --cutoff 2017-01-09")
    assert str(refused.value) == (
        "series/cutoff=2017-01-09: found no committed partition, expected one, committed whole. "
        "Run `nightshift series --cutoff 2017-01-09` first, then run this again."
    )


def test_a_table_can_be_read_a_file_at_a_time(spark, lake):
    """Whoever cannot hold a partition in memory holds one bucket of it, and only some columns."""
    put(lake, rows(spark, "z", cutoff=DAY), cutoff=DAY)
    commit = put(lake, rows(spark, "a", "b", "c", "d").repartition(2))

    found = list(
        lake.read_buckets(
            SERIES,
            window=one_day(CUTOFF),
            snapshot_id=commit.snapshot_id,
            columns=["units", "item_id"],
        )
    )

    assert [table.column_names for table in found] == [["units", "item_id"]] * 2
    everything = [item for table in found for item in table["item_id"].to_pylist()]
    assert sorted(everything) == ["a", "b", "c", "d"]


def test_a_snapshot_that_is_not_there_is_no_empty_table(spark, lake):
    """pyiceberg alone would read it as one without rows."""
    put(lake, rows(spark, "a"))

    for ask in (
        lambda: lake.read(spark, SERIES, snapshot_id=1),
        lambda: lake.read_arrow(SERIES, snapshot_id=1),
        lambda: list(
            lake.read_buckets(SERIES, window=one_day(CUTOFF), snapshot_id=1, columns=["item_id"])
        ),
        lambda: lake.commit_at(SERIES, 1),
        lambda: lake.read_arrow(EVENTS, snapshot_id=1),
    ):
        with pytest.raises(MissingSnapshotError, match="at snapshot 1: found no such snapshot"):
            ask()


def test_a_commit_leaves_no_metadata_that_nothing_names(spark, lake, settings):
    """One file for the table as it was made, one for each commit."""
    put(lake, rows(spark, "a"))
    put(lake, rows(spark, "b"))

    assert len([*settings.home.glob("lake/series/metadata/*.metadata.json")]) == 3


def test_rows_have_the_content_hash_of_the_files_that_they_would_be_written_to(spark, lake):
    """So that a night can be proved without writing it again."""
    frame = rows(spark, "a", "b", "c")
    commit = put(lake, frame.repartition(2))

    assert content_of(frame, SERIES) == (commit.num_rows, commit.content_hash)


@pytest.mark.parametrize("there_before", [True, False], ids=["replaced", "new"])
def test_the_second_of_two_runs_of_a_night_is_refused(spark, settings, lake, there_before):
    """Both began from the same snapshot: one lands, the other learns of it and changes nothing."""
    if there_before:
        put(lake, rows(spark, "before"))
    else:
        put(lake, rows(spark, "z", cutoff=date(2016, 1, 1)), cutoff=date(2016, 1, 1))
    slow = lake.stage(rows(spark, "slow"), SERIES, window=one_day(CUTOFF), run_key="slow")
    seen_by_slow = lake._create(SERIES)
    put(open_lake(settings), rows(spark, "fast"), run_key="fast")
    lake._create = lambda table: seen_by_slow

    with pytest.raises(BusyError) as refused:
        lake.commit(slow, reads={})
    assert str(refused.value) == (
        "series/cutoff=2017-01-05: found another run that committed the same days meanwhile, "
        "expected one run at a time. "
        "Its rows stand, this run's are not visible. Run this again if it has to win."
    )
    assert items(lake, window=one_day(CUTOFF)) == ["fast"]


def test_two_runs_of_different_nights_both_land(spark, settings, lake):
    """The slower one is tried again on top of the other."""
    other = date(2017, 1, 6)
    put(lake, rows(spark, "before"))
    slow = lake.stage(
        rows(spark, "slow", cutoff=other), SERIES, window=one_day(other), run_key="slow"
    )
    seen_by_slow = lake._create(SERIES)
    put(open_lake(settings), rows(spark, "fast"), run_key="fast")
    lake._create = lambda table: seen_by_slow
    landed = lake.commit(slow, reads={})

    assert landed.run_key == "slow"
    assert items(lake) == ["fast", "slow"]


def test_nulls_and_foreign_days_are_refused_before_the_commit(spark, lake):
    """What the contract forbids is never visible."""
    with pytest.raises(AuditError) as nulls:
        put(lake, rows(spark, None, "a"), run_key="nulls")
    with pytest.raises(AuditError) as days:
        put(lake, rows(spark, "a", cutoff=date(2017, 1, 7)), run_key="days")

    assert str(nulls.value) == (
        "series/cutoff=2017-01-05: found nulls (item_id 1), expected none in these columns. "
        "Nothing was committed. Mend the job that made the rows."
    )
    assert str(days.value) == (
        "series/cutoff=2017-01-05: found rows from 2017-01-07 to 2017-01-07, "
        "expected from 2017-01-05 to 2017-01-05. "
        "Nothing was committed. Mend the job that made the rows."
    )
    assert lake.partitions(SERIES) == []


def test_the_windows_replaced_since_a_snapshot_are_known(spark, lake):
    """That is what tells whether yesterday's work can be built upon."""
    first = put(lake, rows(spark, "a"))
    window = Window(date(2017, 2, 1), date(2017, 2, 3))
    frame = rows(spark, "b", cutoff=date(2017, 2, 2))
    lake.replace(frame, SERIES, window=window, run_key="b", reads={})

    assert lake.windows_since(SERIES, first.snapshot_id) == [window]
    assert lake.windows_since(SERIES, 1) is None


def test_maps_lists_and_instants_come_back_as_they_went(spark, lake):
    """Microseconds, UTC, and a map with a missing key."""
    moment = datetime(2017, 1, 4, 5, 6, 7, 8, tzinfo=UTC)
    values = [("e", "u", "i", "view", moment, None, 1.5, None, None, None, None, {"k": "v"}, DAY)]
    frame = spark.createDataFrame(values, spark.createDataFrame([], _ddl()).schema)
    lake.replace(frame, EVENTS, window=one_day(DAY), run_key="e", reads={})
    row = lake.read_arrow(EVENTS).to_pylist()[0]

    assert row["event_time"] == moment
    assert row["properties"] == [("k", "v")]
    assert lake.read(spark, EVENTS).first()["properties"] == {"k": "v"}


def _ddl() -> str:
    return ", ".join(
        f"{column.name} {column.type.replace('float64', 'double')}" for column in EVENTS.columns
    )


def test_a_value_in_another_column_is_another_row(spark, lake):
    """A null is hashed too: the same text as category or as session hint is not the same."""
    moment = datetime(2017, 1, 4, tzinfo=UTC)
    schema = spark.createDataFrame([], _ddl()).schema
    hashes = []
    for n, (category, hint) in enumerate([("x", None), (None, "x")]):
        values = [("e", "u", "i", "view", moment, category, None, None, None, hint, None, {}, DAY)]
        frame = spark.createDataFrame(values, schema)
        hashes.append(lake.stage(frame, EVENTS, window=one_day(DAY), run_key=f"h{n}").content_hash)

    assert hashes[0] != hashes[1]


def test_run_keys_differ():
    """Two runs of one night write into folders of their own."""
    assert new_run_key("score", CUTOFF) != new_run_key("score", CUTOFF)
    assert new_run_key("score", CUTOFF).startswith("score-2017-01-05-")


def test_a_catalog_that_cannot_be_opened_is_named(settings, tmp_path):
    """The message names the catalog, what went wrong, and the setting to look at."""
    file = tmp_path / "elsewhere" / "catalog.db"
    catalog = {"type": "sql", "uri": f"sqlite:///{file}"}
    broken = settings.model_copy(
        update={"lake": settings.lake.model_copy(update={"catalog": catalog})}
    )

    with pytest.raises(UnreachableError) as refused:
        open_lake(broken)
    assert str(refused.value) == (
        f"the lake's catalog at sqlite:///{file}: "
        "found (sqlite3.OperationalError) unable to open database file, expected an answer. "
        "Check lake.catalog in the configuration, and that its server or folder is there."
    )


def test_a_lost_catalog_is_not_replaced_by_an_empty_one(spark, settings, lake):
    """Tables without their catalog are an accident to repair, not a first run."""
    put(lake, rows(spark, "a"))
    (settings.home / "catalog.db").unlink()

    with pytest.raises(UnreachableError) as refused:
        open_lake(settings)
    assert str(refused.value) == (
        f"the lake's catalog at sqlite:///{settings.home}/catalog.db: "
        f"found no such file, though {settings.home}/lake holds tables, expected an answer. "
        "Restore the catalog, or correct lake.catalog.uri; "
        "a new catalog would not know these tables."
    )


def test_a_catalog_that_was_restored_empty_is_no_first_run(spark, settings, lake):
    """It opens and knows no table: a night would build upon its own day alone."""
    put(lake, rows(spark, "a"))
    with sqlite3.connect(settings.home / "catalog.db") as catalog:
        for table in ("iceberg_tables", "iceberg_namespace_properties"):
            catalog.execute(f"DELETE FROM {table}")

    with pytest.raises(UnreachableError) as refused:
        open_lake(settings)
    assert refused.value.found == f"an empty one, though {settings.home}/lake holds tables"


def test_a_server_that_does_not_answer_is_named_without_its_password(settings):
    """Within seconds, and with nothing secret in the message."""
    uri = "postgresql+psycopg2://night:secret@127.0.0.1:1/lake"
    catalog = {"type": "sql", "uri": uri}
    away = settings.model_copy(
        update={"lake": settings.lake.model_copy(update={"catalog": catalog})}
    )

    with pytest.raises(UnreachableError) as refused:
        open_lake(away)
    assert str(refused.value).startswith(
        "the lake's catalog at postgresql+psycopg2://night@127.0.0.1:1/lake: found "
    )
    assert "secret" not in str(refused.value)
