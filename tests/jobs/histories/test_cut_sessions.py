"""Sessions: cut by silence or by the log's own hint, as ten lines of plain Python cut them."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from contracts.tables import EVENTS
from contracts.windows import Window
from jobs.histories.cut_sessions import COLUMNS, cut_sessions
from jobs.lake.column_types import arrow_schema
from tests.jobs.real_logs import complete_journey, rees46
from tests.jobs.reference import Event, cut, in_order, session_rows

START = datetime(2017, 7, 4, 16, tzinfo=UTC)
ZONE = "America/New_York"
HORIZON = Window(date(2017, 1, 1), date(2020, 1, 1))
# Since the event before.
MINUTES = (0, 0, 1, 1, 29, 30, 31, 240, 24 * 60, 24 * 60 + 1, 7 * 24 * 60, 7 * 24 * 60 + 1)
HINTS = [None, "x", "y", "z"]


def event(
    event_id, minute, *, user="u", item="i", hint=None, kind="view", amount=None, ingest=None
):
    time = START + timedelta(minutes=minute)
    day = ingest or (time - timedelta(hours=4)).date()
    return Event(user, time, event_id, hint, item, kind, amount, day)


def arrow(log):
    """Events as the lake has them; what a session is not made of is null."""
    schema = arrow_schema(EVENTS, COLUMNS)
    rows = [dict.fromkeys(COLUMNS) | one._asdict() for one in log]
    return pa.Table.from_pylist(rows, schema=schema)


def whole(log):
    """The same of a table that has some of the columns."""
    schema = arrow_schema(EVENTS, COLUMNS)
    columns = [
        log[field.name].cast(field.type)
        if field.name in log.column_names
        else pa.nulls(len(log), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def found_in(events, *, window=HORIZON, zone=ZONE, new_from=HORIZON.end, money="net"):
    options = {"window": window, "new_from": new_from, "zone": zone, "money": money}
    return cut_sessions(events, gap_minutes=30, **options)


def sessions(*log, **options):
    """Rows of `sessions`, by user and time."""
    rows = found_in(arrow(log), **options).sessions.to_pylist()
    return sorted(rows, key=lambda row: (row["user_id"], row["start_time"]))


def by_id(table):
    """Rows of `sessions`, with the instants of plain Python."""
    rows = table.to_pylist()
    assert len({row["session_id"] for row in rows}) == len(rows)
    instants = ("start_time", "end_time")
    return {
        row["session_id"]: {**row, **{name: row[name].astimezone(UTC) for name in instants}}
        for row in rows
    }


def test_a_longer_silence_ends_a_session():
    """Exactly 30 minutes do not; users never share a session; the last to come are in order."""
    found = sessions(
        *(event("c", 61), event("b", 30), event("a", 0, amount=0.1)),
        event("d", 1, user="v", kind="purchase", amount=0.2),
        event("e", 2, user="v", item="j", kind="purchase", amount=0.1),
    )

    assert [(row["user_id"], row["num_events"]) for row in found] == [("u", 2), ("u", 1), ("v", 2)]
    assert [row["is_converted"] for row in found] == [False, False, True]
    assert [row["num_items"] for row in found] == [1, 1, 2]
    assert found[2]["spend"] == 0.3
    assert found[0]["end_time"] - found[0]["start_time"] == timedelta(minutes=30)
    assert [row["session_id"] for row in found] == ["a", "c", "d"]


@pytest.mark.parametrize(("money", "spend"), [("net", -0.7), ("gross", 5.0)])
def test_a_session_spends_what_its_purchases_and_returns_move(money, spend):
    """What was looked at has a price too, and costs nothing: it was added to what was paid."""
    (found,) = sessions(
        event("a", 0, amount=99.0),
        event("b", 1, kind="purchase", amount=5.0),
        event("c", 2, kind="purchase", amount=-0.2),
        event("d", 3, kind="return", amount=-5.5),
        event("e", 4, kind="purchase"),
        money=money,
    )

    assert found["spend"] == spend


def test_a_hint_overrules_the_silence():
    """The same hint holds a session together, another one ends it; without one silence decides."""
    week = 7 * 24 * 60
    found = sessions(
        *(event("a", 0, hint="x"), event("b", 300, hint="x"), event("c", 301, hint="y")),
        *(event("d", 302), event("e", 400)),
        *(event("f", 0, user="w", hint="x"), event("g", week + 1, user="w", hint="x")),
    )

    assert [row["num_events"] for row in found] == [2, 2, 1, 1, 1]


def test_hints_that_alternate_are_a_session_each():
    """Two tabs: A, B, A, B within minutes, or at one instant, in whatever order the ids are."""
    in_turn = sessions(
        *(event("a", 0, hint="A"), event("b", 1, hint="B", kind="purchase", amount=2.5)),
        *(event("c", 2, hint="A", item="j"), event("d", 3, hint="B", kind="return", amount=-1.0)),
    )
    at_once = sessions(
        *(event(name, 0, hint=hint) for name, hint in zip("abcd", "ABAB", strict=True))
    )

    assert [(row["session_id"], row["num_events"], row["num_items"]) for row in in_turn] == [
        ("a", 2, 2),
        ("b", 2, 1),
    ]
    assert [(row["spend"], row["is_converted"]) for row in in_turn] == [(0.0, False), (1.5, True)]
    assert [row["end_time"] - row["start_time"] for row in in_turn] == 2 * [timedelta(minutes=2)]
    assert [(row["session_id"], row["num_events"]) for row in at_once] == [("a", 2), ("b", 2)]


def test_events_of_alternating_sessions_have_their_place_in_their_own():
    log = [event(name, minute, hint="ABBA"[minute]) for minute, name in enumerate("abcd")]

    assert places(found_in(arrow(log)).events) == {
        "a": ("a", 1),
        "b": ("b", 1),
        "c": ("b", 2),
        "d": ("a", 2),
    }


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ([(0, "A"), (1, "B"), (2, None), (3, "A")], ["ad", "bc"]),  # of the event before
        ([(0, None), (1, "A"), (2, "B"), (3, "A")], ["abd", "c"]),  # the first of what begins
        ([(0, "A"), (90, None), (91, "A")], ["ac", "b"]),  # A goes on: it began before
        ([(0, None), (31, "A")], ["a", "b"]),  # after a long silence
        ([(0, None), (1, "A"), (2, None), (3, "B")], ["abc", "d"]),  # these have a hint already
        ([*((n, None) for n in range(0, 1441, 30)), (1441, "A")], ["a", "b"]),  # for over a day
    ],
)
def test_an_event_without_a_hint_goes_with_its_neighbour(log, expected):
    """With the one before, where the silence is short; else with a hint that begins right after."""
    names = "abcd"[: len(log)] if len(log) < 10 else [*(len(log) - 1) * "a", "b"]
    events = [
        event(f"{name}{number:02}", minute, hint=hint)
        for number, (name, (minute, hint)) in enumerate(zip(names, log, strict=True))
    ]
    found = {}
    for event_id, (session_id, _) in sorted(places(found_in(arrow(events)).events).items()):
        found.setdefault(session_id, set()).add(event_id[0])

    assert sorted("".join(sorted(names)) for names in found.values()) == expected


def test_a_hint_that_comes_back_after_a_week_begins_anew():
    """Whatever came between: its own silence counts."""
    week = 7 * 24 * 60
    log = [event("a", 0, hint="A"), event("b", week, hint="A"), event("c", 2 * week, hint="B")]
    found = sessions(*log, event("d", 2 * week + 1, hint="A"), event("e", 3 * week, hint="A"))

    assert [(row["session_id"], row["num_events"]) for row in found] == [
        ("a", 2),
        ("c", 1),
        ("d", 2),
    ]


def test_a_session_belongs_to_the_day_it_began_on():
    """Also over midnight of the business zone, and even where the window opens in its middle."""
    midnight = 12 * 60  # of New York, from START on
    around = [event("a", midnight - 10), event("b", midnight + 10)]
    found = sessions(*around)
    window = Window(date(2017, 7, 5), date(2017, 7, 6))

    assert [(row["session_date"], row["num_events"]) for row in found] == [(date(2017, 7, 4), 2)]
    assert sessions(*around, window=window) == []


def test_a_new_event_of_a_session_before_the_window_is_counted():
    """It can change nothing any more."""
    around = [event("a", 12 * 60 - 10), event("b", 12 * 60 + 10), event("c", 12 * 60 + 11)]
    window, day = Window(date(2017, 7, 5), date(2017, 7, 6)), date(2017, 7, 5)

    assert found_in(arrow(around), window=window, new_from=day).continued_events == 2
    assert found_in(arrow(around), new_from=day).continued_events == 0


def test_a_session_keeps_its_id_when_it_grows():
    """The id is that of the first event."""
    assert sessions(event("a", 0))[0]["session_id"] == "a"
    assert sessions(event("a", 0), event("b", 5))[0]["session_id"] == "a"


def test_no_events_have_no_sessions():
    found = found_in(arrow([]))

    assert (found.sessions.num_rows, found.events.num_rows) == (0, 0)


def test_many_users_and_years_that_fit_no_word_are_cut_all_the_same():
    """Numbers of users and microseconds are packed into one word only where they fit."""
    users = [f"u{number}" for number in range(20_000)]
    log = [event(f"{user} {year}", year * 525_600, user=user) for user in users for year in (0, 9)]
    far = event("far", 250 * 525_600)  # as a broken clock would have it
    found = found_in(arrow([*log, far]), window=Window(date(2017, 1, 1), date(2400, 1, 1)))

    assert found.sessions.num_rows == len(log) + 1
    assert set(found.sessions["num_events"].to_pylist()) == {1}


@st.composite
def user_logs(draw):
    """What one user did: steps in time at and beside every limit, ties, over midnight, hints."""
    minute, log = draw(st.integers(0, 3 * 24 * 60)), []
    for _ in range(draw(st.integers(1, 8))):
        minute += draw(st.sampled_from(MINUTES))
        second = draw(st.sampled_from([0, 0, 0, 1, 59]))
        log.append((60 * minute + second, draw(st.sampled_from([None, None, "x", "y"]))))
    return log


@st.composite
def tabs(draw):
    """Minutes of one user with several sessions open at a time."""
    steps = st.tuples(st.sampled_from([0, 0, 20, 60, 1800, 1860]), st.sampled_from(HINTS))
    second, log = 0, []
    for step, hint in draw(st.lists(steps, max_size=12)):
        second += step
        log.append((second, hint))
    return log


@examples(max_examples=200, deadline=None)
@given(
    logs=st.lists(st.one_of(user_logs(), tabs()), max_size=8),
    data=st.randoms(use_true_random=False),
)
def test_random_logs_are_cut_as_by_hand(logs, data):
    """In whatever order they are read; every event is in one session, at its place in it."""
    log = [
        Event(
            user_id=f"u{user}",
            event_time=START + timedelta(seconds=second),
            event_id=f"e{data.randrange(1000)}-{user}-{number}",
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
    found = found_in(arrow(log))

    assert by_id(found.sessions) == session_rows(log, gap_minutes=30, zone=ZoneInfo(ZONE))
    assert places(found.events) == {
        one.event_id: (session[0].event_id, place)
        for session in cut(log, 30)
        for place, one in enumerate(in_order(session), start=1)
    }


def places(table):
    names = ("event_id", "session_id", "position")
    rows = zip(*(table[name].to_pylist() for name in names), strict=True)
    return {event_id: (session_id, position) for event_id, session_id, position in rows}


@pytest.mark.parametrize("with_hints", [True, False], ids=["with hints", "by the gap alone"])
def test_weeks_of_real_receipts_are_cut_as_by_hand(with_hints):
    """Every column of every session; lines of one receipt share their instant."""
    same_as_by_hand(complete_journey("2017-01-15"), ZONE, with_hints=with_hints)


@pytest.mark.exact
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("with_hints", [True, False], ids=["with hints", "by the gap alone"])
@pytest.mark.parametrize(
    ("read", "zone"), [(complete_journey, ZONE), (rees46, "UTC")], ids=["journey", "rees46"]
)
def test_whole_real_logs_are_cut_as_by_hand(read, zone, with_hints):
    """The same, from the first line to the last: `make exact`."""
    same_as_by_hand(read(), zone, with_hints=with_hints)


def same_as_by_hand(log, zone, *, with_hints):
    """Assert that the sessions of a shuffled log are those of plain Python."""
    if not with_hints:
        place = log.column_names.index("session_hint")
        log = log.set_column(place, "session_hint", pa.nulls(len(log), pa.string()))
    log = log.take(np.random.default_rng(1).permutation(len(log)))
    columns = [log[name].to_pylist() for name in Event._fields]
    events = [Event(*row) for row in zip(*columns, strict=True)]
    expected = session_rows(events, gap_minutes=30, zone=ZoneInfo(zone))
    print(f"{len(events):,} events, {len(expected):,} sessions")

    assert len(events) > 10_000
    assert by_id(found_in(whole(log), zone=zone).sessions) == expected


@pytest.mark.parametrize(
    ("amounts", "is_converted"),
    [([0.0], False), ([-3.0], False), ([None], True), ([0.01], True), ([0.0, -3.0, 2.0], True)],
)
def test_a_session_in_which_nothing_was_paid_is_not_converted(amounts, is_converted):
    """A sample and a correction are no purchase; one whose price nobody wrote down is."""
    log = [event(f"e{n}", n, kind="purchase", amount=amount) for n, amount in enumerate(amounts)]
    (found,) = sessions(*log)
    (by_hand,) = session_rows(log, gap_minutes=30, zone=ZoneInfo(ZONE)).values()

    assert found["is_converted"] == by_hand["is_converted"] == is_converted
