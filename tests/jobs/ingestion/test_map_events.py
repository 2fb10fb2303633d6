"""From a line's fields to an event: what comes back is negative, however the log writes it."""

from datetime import date

import pytest
from pydantic import TypeAdapter

from jobs.ingestion.map_events import map_events
from jobs.sources.rows import Log

pytestmark = pytest.mark.spark

COLUMNS = ("id", "kind", "price", "quantity", "paid")
MAPPING = {
    "format": "jsonl",
    "event_id": {"columns": ["id"]},
    "user_id": "id",
    "item_id": "id",
    "event_type": {"column": "kind", "map": {k: k for k in ("purchase", "return", "view")}},
    "event_time": {"column": "at", "format": "epoch_s"},
}


def numbers(spark, lines, **mapped):
    """Price, quantity and amount of each line, given as kind, price, quantity, paid."""
    log = TypeAdapter(Log).validate_python({**MAPPING, **mapped})
    fields = ", ".join(f"{name} string" for name in log.columns)
    rows = []
    for n, line in enumerate(lines):
        cells = dict(zip(COLUMNS, (str(n), *line), strict=True)) | {"at": "1500000000"}
        values = tuple(cells[name] for name in log.columns)
        rows.append(("file", n, date(2017, 7, 20), False, "{}", None, None, values, None))
    parsed = spark.createDataFrame(
        rows,
        "source string, line long, ingest_date date, broken boolean, raw string, bytes binary, "
        f"problem string, fields struct<{fields.replace(' string', ': string')}>, "
        "flaws map<string,string>",
    )
    found = map_events(parsed, log, zone="UTC").orderBy("line")
    return [tuple(row) for row in found.select("price", "quantity", "amount").collect()]


def test_a_return_is_negative_however_the_log_signs_it(spark):
    """A minus at the quantity, at the price, at both or at neither: one return of two for 5 each.

    The sum of all amounts was 20 + 20 instead of -40 where the log writes no minus.
    """
    lines = [
        ("return", "5", "2", None),
        ("return", "5", "-2", None),
        ("return", "-5", "2", None),
        ("return", "-5", "-2", None),
    ]

    assert numbers(spark, lines, price="price", quantity="quantity") == [(5.0, -2.0, -10.0)] * 4


def test_the_price_of_a_return_follows_from_its_amount(spark):
    """It had none where the quantity is below 0."""
    lines = [
        ("return", None, "2", "10"),
        ("return", None, "-2", "-10"),
        ("purchase", None, "-2", "-10"),
        ("return", None, None, "10"),
        ("return", None, "0", "0"),
    ]
    found = numbers(spark, lines, amount="paid", quantity="quantity")

    assert found == [
        *[(5.0, -2.0, -10.0)] * 3,  # a correction is a purchase below 0, and keeps its sign
        (10.0, None, -10.0),
        (None, 0.0, 0.0),
    ]
    assert str(found[-1][1:]) == "(0.0, 0.0)"  # a minus at 0 would change the content's hash


def test_a_purchase_and_a_view_keep_what_the_log_says(spark):
    """A view's amount is what the line would cost; no sum of money counts it."""
    lines = [("purchase", "5", "2", None), ("purchase", "5", "-2", None), ("view", "5", None, None)]

    assert numbers(spark, lines, price="price", quantity="quantity") == [
        (5.0, 2.0, 10.0),
        (5.0, -2.0, -10.0),
        (5.0, None, 5.0),
    ]
