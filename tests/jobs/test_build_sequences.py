"""Sequences night by night: each upon the one before, while that can be built upon."""

import json
from datetime import UTC, date, datetime, timedelta

import duckdb
import pyarrow as pa
import pytest
import yaml
from pyspark.sql import functions as F

from contracts.tables import EVENTS, SEQUENCES
from contracts.windows import Window, one_day
from jobs.build_sequences import main
from jobs.histories.read_sequences import WHOLE_SEQUENCES, sequences_as_of, sequences_at
from jobs.histories.sequence_buckets import ROW_COLUMNS
from jobs.lake.lake import content_of, open_lake

pytestmark = pytest.mark.spark

CUTOFF = date(2017, 1, 10)
START = datetime(2017, 1, 1, tzinfo=UTC)
DDL = (
    "event_id string, user_id string, item_id string, event_type string, event_time timestamp, "
    "category string, price double, quantity double, amount double, session_hint string, "
    "text string, properties map<string,string>, ingest_date date"
)


def event(
    user, event_id, minute, *, amount=1.0, quantity=1.0, category="c", text=None, ingest=None
):
    time = START + timedelta(minutes=minute)
    day = ingest or time.date()
    about = f"item {event_id}", "purchase", time, category, None, quantity, amount
    return event_id, user, *about, None, text, {}, day


def frame(spark, *events):
    return spark.createDataFrame(list(events), DDL)


def ingest(lake, spark, *events, days):
    window = Window(*days)
    run_key = f"ingest-{window.start}-{lake.snapshot_id(EVENTS)}"
    lake.replace(frame(spark, *events), EVENTS, window=window, run_key=run_key, reads={})


def run(settings, capsys, cutoff, *options):
    argv = ["--cutoff", str(cutoff), "--config", str(settings.file), "--json", *options]
    code = main(argv)
    return code, json.loads(capsys.readouterr().out)


def content(spark, lake, cutoff):
    """What a reader sees as of the cutoff, whichever partitions hold it."""
    rows = sequences_as_of(lake, cutoff).read(spark)
    return content_of(rows.withColumn("since", F.lit(None)), SEQUENCES)


def test_a_night_builds_on_the_one_before_until_its_past_changes(spark, settings, capsys):
    """A late event is a new fact and costs nothing; a day ingested again means a rebuild."""
    lake = open_lake(settings)
    fourth, fifth, sixth = (date(2017, 1, day) for day in (4, 5, 6))
    early, late = event("u", "a", 10), event("u", "late", 5, text="red shoes", ingest=fourth)
    ingest(lake, spark, early, days=(date(2017, 1, 1), fourth))
    _, first = run(settings, capsys, fourth)
    ingest(lake, spark, late, event("v", "b", 4400, ingest=fourth), days=(fourth, fifth))
    _, second = run(settings, capsys, fifth)
    folded = content(spark, lake, fifth)
    texts = dict(sequences_as_of(lake, fifth).read(spark).select("user_id", "texts").collect())
    _, full = run(settings, capsys, fifth, "--full")
    rebuilt = content(spark, lake, fifth)
    ingest(lake, spark, event("u", "z", 10), days=(date(2017, 1, 1), fourth))
    ingest(lake, spark, days=(fifth, sixth))
    _, third = run(settings, capsys, sixth)
    users = {
        row["user_id"]: row["event_ids"]
        for row in lake.read_arrow(SEQUENCES, window=one_day(sixth)).to_pylist()
    }

    assert [said["mode"] for said in (first, second, full, third)] == [
        "full",
        "since 2017-01-04",
        "full",
        "full",
    ]
    assert folded == rebuilt == (2, full["tables"]["sequences"]["content_hash"])
    assert users == {"u": ["late", "z"], "v": ["b"]}
    assert texts == {"u": ["red shoes", ""], "v": None}


def test_a_night_writes_rows_of_its_own_events_alone(spark, settings, capsys):
    """And says how many users are known; after so many nights everybody is written again."""
    lake = open_lake(settings)
    days = [date(2017, 1, day) for day in range(1, 8)]
    nights = [["u", "v", "w"], ["u"], ["x"], [], ["u", "x", "y"], ["v"]]
    said = []
    for number, users in enumerate(nights):
        events = [event(user, f"{user} {number}", 1440 * number) for user in users]
        ingest(lake, spark, *events, days=(days[number], days[number + 1]))
        said.append(run(settings_with(settings, max_nights=4), capsys, days[number + 1])[1])
    cutoff = days[6]
    whole = content(spark, lake, cutoff)
    run(settings, capsys, cutoff, "--full")
    rows = [(one["rows"], one["rows_written"]) for one in said]

    assert [one["mode"] for one in said] == [
        "full",
        *(f"since 2017-01-0{day}" for day in range(2, 6)),
        "whole, from 2017-01-06",
    ]
    assert rows == [(3, 3), (3, 1), (4, 1), (4, 0), (5, 3), (5, 5)]
    assert whole == content(spark, lake, cutoff)


def test_what_is_read_as_of_a_cutoff_is_what_a_rebuild_reads(spark, settings, capsys):
    """By Spark and without it: rows, users, the first event; and it does not change any more."""
    lake = open_lake(settings)
    first, second, third = (date(2017, 1, day) for day in (2, 3, 4))
    users = [f"u{n}" for n in range(12)]
    ingest(
        lake, spark, *(event(u, f"{u} 1", 60) for u in users[:9]), days=(date(2017, 1, 1), first)
    )
    run(settings, capsys, first)
    late = event("u3", "late", 7, ingest=first)
    ingest(lake, spark, late, *(event(u, f"{u} 2", 1440) for u in users[7:]), days=(first, second))
    run(settings, capsys, second)
    ingest(lake, spark, *(event(u, f"{u} 3", 2880) for u in users[5:8]), days=(second, third))
    run(settings, capsys, third)
    night = sequences_as_of(lake, third)
    before, queried = seen(spark, night), by_query(lake, third)
    run(settings, capsys, second, "--full")
    ingest(lake, spark, days=(date(2017, 1, 1), first))
    run(settings, capsys, first, "--full")
    after = seen(spark, sequences_at(lake, night.snapshot_id))
    run(settings, capsys, third)
    empty = seen(spark, sequences_as_of(lake, third))

    assert (night.num_nights, night.num_users) == (2, 12)
    assert before == after  # though both partitions upon which it stands were replaced
    assert before["spark"] == before["arrow"]
    assert queried == [{name: row[name] for name in queried[0]} for row in before["arrow"]]
    assert before["users"] == sorted(users) == [row["user_id"] for row in before["arrow"]]
    assert before["first"] == START + timedelta(minutes=7)
    event_ids = {row["user_id"]: row["event_ids"] for row in before["arrow"]}
    assert event_ids["u3"] == ["late", "u3 1"]
    assert event_ids["u7"] == ["u7 1", "u7 2", "u7 3"]
    assert len(empty["arrow"]) == 8


def by_query(lake, cutoff):
    """What somebody sees who has the table's files, DuckDB, and our page on the tables."""
    every_cutoff = Window(date.min, date.max)
    groups = lake.row_groups(
        SEQUENCES, window=every_cutoff, snapshot_id=lake.snapshot_id(SEQUENCES)
    )
    paths = sorted({group.path for group in groups})
    with duckdb.connect() as database:
        database.sql(f"CREATE VIEW sequences AS SELECT * FROM read_parquet({paths})")
        asked = {"cutoff": cutoff, "max_events": 2048}
        found = database.execute(WHOLE_SEQUENCES.read_text(), asked)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def seen(spark, sequences):
    """Everything that is read of sequences."""
    by_spark = sequences.read(spark).orderBy("user_id").toArrow().to_pylist()
    buckets = pa.concat_tables(sequences.read_buckets(ROW_COLUMNS))
    users = sorted(sequences.user_ids().to_pylist())
    return {
        "spark": by_spark,
        "arrow": buckets.sort_by("user_id").to_pylist(),
        "users": users,
        "first": sequences.first_event_time(),
    }


def settings_with(settings, **changes):
    """The same deployment with other settings of the sequences."""
    values = yaml.safe_load(settings.file.read_text())
    values["sequences"] |= changes
    settings.file.write_text(yaml.safe_dump(values))
    return settings


@pytest.mark.parametrize("earlier", ["its own buckets", "fewer buckets", "files of no bucket"])
def test_a_night_has_the_rows_of_a_rebuild_however_those_before_lie(
    spark, settings, capsys, monkeypatch, earlier
):
    """Users in as many buckets as before, in more, and in files of another program."""
    lake, (first, second, third) = open_lake(settings), (date(2017, 1, day) for day in (1, 2, 3))
    users = [f"u{n}" for n in range(12)]
    ingest(lake, spark, *(event(user, f"{user} 1", 0) for user in users), days=(first, second))
    run(settings, capsys, second)
    ingest(
        lake, spark, *(event(user, f"{user} 2", 1440) for user in users[5:]), days=(second, third)
    )
    if earlier == "fewer buckets":
        monkeypatch.setenv("NIGHTSHIFT__SPARK__PARTITIONS", "7")
    if earlier == "files of no bucket":
        made = next(lake.commits(SEQUENCES))
        rows = lake.read(spark, SEQUENCES, window=made.window)
        lake.replace(
            rows,
            SEQUENCES,
            window=made.window,
            run_key="another program",
            reads=made.reads,
            facts={name: made.facts[name] for name in ("max_events", "money")},
        )
    _, night = run(settings, capsys, third)
    groups = sequences_as_of(lake, third).earlier().row_groups
    folded = content(spark, lake, third)
    _, whole = run(settings, capsys, third, "--full")

    dealt_again = "whole, from 2017-01-02"
    mode = "since 2017-01-02" if earlier == "its own buckets" else dealt_again
    assert (night["mode"], whole["mode"]) == (mode, "full")
    buckets = "of-00007" if earlier == "fewer buckets" else "of-00002"
    assert all(buckets in group.path for group in groups)
    assert night["rows"] == len(users)
    assert folded == content(spark, lake, third)


def test_without_the_day_before_the_cutoff_it_says_what_to_run(spark, settings, capsys):
    code, said = run(settings, capsys, CUTOFF)

    assert code == 3
    assert said["message"] == (
        "events/ingest_date=2017-01-09: found no committed partition, "
        "expected one, committed whole. "
        "Run `nightshift ingest --cutoff 2017-01-10` first, then run this again."
    )
