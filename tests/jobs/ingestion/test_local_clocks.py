"""Local times that a clock shows twice or never: which instants they are, and how many."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from jobs.ingestion.local_clocks import DOUBLED, MISSING, Overlap, mark_second_pass, overlaps
from jobs.ingestion.map_events import map_events
from jobs.sources.rows import Log

LOG = Log.model_validate(
    {
        "format": "jsonl",
        "event_id": {"columns": ["id"]},
        "user_id": "id",
        "item_id": "id",
        "event_type": {"constant": "view"},
        "event_time": {"column": "at", "format": "naive", "zone": "America/New_York"},
    }
)
PARSED = (
    "source string, line long, ingest_date date, raw string, bytes binary, broken string, "
    "fields struct<id string, at string>, problem string, flaws map<string,string>"
)
GOOD = (None, None)  # no problem, no flaws
FALL, SPRING = date(2017, 11, 5), date(2017, 3, 12)


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("America/New_York", [("2017-11-05 01:00", "2017-11-05 02:00")]),
        ("Europe/London", [("2017-10-29 01:00", "2017-10-29 02:00")]),
        ("Australia/Lord_Howe", [("2017-04-02 01:30", "2017-04-02 02:00")]),
        ("Asia/Tokyo", []),
    ],
)
def test_a_zones_clock_is_put_back_once_a_year_or_never(zone, expected):
    found = overlaps(ZoneInfo(zone), date(2017, 1, 1), date(2017, 12, 31))

    assert found == [Overlap(*map(datetime.fromisoformat, span)) for span in expected]


FILES = {
    # Until the clock goes back the first pass, from there on the second.
    "in order": ["00:59:00", "01:10:00", "01:50:00", "01:05:00", "01:40:00", "02:10:00"],
    "jumbled": ["01:50:00", "01:10:00", "01:40:00", "01:05:00"],
    "one pass": ["01:10:00", "01:40:00"],
    "seconds apart": ["01:10:30", "01:10:00", "01:50:00", "01:05:00"],
    # In no order otherwise, so that one step back says nothing.
    "newest first": ["02:10:00", "01:40:00", "01:10:00", "00:30:00"],
    "newest first, busy": ["01:50:00", "01:49:10", "01:48:20", "01:47:30", "01:46:00"],
    "by user": ["00:30:00", "01:10:00", "01:50:00", "03:00:00", "01:05:00", "01:40:00"],
    "interleaved": ["00:30:00", "00:10:00", "01:10:00", "01:55:00", "01:05:00", "01:50:00"],
    "late": ["01:10:00", "01:50:00", "01:05:00", "02:10:00", "00:10:00"],
    "before it": ["01:10:00", "01:55:00", "00:50:00", "01:30:00"],
}
SECOND = {("in order", 4), ("in order", 5), ("seconds apart", 4)}


@pytest.mark.spark
def test_a_doubled_hour_keeps_the_files_order_and_a_missing_one_is_moved_on(spark):
    """However the lines are spread over tasks; without an order all of it is summer time."""
    lines = [
        (file, number, FALL, "x", None, None, (f"{file}{number}", f"{FALL} {at}"), *GOOD)
        for file, times in FILES.items()
        for number, at in enumerate(times, start=1)
    ]
    lines.append(("spring", 1, SPRING, "x", None, None, ("s", f"{SPRING} 02:30:00"), *GOOD))
    lines.append(
        ("long after", 1, date(2018, 3, 1), "x", None, None, ("a", f"{FALL} 01:50:00"), *GOOD)
    )
    lines.append(
        ("long after", 2, date(2018, 3, 1), "x", None, None, ("b", f"{FALL} 01:05:00"), *GOOD)
    )
    parsed = spark.createDataFrame(lines, PARSED).repartition(4)
    marked = mark_second_pass(parsed, LOG, [SPRING, FALL, date(2018, 3, 1)])
    rows = map_events(marked, LOG, zone="America/New_York").collect()
    found = {(row["source"], row["line"]): row for row in rows}

    assert len(rows) == len(lines)
    for (file, number), row in found.items():
        if file in FILES:
            hour, minute, second = map(int, FILES[file][number - 1].split(":"))
            offset = 5 if (file, number) in SECOND or hour > 1 else 4
            at = datetime(2017, 11, 5, hour + offset, minute, second, tzinfo=UTC)
            assert (row["event_time"].astimezone(UTC), row["clock"]) == (
                at,
                DOUBLED if hour == 1 else None,
            )
    spring = found["spring", 1]
    assert spring["event_time"].astimezone(UTC) == datetime(2017, 3, 12, 7, 30, tzinfo=UTC)
    assert spring["clock"] == MISSING
    assert found["long after", 2]["event_time"].astimezone(UTC).hour == 5


@pytest.mark.spark
def test_lines_are_read_for_their_order_only_where_a_doubled_hour_is_near(spark):
    parsed = spark.createDataFrame([], PARSED)
    summer = mark_second_pass(parsed, LOG, [date(2017, 7, 4)])

    assert "Join" not in summer._jdf.queryExecution().toString()
