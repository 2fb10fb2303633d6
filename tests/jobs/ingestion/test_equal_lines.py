"""What equal lines come to: two sold, or one written twice."""

import pytest
from pyspark.sql import Row

from jobs.ingestion.equal_lines import compare_equal_lines, count_altered_rows, say_equal_lines
from jobs.ingestion.map_events import number_equal_lines
from jobs.sources.rows import Log

LOG = {
    "format": "jsonl",
    "event_id": {"content": True},
    "user_id": "user",
    "item_id": "item",
    "event_type": {"constant": "purchase"},
    "event_time": {"column": "at", "format": "iso8601"},
}


def row(event_id, amount=2.5):
    names = ("user_id", "item_id", "event_type", "event_time", "quantity", "price")
    return Row(event_id=event_id, amount=amount, **dict.fromkeys(names, "x"))


def test_each_choice_says_what_it_makes_of_the_money():
    log = Log.model_validate(LOG)
    compared = compare_equal_lines([row("a"), row("a-2"), row("a-3"), row("b", None)], log)

    assert compared == {
        "lines": 2,
        "mapping": "separate",
        "separate": {"events": 4, "amount": 7.5},
        "repeats": {"events": 2, "amount": 2.5},
    }
    assert [*say_equal_lines(compared, 0)] == [
        "2 lines equal an earlier one; equal_lines may be",
        "  separate: 4 events, amount 7.50 (as the mapping says)",
        "  repeats: 2 events, amount 2.50",
    ]


def test_an_id_of_columns_is_compared_by_what_else_the_line_says():
    log = Log.model_validate({**LOG, "event_id": {"columns": ["id"]}})
    events = [row("a", 1.0), row("a", 1.0), row("a", 9.0), row("b", 3.0)]

    assert compare_equal_lines(events, log) is None
    assert count_altered_rows(events) == 1
    assert [*say_equal_lines(None, 1)] == [
        "1 repeat an id with other content: only the first of each is taken"
    ]


@pytest.mark.spark
def test_equal_lines_are_numbered_within_their_file(spark):
    """Whatever task reads which of them, and however the lines end.

    Blank lines and empty objects, of which a kilobyte of gzip holds millions, are not collected.
    """
    texts = {"f": ["a", "b", "a\r", None, "a", None, "", "", "{}", "{}"], "g": ["a", "b"]}
    of_raw = {None: None, "": None, "{}": (None, None, None)}
    lines = [
        (f, n, text, of_raw.get(text, ("u", "i", "t")))
        for f, of in texts.items()
        for n, text in enumerate(of, start=1)
    ]
    fields = "struct<user: string, item: string, at: string>"
    schema = f"source string, line long, raw string, fields {fields}"
    parsed = spark.createDataFrame(lines, schema).repartition(5)
    numbered = number_equal_lines(parsed, Log.model_validate(LOG)).collect()
    repeats = {**LOG, "event_id": {"content": True, "equal_lines": "repeats"}}

    assert len(numbered) == len(lines)
    assert {(r["source"], r["line"]): r["occurrence"] for r in numbered if r["occurrence"]} == {
        ("f", 3): 2,
        ("f", 5): 3,
    }
    assert number_equal_lines(parsed, Log.model_validate(repeats)) is parsed
