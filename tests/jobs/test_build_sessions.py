"""Sessions night by night: restated where late events fall, and the same as of all events."""

import json
import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from contracts.tables import EVENTS, SESSION_EVENTS, SESSIONS
from contracts.windows import Window, one_day
from jobs.build_sessions import main
from jobs.lake.lake import open_lake

from .reference import Event, session_rows

pytestmark = pytest.mark.spark

ZONE = "America/New_York"
WHOLE = (
    "user_id string, event_time timestamp, event_id string, session_hint string, item_id string, "
    "event_type string, amount double, ingest_date date, category string, price double, "
    "quantity double, text string, properties map<string,string>"
)
DAYS = [date(2017, 7, 4) + timedelta(days=n) for n in range(5)]
LATE_DAYS = 2


def random_nights(seed):
    """Events of five days, many at midnight, that come on their day or up to LATE_DAYS after."""
    rng = random.Random(seed)
    log = []
    for number in range(400):
        day = rng.randrange(len(DAYS))
        minute = rng.choice([0, 5, 10, 29, 30, 31, 700, 730, 1410, 1420, 1439])
        came = min(day + rng.choice([0, 0, 0, 1, LATE_DAYS]), len(DAYS) - 1)
        log.append(
            Event(
                user_id=f"u{rng.randrange(60)}",
                event_time=local(DAYS[day], minute),
                event_id=f"e{number}",
                session_hint=rng.choice([None, None, None, "x", "y"]),
                item_id="i",
                event_type="purchase",
                amount=0.1,
                ingest_date=DAYS[came],
            )
        )
    return log


def local(day, minute):
    """That minute of the day, by the clocks of New York."""
    midnight = datetime.combine(day, datetime.min.time(), tzinfo=ZoneInfo(ZONE))
    return midnight.astimezone(UTC) + timedelta(minutes=minute)


def of(user, day, minute, came, **changes):
    event = Event(
        user, local(day, minute), f"{user}-{day}-{minute}", None, "i", "purchase", 1.0, came
    )
    return event._replace(**changes)


def ingest(spark, lake, log, window):
    events = [(*event, None, None, None, None, {}) for event in log]
    run_key = f"i-{window.start}-{window.end}"
    frame = spark.createDataFrame(events, WHOLE)
    lake.replace(frame, EVENTS, window=window, run_key=run_key, reads={})


def night(settings, capsys, cutoff, *options):
    argv = ["--cutoff", str(cutoff), "--config", str(settings.file), "--json", *options]
    assert main(argv) == 0
    return json.loads(capsys.readouterr().out)


def stored(lake):
    """Rows of `sessions`; their events are those of `session_events`, each once."""
    rows = lake.read_arrow(SESSIONS).to_pylist()
    events = lake.read_arrow(SESSION_EVENTS, columns=["session_id", "event_id"])
    counts = {row["session_id"]: row["num_events"] for row in rows}
    assert len(set(events["event_id"].to_pylist())) == len(events) == sum(counts.values())
    assert set(events["session_id"].to_pylist()) == set(counts)
    return {row["session_id"]: {**row, **utc(row)} for row in rows}


def utc(row):
    return {name: row[name].astimezone(UTC) for name in ("start_time", "end_time")}


def test_night_by_night_sessions_are_those_of_all_events(spark, settings, capsys, monkeypatch):
    """Late events join, split nothing, and bridge sessions, over midnight too; nothing is lost.

    Sessions that last for days are left out here: an equal hint is made another after a day.
    """
    monkeypatch.setenv("NIGHTSHIFT__SESSIONS__LATE_DAYS", str(LATE_DAYS))
    log = [
        event._replace(
            session_hint=event.session_hint and f"{event.session_hint}{event.event_time.date()}"
        )
        for event in random_nights(7)
    ]
    lake = open_lake(settings)
    late = []
    for day in DAYS:
        mine = [event for event in log if event.ingest_date == day]
        ingest(spark, lake, mine, one_day(day))
        said = night(settings, capsys, day + timedelta(days=1))
        late.append((said["late_events"], said["continued_events"]))

    assert late == [(0, 0)] * len(DAYS)
    assert stored(lake) == session_rows(log, gap_minutes=30, zone=ZoneInfo(ZONE))


def test_what_comes_too_late_changes_nothing_and_is_counted(spark, settings, capsys, monkeypatch):
    """Not even the session which it would have begun; nor does what goes on for days."""
    monkeypatch.setenv("NIGHTSHIFT__SESSIONS__LATE_DAYS", "0")
    third, fourth = DAYS[2], DAYS[3]
    first = [
        of("bridged", third, 5, third),
        *(of("long", day, 60, day, session_hint="x") for day in DAYS[:3]),
    ]
    new = [of("bridged", DAYS[1], 1439, fourth), of("long", fourth, 60, fourth, session_hint="x")]
    lake = open_lake(settings)
    ingest(spark, lake, first, Window(DAYS[0], fourth))
    night(settings, capsys, fourth, "--since", str(DAYS[0]))
    before = stored(lake)
    ingest(spark, lake, new, one_day(fourth))
    said = night(settings, capsys, DAYS[4])
    after = stored(lake)
    rebuilt = night(settings, capsys, DAYS[4], "--since", str(DAYS[0]))

    assert after == before
    assert (said["late_events"], said["continued_events"]) == (1, 1)
    assert (rebuilt["late_events"], rebuilt["continued_events"]) == (0, 0)
    assert stored(lake) == session_rows([*first, *new], gap_minutes=30, zone=ZoneInfo(ZONE))
