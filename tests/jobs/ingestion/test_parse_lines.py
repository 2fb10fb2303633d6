"""A line of CSV is read as RFC 4180 says; what cannot be read is null, and nothing else is."""

import csv
import io
from datetime import date

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jobs.ingestion.parse_lines import parse_csv, take_rows
from jobs.sources.rows import ColumnAttributes

pytestmark = pytest.mark.spark

HEADER = ["a", "b", "c"]
ROWS = ColumnAttributes(
    files="*", format="csv", item_id="a", category="b", properties=("c", "absent")
)
LINES = (
    "source string, line long, ingest_date date, broken string, raw string, bytes binary, "
    "problem string"
)
TEXT = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=8)
# Quotes, delimiters, backslashes and blanks are what goes wrong.
FIELD = st.text('ab",;\\ ', max_size=6) | TEXT


def parsed(spark, texts, **options):
    rows = [("s", n, date(2017, 7, 4), None, text, None, None) for n, text in enumerate(texts)]
    frame = parse_csv(spark.createDataFrame(rows, LINES), ROWS, header=HEADER, **options)
    found = sorted(frame.collect(), key=lambda row: row["line"])
    return [None if row["fields"] is None else tuple(row["fields"])[:3] for row in found]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.generate],  # to make each failing list smaller would take minutes of Spark
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    records=st.lists(
        st.tuples(FIELD, FIELD, FIELD).filter(lambda record: any(record)),
        min_size=150,
        max_size=300,
    )
)
def test_what_csv_writers_write_is_read_back(spark, delimiter, records):
    """Delimiters, doubled quotes and backslashes within quotes are text; blanks around are not."""
    texts = []
    for record in records:
        out = io.StringIO()
        csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="").writerow(
            record
        )
        texts.append(out.getvalue())

    # An empty value is none, quoted or not.
    expected = [tuple(field or None for field in record) for record in records]
    assert parsed(spark, texts, delimiter=delimiter) == expected


def test_a_line_that_is_no_record_is_unreadable(spark):
    """Fewer or more fields than the header, an open quote; a carriage return is no part of it."""
    texts = ["1,2,3", "1,2", "1,2,3,4", '1,2,"3', '1,"2,3', "", '1,2,"3"\r', "1,2,3\r", " 1 , ,3"]
    texts += ["1,\uffff,3", "4,5,6"]

    assert parsed(spark, texts) == [
        ("1", "2", "3"),
        *[None] * 5,
        ("1", "2", "3"),
        ("1", "2", "3"),
        ("1", None, "3"),
        None,
        ("4", "5", "6"),
    ]


def test_the_text_of_a_row_is_its_json(spark):
    """What the quarantine keeps of a Parquet row, and what its hash is of, names every column."""
    schema = (
        "source string, line long, ingest_date date, broken string, "
        "parsed struct<a: string, b: string, c: string, more: string>, flaws map<string,string>"
    )
    row = ("s", 1, date(2017, 7, 4), None, ("1", "", 'say "x"', None), None)
    found = take_rows(spark.createDataFrame([row], schema), ROWS, columns=[*HEADER, "more"]).first()

    assert found["raw"] == '{"a":"1","b":"","c":"say \\"x\\"","more":null}'
    assert tuple(found["fields"]) == ("1", None, 'say "x"', None)
