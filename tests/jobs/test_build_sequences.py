"""One sequence per user ever seen: the latest events in one order, and exact totals of all."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from contracts.tables import EVENTS, SEQUENCES
from contracts.windows import Window, one_day
from jobs.build_sequences import build_sequences, main
from jobs.lake.lake import open_lake

pytestmark = pytest.mark.spark

CUTOFF = date(2017, 1, 10)
START = datetime(2017, 1, 1, tzinfo=UTC)
OPTIONS = {"max_events": 3, "gap_minutes": 30}
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


def by_user(sequences):
    return {row["user_id"]: row.asDict() for row in sequences.collect()}


def build(spark, *events, **changes):
    return by_user(build_sequences(frame(spark, *events), cutoff=CUTOFF, **{**OPTIONS, **changes}))


def test_the_latest_events_are_kept_and_all_are_counted(spark):
    """Arrays are cut to the latest, oldest first; totals and the first time never are."""
    found = build(spark, *(event("u", f"e{n}", n, amount=0.1) for n in (4, 1, 3, 2)))["u"]

    assert found["event_ids"] == ["e2", "e3", "e4"]
    assert found["item_ids"] == ["item e2", "item e3", "item e4"]
    assert found["lifetime_events"] == 4
    assert found["lifetime_spend"] == 0.4  # not 0.1 + 0.1 + 0.1 + 0.1 in floats' own order
    assert found["first_event_time"].minute == 1
    assert found["last_event_time"].minute == 4


def test_ties_follow_the_event_id_and_gaps_start_sessions(spark):
    """One order whatever order Spark reads in; a gap of exactly 30 minutes is no new session."""
    events = [event("u", "b", 0), event("u", "a", 0), event("u", "c", 30), event("u", "d", 61)]
    found = build(spark, *events, max_events=4)["u"]
    turned = build(spark, *reversed(events), max_events=4)["u"]

    assert found["event_ids"] == ["a", "b", "c", "d"]
    assert found["session_starts"] == [True, False, False, True]
    assert turned == found


def test_the_first_event_kept_starts_a_session(spark):
    """What was cut away is not known any more."""
    found = build(spark, *(event("u", f"e{n}", n) for n in range(5)))["u"]

    assert found["session_starts"] == [True, False, False]


def test_what_is_unknown_is_empty_or_zero(spark):
    found = build(spark, event("u", "e", 0, amount=None, quantity=None, category=None))["u"]

    assert (found["amounts"], found["quantities"], found["categories"]) == ([0.0], [0.0], [""])
    assert found["lifetime_spend"] == 0.0


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


def test_without_the_day_before_the_cutoff_it_says_what_to_run(spark, settings, capsys):
    code, said = run(settings, capsys, CUTOFF)

    assert code == 3
    assert said["message"] == (
        "events/ingest_date=2017-01-09: found no committed partition, "
        "expected one, committed whole. "
        "Run `nightshift ingest --cutoff 2017-01-10` first, then run this again."
    )
