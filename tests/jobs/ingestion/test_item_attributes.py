"""What a second file says of an item, as of the event: never anything that was said later."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from contracts.errors import BadLinesError
from jobs.ingestion.item_attributes import read_attributes
from jobs.ingestion.load_logs import Place
from jobs.sources.rows import ItemAttributes

pytestmark = pytest.mark.spark

START = datetime(2015, 6, 1, tzinfo=UTC)
SINCE = {"column": "ms", "format": "epoch_ms"}
BASE = {"files": "items*.jsonl", "format": "jsonl", "item_id": "item"}
BY_ROW = {**BASE, "attribute": "name", "value": "value", "category": "kind", "properties": ["size"]}
BY_COLUMN = {**BASE, "category": "kind", "properties": ["size", "kind"]}
EVENTS = "item_id string, event_time timestamp, category string, properties map<string,string>"


def given_to(spark, folder, mapping, rows, events, *, max_bad_fraction=0.0):
    """Category and properties of each event, in order; rows and events as (item, hour, …)."""
    text = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    (folder / "items.jsonl").write_text(text)
    part = TypeAdapter(ItemAttributes).validate_python(mapping)
    place = Place(str(folder), "shop.yaml")
    attributes = read_attributes(spark, part, place, max_bad_fraction)
    frame = spark.createDataFrame(
        [(item, START + timedelta(hours=hour), None, {"n": str(n)})
         for n, (item, hour) in enumerate(events)],
        EVENTS,
    )  # fmt: skip
    found = attributes.give(frame)

    assert found.columns == frame.columns
    taken = sorted(found.collect(), key=lambda row: int(row["properties"]["n"]))
    return [(row["category"], row["properties"].get("size")) for row in taken]


def row(item, hour, name, value):
    ms = int((START + timedelta(hours=hour)).timestamp()) * 1000
    return {"item": item, "ms": ms, "name": name, "value": value}


ITEM = st.sampled_from(["a", "b"])
HOUR = st.integers(0, 6)


@settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.generate],  # to make each failing list smaller would take minutes of Spark
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    said=st.lists(
        st.tuples(
            ITEM, HOUR, st.sampled_from(["kind", "size", "other"]), st.sampled_from(["", "1", "2"])
        ),
        max_size=20,
    ),
    events=st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), HOUR), min_size=5, max_size=20),
)
def test_an_event_gets_what_held_at_its_instant(spark, tmp_path, said, events):
    """Of two rows of one instant the later line holds; an empty value takes the attribute away."""

    def held(name, item, hour):
        latest = [
            (since, n, value)
            for n, (of, since, what, value) in enumerate(said)
            if (of, what) == (item, name) and since <= hour
        ]
        return (max(latest)[2] or None) if latest else None

    got = given_to(
        spark, tmp_path, {**BY_ROW, "since": SINCE}, [row(*each) for each in said] or [row(
            "c", 7, "kind", "later")], events
    )  # fmt: skip

    assert got == [tuple(held(name, *event) for name in ("kind", "size")) for event in events]


def test_without_an_instant_the_last_row_of_an_item_holds(spark, tmp_path):
    """A column may be the category and a property both; an item that no row names has neither."""
    rows = [
        {"item": "a", "kind": "old", "size": "1"},
        {"item": "a", "kind": "new", "size": None},
        {"item": "b", "kind": "x", "size": "2"},
    ]
    got = given_to(spark, tmp_path, BY_COLUMN, rows, [("a", 0), ("b", 0), ("c", 0)])

    assert got == [("new", None), ("x", "2"), (None, None)]


def test_a_file_with_too_many_bad_rows_is_refused(spark, tmp_path):
    """Nothing of a file is taken on trust because it is not the log."""
    rows = [row("a", 0, "kind", "x"), {"ms": 1}, "{", {**row("a", 0, "kind", "x"), "ms": "soon"}]

    with pytest.raises(BadLinesError) as refused:
        given_to(spark, tmp_path, {**BY_ROW, "since": SINCE}, rows, [("a", 0)])
    assert str(refused.value).startswith(
        f"{tmp_path}/items*.jsonl: found 3 bad lines of 4 "
        "(missing item_id 1, unreadable line 1, unreadable since 1), expected at most 0.00%. "
    )


def test_a_category_is_held_to_what_a_key_may_be(spark, tmp_path):
    """It comes into `events` past the log's own checks, and from there into the warehouse."""
    rows = [
        row("a", 0, "kind", "x\0"),
        row("a\x1b", 0, "size", "1"),
        row("a", 0, "kind", {"name": "x"}),
        row("a", 0, "size", "1\0"),
        row("a", 0, "size", ["1"]),
    ]

    with pytest.raises(BadLinesError) as refused:
        given_to(spark, tmp_path, {**BY_ROW, "since": SINCE}, rows, [("a", 0)])
    assert str(refused.value).startswith(
        f"{tmp_path}/items*.jsonl: found 3 bad lines of 5 (NUL in category 1, "
        "control character in item_id 1, nested value in category 1), expected at most 0.00%. "
    )
