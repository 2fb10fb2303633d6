"""Sessions: cut by silence or by the log's own hint, and restated where late events fall."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from contracts.tables import EVENTS, SESSIONS
from contracts.windows import Window, one_day
from jobs.build_sessions import build_sessions, main
from jobs.lake import open_lake

pytestmark = pytest.mark.spark

START = datetime(2017, 7, 4, 16, tzinfo=UTC)
WINDOW = Window(date(2017, 7, 4), date(2017, 7, 6))
ZONE = "America/New_York"
DDL = (
    "event_id string, user_id string, item_id string, event_type string, event_time timestamp, "
    "category string, price double, quantity double, amount double, session_hint string, "
    "properties map<string,string>, ingest_date date"
)


def event(
    event_id, minute, *, user="u", item="i", hint=None, kind="view", amount=None, ingest=None
):
    time = START + timedelta(minutes=minute)
    day = ingest or (time - timedelta(hours=4)).date()
    return event_id, user, item, kind, time, None, None, None, amount, hint, {}, day


def sessions(spark, *events, window=WINDOW):
    frame = spark.createDataFrame(list(events), DDL)
    found = build_sessions(frame, window=window, gap_minutes=30, zone=ZONE).collect()
    return sorted(found, key=lambda row: (row["user_id"], row["start_time"]))


def test_a_longer_silence_ends_a_session(spark):
    """Exactly 30 minutes do not; users never share a session; the last to come are in order."""
    found = sessions(
        spark,
        *(event("c", 61), event("b", 30), event("a", 0, amount=0.1)),
        event("d", 1, user="v", kind="purchase", amount=0.2),
        event("e", 2, user="v", item="j", amount=0.1),
    )

    assert [(row["user_id"], row["num_events"]) for row in found] == [("u", 2), ("u", 1), ("v", 2)]
    assert [row["is_converted"] for row in found] == [False, False, True]
    assert [row["num_items"] for row in found] == [1, 1, 2]
    assert found[2]["spend"] == 0.3
    assert found[0]["end_time"] - found[0]["start_time"] == timedelta(minutes=30)
    assert len({row["session_id"] for row in found}) == 3


def test_a_hint_overrules_the_silence(spark):
    """The same hint holds a session together, another one ends it; without one silence decides."""
    week = 7 * 24 * 60
    hints = [
        *(event("a", 0, hint="x"), event("b", 300, hint="x"), event("c", 301, hint="y")),
        *(event("d", 302), event("e", 400)),
        *(event("f", 0, user="w", hint="x"), event("g", week + 1, user="w", hint="x")),
    ]
    found = sessions(spark, *hints, window=Window(date(2017, 7, 4), date(2017, 7, 20)))

    assert [row["num_events"] for row in found] == [2, 2, 1, 1, 1]


def test_a_session_belongs_to_the_day_it_began_on(spark):
    """Also over midnight of the business zone, and even where the window opens in its middle."""
    midnight = 12 * 60  # of New York, from START on
    around = [event("a", midnight - 10), event("b", midnight + 10)]
    found = sessions(spark, *around)
    window = Window(date(2017, 7, 5), date(2017, 7, 6))

    assert [(row["session_date"], row["num_events"]) for row in found] == [(date(2017, 7, 4), 2)]
    assert sessions(spark, *around, window=window) == []


def test_a_session_keeps_its_id_when_it_grows(spark):
    """The id comes from the user and the first event."""
    short = sessions(spark, event("a", 0))
    grown = sessions(spark, event("a", 0), event("b", 5))

    assert short[0]["session_id"] == grown[0]["session_id"]


def test_late_events_restate_recent_days_and_older_ones_are_counted(
    spark, settings, capsys, monkeypatch
):
    """The night after, yesterday's session has grown; what came too late is said, not hidden."""
    monkeypatch.setenv("NIGHTSHIFT__SESSIONS__LATE_DAYS", "1")
    lake = open_lake(settings)
    days = [date(2017, 7, day) for day in (4, 5, 6)]
    late = event("late", 3, ingest=days[1])
    too_late = event("too late", -24 * 60, user="v", ingest=days[1])
    nights = [[event("a", 0), event("b", 5)], [late, too_late]]
    said = []
    for day, log in zip(days, nights, strict=False):
        frame = spark.createDataFrame(log, DDL)
        lake.replace(frame, EVENTS, window=one_day(day), run_key=f"i-{day}", reads={})
        cutoff = str(day + timedelta(days=1))
        assert main(["--cutoff", cutoff, "--config", str(settings.file), "--json"]) == 0
        said.append(json.loads(capsys.readouterr().out))
    found = lake.read_arrow(SESSIONS).to_pylist()

    assert [(row["session_date"], row["num_events"]) for row in found] == [(days[0], 3)]
    assert [night["late_events"] for night in said] == [0, 1]
    assert [night["restated_from"] for night in said] == ["2017-07-02", "2017-07-03"]
