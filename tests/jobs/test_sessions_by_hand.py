"""Sessions, against ten lines of plain Python: on random logs, on real ones, and night by night."""

import json
import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pyspark.sql import functions as F

from contracts.tables import EVENTS, SESSIONS
from contracts.windows import Window, one_day
from jobs.build_sessions import build_sessions, main
from jobs.lake import open_lake

from .real_logs import complete_journey, rees46
from .reference import Event, session_rows

pytestmark = pytest.mark.spark

START = datetime(2017, 7, 4, 16, tzinfo=UTC)
ZONE = "America/New_York"
HORIZON = Window(date(2017, 1, 1), date(2020, 1, 1))
MINUTES = (0, 0, 1, 29, 30, 31, 240, 7 * 24 * 60, 7 * 24 * 60 + 1)  # since the event before
SHORT = (
    "user_id string, event_time timestamp, event_id string, session_hint string, item_id string, "
    "event_type string, amount double, ingest_date date"
)
WHOLE = f"{SHORT}, category string, price double, quantity double, properties map<string,string>"


@st.composite
def user_logs(draw):
    """What one user did: steps in time at and beside every limit, ties, over midnight, hints."""
    minute, log = draw(st.integers(0, 3 * 24 * 60)), []
    for _ in range(draw(st.integers(1, 8))):
        minute += draw(st.sampled_from(MINUTES))
        second = draw(st.sampled_from([0, 0, 0, 1, 59]))
        log.append((60 * minute + second, draw(st.sampled_from([None, None, "x", "y"]))))
    return log


@examples(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(logs=st.lists(user_logs(), min_size=25, max_size=25), data=st.randoms(use_true_random=False))
def test_random_logs_are_cut_as_by_hand(spark, logs, data):
    """Whatever order and partitions they are read in."""
    log = [
        Event(
            user_id=f"u{user}",
            event_time=START + timedelta(seconds=second),
            event_id=f"e{data.randrange(1000)}-{number}",
            session_hint=hint,
            item_id=f"i{number % 3}",
            event_type="purchase" if number % 5 == 4 else "view",
            amount=data.choice([None, 0.1, 0.7, -1.25]),
            ingest_date=START.date(),
        )
        for user, mine in enumerate(logs)
        for number, (second, hint) in enumerate(mine)
    ]
    data.shuffle(log)

    assert spark_rows(spark.createDataFrame(log, SHORT).repartition(3)) == session_rows(
        log, gap_minutes=30, zone=ZoneInfo(ZONE)
    )


@pytest.mark.parametrize("with_hints", [True, False], ids=["with hints", "by the gap alone"])
def test_weeks_of_real_receipts_are_cut_as_by_hand(spark, tmp_path, with_hints):
    """Every column of every session; lines of one receipt share their instant."""
    same_as_by_hand(spark, complete_journey("2017-01-15"), tmp_path, ZONE, with_hints=with_hints)


@pytest.mark.exact
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("with_hints", [True, False], ids=["with hints", "by the gap alone"])
@pytest.mark.parametrize(
    ("read", "zone"), [(complete_journey, ZONE), (rees46, "UTC")], ids=["journey", "rees46"]
)
def test_whole_real_logs_are_cut_as_by_hand(spark, tmp_path, read, zone, with_hints):
    """The same, from the first line to the last: `make exact`."""
    same_as_by_hand(spark, read(), tmp_path, zone, with_hints=with_hints)


def same_as_by_hand(spark, log, folder, zone, *, with_hints):
    """Assert that Spark's sessions of a log are those of plain Python."""
    pq.write_table(log, folder / "log.parquet")
    frame = spark.read.parquet(str(folder / "log.parquet"))
    if not with_hints:
        frame = frame.withColumn("session_hint", F.lit(None).cast("string"))
    columns = [log[name].to_pylist() for name in Event._fields]
    if not with_hints:
        columns[Event._fields.index("session_hint")] = [None] * len(log)
    events = [Event(*row) for row in zip(*columns, strict=True)]
    expected = session_rows(events, gap_minutes=30, zone=ZoneInfo(zone))
    print(f"{len(events):,} events, {len(expected):,} sessions")

    assert len(events) > 10_000
    assert spark_rows(frame, zone=zone) == expected


def spark_rows(frame, *, zone=ZONE):
    """The sessions of all days, by id."""
    found = build_sessions(frame, window=HORIZON, gap_minutes=30, zone=zone).collect()
    assert len({row["session_id"] for row in found}) == len(found)
    return {row["session_id"]: {**row.asDict(), **utc(row)} for row in found}


def utc(row):
    return {name: row[name].astimezone(UTC) for name in ("start_time", "end_time")}


# ---- night by night ------------------------------------------------------------------------------

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
                session_hint=rng.choice([None, None, None, "x"]),
                item_id="i",
                event_type="view",
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
    event = Event(user, local(day, minute), f"{user}-{day}-{minute}", None, "i", "view", 1.0, came)
    return event._replace(**changes)


def ingest(spark, lake, log, window):
    events = [(*event, None, None, None, {}) for event in log]
    run_key = f"i-{window.start}-{window.end}"
    frame = spark.createDataFrame(events, WHOLE)
    lake.replace(frame, EVENTS, window=window, run_key=run_key, reads={})


def night(settings, capsys, cutoff, *options):
    argv = ["--cutoff", str(cutoff), "--config", str(settings.file), "--json", *options]
    assert main(argv) == 0
    return json.loads(capsys.readouterr().out)


def stored(lake):
    rows = lake.read_arrow(SESSIONS).to_pylist()
    return {row["session_id"]: {**row, **utc(row)} for row in rows}


def test_night_by_night_sessions_are_those_of_all_events(spark, settings, capsys, monkeypatch):
    """Late events join, split nothing, and bridge sessions, over midnight too; nothing is lost.

    Sessions that last for days are left out here: an equal hint is made another after a day.
    """
    monkeypatch.setenv("NIGHTSHIFT__SESSIONS__LATE_DAYS", str(LATE_DAYS))
    log = [
        event._replace(session_hint=event.session_hint and f"x{event.event_time.date()}")
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
