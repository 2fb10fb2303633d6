"""Times, numbers and types as logs write them; what cannot be read is null."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from pyspark.sql import functions as F

from jobs.ingestion.read_values import is_unreadable, read_number, read_time, read_type
from jobs.sources.parts import EventType, Number, Time

pytestmark = pytest.mark.spark

INSTANTS = st.datetimes(
    datetime.fromisoformat("1971-01-01"), datetime.fromisoformat("2100-01-01")
).map(lambda local: local.replace(tzinfo=UTC))
BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


def read(spark, function, kind, form, words):
    """What the function makes of each word, in order."""
    part = TypeAdapter(kind).validate_python({"column": "word", **form} if form else "word")
    frame = spark.createDataFrame(list(enumerate(words)), "n long, word string")
    value = function(part, {"word": F.col("word")})
    if kind is Time:
        value = F.unix_micros(value)  # collected as it is, and no clock of this machine in between
    return [row[1] for row in sorted(frame.select("n", value).collect())]


def micros(instant):
    return (instant - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


def naive(instant, zone, form):
    """By the clocks of the zone; the second of two equal hours is left out, it cannot be told."""
    local = instant.astimezone(zone)
    return None if local.fold else local.strftime(form)


FORMS = [
    ({"format": "iso8601"}, lambda at: at.isoformat()),
    ({"format": "iso8601"}, lambda at: at.astimezone(NEW_YORK).isoformat(" ")),
    ({"format": "iso8601"}, lambda at: at.strftime("%Y-%m-%d %H:%M:%S.%f UTC")),
    ({"format": "epoch_us"}, lambda at: str(micros(at))),
    ({"format": "epoch_ms"}, lambda at: f"{micros(at) // 1000}.{micros(at) % 1000:03}"),
    ({"format": "epoch_s"}, lambda at: f"{micros(at) // 10**6}.{micros(at) % 10**6:06}"),
    (
        {"format": "naive", "zone": "Europe/Berlin"},
        lambda at: naive(at, BERLIN, "%Y-%m-%dT%H:%M:%S.%f"),
    ),
    (
        {"format": "pattern", "pattern": "M/d/yyyy h:mm:ss.SSSSSS a", "zone": "America/New_York"},
        lambda at: naive(at, NEW_YORK, "%m/%d/%Y %I:%M:%S.%f %p"),
    ),
]


@pytest.mark.parametrize(
    ("form", "write"), FORMS, ids=lambda v: v["format"] if isinstance(v, dict) else ""
)
@settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.generate],  # to make each failing list smaller would take minutes of Spark
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(instants=st.lists(INSTANTS, min_size=200, max_size=300))
def test_an_instant_is_read_back_to_the_microsecond(spark, form, write, instants):
    """However it was written, and on whatever side of a change of clocks."""
    written = [(at, word) for at in instants if (word := write(at)) is not None]
    found = read(spark, read_time, Time, form, [word for _, word in written])

    assert found == [micros(at) for at, _ in written]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"format": "iso8601"}, ["2017-07-04T00:13:01", "2017-07-04", "17:00Z", "soon", ""]),
        ({"format": "naive", "zone": "UTC"}, ["2017-07-04T00:13:01Z", "2017-07-04", "1499141581"]),
        ({"format": "epoch_s"}, ["253402300800", "NaN", "1e400", "0x10", "now"]),
        (
            {"format": "pattern", "pattern": "M/d/yyyy H:mm", "zone": "UTC"},
            ["13/1/2009 7:45", "2009-12-01 07:45", "12/1/2009", "12/1/2009 7:45 AM"],
        ),
    ],
    ids=["iso8601", "naive", "epoch_s", "pattern"],
)
def test_a_word_of_another_form_is_no_instant(spark, form, words):
    """A time without offset is never taken for one in UTC, nor one with offset for a clock's."""
    assert read(spark, read_time, Time, form, words) == [None] * len(words)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (
            {"decimal": ","},
            {"1.234,50": 1234.5, "-0,5": -0.5, "12": 12.0, "1.5": None, "1,2,3": None, "x": None},
        ),
        (
            {},
            {
                "1.5": 1.5,
                " -2 ": -2.0,
                "+.5": 0.5,
                "5.": 5.0,
                "1e3": 1000.0,
                "1.5E-1": 0.15,
                "1\r\n": 1.0,
                **dict.fromkeys(["1d", "1f", "1D", "2.5F", "0x1p3", "0x10", "1e", "1e5d"]),
                **dict.fromkeys(["NaN", "Infinity", "-inf", "1_0", "1,5", "\u0661", "", "."]),
            },
        ),
        ({"divide_by": 100}, {"1999": 19.99, "-5": -0.05, "NaN": None, "1e15": None, "": None}),
    ],
    ids=["decimal", "plain", "divide_by"],
)
def test_numbers_are_read_as_they_are_written(spark, form, words):
    """A point between thousands is none before decimals: what is neither is refused."""
    assert read(spark, read_number, Number, form, words) == [*words.values()]


@pytest.mark.parametrize("form", [{}, {"divide_by": 100}, {"decimal": ","}])
def test_minus_zero_is_zero(spark, form):
    """Another number to a content hash, and on a page."""
    found = read(spark, read_number, Number, form, ["-0", "0"])

    assert [str(value) for value in found] == ["0.0", "0.0"]


def test_a_word_is_matched_whole_and_by_the_first_that_fits(spark):
    """An invoice that only holds a C is no return."""
    form = {"matches": {r"C\d+": "return", r"\d+": "purchase", r"\d\d": "never"}}
    found = read(spark, read_type, EventType, form, ["C489449", "489434", "12", "A506401", "1C2"])

    assert found == ["return", "purchase", "purchase", None, None]


@pytest.mark.parametrize(
    ("form", "words", "expected"),
    [
        (
            {"unknown": [0]},
            ["0", "0.00", "-0", "12", "x", None],
            [None, None, None, 12.0, None, None],
        ),
        ({"unknown": [0, -1], "divide_by": 100}, ["0", "-1", "250"], [None, None, 2.5]),
        ({"unknown": [9999.99], "decimal": ","}, ["9.999,99", "0,00"], [None, 0.0]),
    ],
)
def test_a_number_that_stands_for_unknown_is_none(spark, form, words, expected):
    """Some shops write 0 where they do not know a price; a price of 0 is another thing."""
    assert read(spark, read_number, Number, form, words) == expected


def test_what_stands_for_unknown_is_no_reason_to_refuse_a_line(spark):
    number = TypeAdapter(Number).validate_python({"column": "word", "unknown": [0]})
    frame = spark.createDataFrame([(0, "0"), (1, "12"), (2, "x"), (3, None)], "n long, word string")
    text = {"word": F.col("word")}
    refused = is_unreadable(number, read_number(number, text), text)

    assert [row[1] for row in sorted(frame.select("n", refused).collect())] == [
        False, False, True, False,
    ]  # fmt: skip
