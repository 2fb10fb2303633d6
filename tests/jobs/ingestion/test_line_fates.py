"""What becomes of a line, against what a person would say who reads the days one after another."""

from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from jobs.ingestion.line_fates import ROBOT, find_robots, mark_duplicates, mark_robots

pytestmark = pytest.mark.spark

START = date(2017, 7, 1)
MAPPED = (
    "event_id string, reason string, ingest_date date, source string, line long, "
    "present long, broken string, user_id string, event_day date, content long, clock string"
)
EARLIER = "event_id string, ingest_date date"
DAYS = 9


def day(number):
    return START + timedelta(days=number)


def mapped(number, file, line, *, event_id="e", reason=None, user="u", happened=None):
    own = day(number if happened is None else happened)
    return event_id, reason, day(number), f"{day(number)}/{file}", line, 0, None, user, own, 0, None


def taken_one_by_one(places, dedupe_days):
    """The places (day, file, line) of one id that are events: not within those days of another."""
    taken = []
    for place in sorted(places):
        if not taken or place[0] > taken[-1][0] + dedupe_days:
            taken.append(place)
    return taken


places = st.lists(st.tuples(st.integers(0, DAYS), st.integers(0, 1)), min_size=1, max_size=7)


@examples(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    ids=st.lists(places, min_size=15, max_size=15),
    dedupe_days=st.integers(0, 4),
    since=st.integers(0, DAYS),
)
def test_days_in_one_load_are_as_days_one_by_one(spark, ids, dedupe_days, since):
    """Wherever the load begins, whatever the lake holds already, each id is taken as by hand."""
    lines, known, expected = [], [], set()
    for number, found in enumerate(ids):
        numbered = [(d, file, line) for line, (d, file) in enumerate(found)]
        taken = taken_one_by_one(numbered, dedupe_days)
        lines += [mapped(*at, event_id=f"e{number}") for at in numbered if at[0] >= since]
        near = [at for at in taken if since - dedupe_days <= at[0] < since]
        known += [(f"e{number}", day(d)) for d, _, _ in near]
        expected |= {(f"e{number}", day(d), line) for d, _, line in taken if d >= since}
    load = spark.createDataFrame(lines, MAPPED)
    earlier = spark.createDataFrame(known, EARLIER)
    marked = mark_duplicates(load, earlier, dedupe_days=dedupe_days).collect()

    assert len(marked) == len(lines)
    assert {
        (row["identity"][1:], row["ingest_date"], row["line"])
        for row in marked
        if not row["is_duplicate"]
    } == expected


def test_a_refused_line_is_nobodys_duplicate(spark):
    """Whatever id could be read from it, and whatever an id looks like."""
    disguised = f"{day(0)}/0\0" + "3"
    lines = [
        mapped(0, 0, 1, reason="unreadable quantity"),
        mapped(0, 0, 2, reason="unreadable quantity"),
        mapped(0, 0, 3, event_id=None, reason="missing event_id"),
        mapped(0, 0, 4),
        mapped(0, 0, 5, event_id=disguised),
    ]
    load = spark.createDataFrame(lines, MAPPED)
    marked = mark_duplicates(load, spark.createDataFrame([], EARLIER), dedupe_days=7).collect()

    assert [row["is_duplicate"] for row in marked] == 5 * [False]


def test_a_robot_has_more_events_on_a_day_than_it_may(spark):
    """Events count by their own day within a delivery; duplicates and refused lines do not."""
    lines = [
        *(mapped(0, 0, n, event_id=f"a{n}", user="busy") for n in range(3)),
        *(mapped(0, 0, n, event_id=f"b{n}", user="robot") for n in range(10, 14)),
        *(mapped(0, 0, n, event_id="c", user="stuck") for n in range(20, 29)),
        *(mapped(0, 0, n, event_id=f"d{n}", user="late", happened=-n) for n in range(30, 39)),
        *(mapped(0, 0, n, user="broken", reason="unreadable price") for n in range(40, 49)),
        *(mapped(n, 0, 1, event_id=f"e{n}", user="daily") for n in range(9)),
        *(mapped(0, 0, n, event_id=f"f{n}", user=None) for n in range(50, 59)),  # many strangers
    ]
    load = spark.createDataFrame(lines, MAPPED)
    fates = mark_duplicates(load, spark.createDataFrame([], EARLIER), dedupe_days=0)
    marked = mark_robots(fates, find_robots(fates, max_events=3)).collect()

    assert len(marked) == len(lines)
    assert {row["user_id"] for row in marked if row["reason"] == ROBOT} == {"robot"}
    assert sum(row["reason"] == ROBOT for row in marked) == 4
    assert sum(row["is_duplicate"] for row in marked) == 8
