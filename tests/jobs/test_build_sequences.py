"""Sequences night by night: each upon the one before, while that can be built upon."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from contracts.tables import EVENTS, SEQUENCES
from contracts.windows import Window, one_day
from jobs.build_sequences import main
from jobs.lake.lake import open_lake

pytestmark = pytest.mark.spark

CUTOFF = date(2017, 1, 10)
START = datetime(2017, 1, 1, tzinfo=UTC)
DDL = (
    "event_id string, user_id string, item_id string, event_type string, event_time timestamp, "
    "category string, price double, quantity double, amount double, session_hint string, "
    "properties map<string,string>, ingest_date date"
)


def event(user, event_id, minute, *, amount=1.0, quantity=1.0, category="c", ingest=None):
    time = START + timedelta(minutes=minute)
    day = ingest or time.date()
    item = f"item {event_id}"
    return event_id, user, item, "purchase", time, category, None, quantity, amount, None, {}, day


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


def test_a_night_builds_on_the_one_before_until_its_past_changes(spark, settings, capsys):
    """A late event is a new fact and costs nothing; a day ingested again means a rebuild."""
    lake = open_lake(settings)
    fourth, fifth, sixth = (date(2017, 1, day) for day in (4, 5, 6))
    early, late = event("u", "a", 10), event("u", "late", 5, ingest=fourth)
    ingest(lake, spark, early, days=(date(2017, 1, 1), fourth))
    _, first = run(settings, capsys, fourth)
    ingest(lake, spark, late, event("v", "b", 4400, ingest=fourth), days=(fourth, fifth))
    _, second = run(settings, capsys, fifth)
    _, full = run(settings, capsys, fifth, "--full")
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
    assert (
        second["tables"]["sequences"]["content_hash"] == full["tables"]["sequences"]["content_hash"]
    )
    assert users == {"u": ["late", "z"], "v": ["b"]}


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
            facts={"max_events": made.facts["max_events"]},
        )
    _, night = run(settings, capsys, third)
    paths = [
        group.path
        for group in lake.row_groups(
            SEQUENCES, window=one_day(third), snapshot_id=lake.snapshot_id(SEQUENCES)
        )
    ]
    _, whole = run(settings, capsys, third, "--full")

    assert (night["mode"], whole["mode"]) == ("since 2017-01-02", "full")
    buckets = "of-00007" if earlier == "fewer buckets" else "of-00002"
    assert all(buckets in path for path in paths)
    assert night["rows"] == len(users)
    assert (
        night["tables"]["sequences"]["content_hash"] == whole["tables"]["sequences"]["content_hash"]
    )


def test_without_the_day_before_the_cutoff_it_says_what_to_run(spark, settings, capsys):
    code, said = run(settings, capsys, CUTOFF)

    assert code == 3
    assert said["message"] == (
        "events/ingest_date=2017-01-09: found no committed partition, "
        "expected one, committed whole. "
        "Run `nightshift ingest --cutoff 2017-01-10` first, then run this again."
    )
