"""Complete Journey as a collector would have dropped it."""

import gzip
import json
from datetime import datetime

import duckdb
import pytest

from jobs.write_raw import main, package_tables, write_raw

LINES = [  # household, basket, product, quantity, UTC
    (1, 10, 100, 1, "2017-07-04 03:59:59"),  # still the 3rd in New York
    (1, 11, 100, 0, "2017-07-04 04:00:00"),
    (2, 12, 999, 2, "2017-07-06 12:00:00"),  # a product without a row; nothing on the 5th
    (2, 13, 100, 1, "2017-07-06 11:00:00"),
]


@pytest.fixture
def tables(tmp_path):
    values = ", ".join(
        f"({user}, 7, {basket}, {product}, {quantity}, 1.5, 0.0, 0.0, 0.0, 27, TIMESTAMP '{utc}')"
        for user, basket, product, quantity, utc in LINES
    )
    columns = (
        "household_id, store_id, basket_id, product_id, quantity, sales_value, retail_disc, "
        "coupon_disc, coupon_match_disc, week, transaction_timestamp"
    )
    transactions, products = tmp_path / "t.parquet", tmp_path / "p.parquet"
    duckdb.execute(f"COPY (FROM (VALUES {values}) AS t({columns})) TO '{transactions}'")
    row = "SELECT 100 AS product_id, 'SOUP' AS product_category, 'GROCERY' AS department"
    duckdb.execute(f"COPY ({row}, 'National' AS brand) TO '{products}'")
    return {"transactions": transactions, "products": products}


def lines_of(folder, day):
    with gzip.open(folder / f"ingest_date={day}" / "part-0.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in file]


def test_a_line_lies_in_the_folder_of_its_day_in_new_york(tmp_path, tables):
    """The package stores UTC; the collector's day, and the offset in the line, are New York's."""
    written = write_raw(tmp_path / "raw", **tables)
    third = lines_of(tmp_path / "raw", "2017-07-03")
    fourth = lines_of(tmp_path / "raw", "2017-07-04")

    assert written == {"days": 4, "days_written": 4, "lines_written": 4}
    assert [line["transaction_timestamp"] for line in third] == ["2017-07-03T23:59:59-04:00"]
    assert [line["transaction_timestamp"] for line in fourth] == ["2017-07-04T00:00:00-04:00"]
    assert datetime.fromisoformat(fourth[0]["transaction_timestamp"]).utcoffset()


def test_the_dirt_of_the_data_stays(tmp_path, tables):
    """Quantities of 0, products without a row, and a day without sales as an empty file."""
    write_raw(tmp_path / "raw", **tables)
    sixth = lines_of(tmp_path / "raw", "2017-07-06")

    assert lines_of(tmp_path / "raw", "2017-07-04")[0]["quantity"] == 0
    assert [(line["basket_id"], line["product_category"]) for line in sixth] == [
        (13, "SOUP"),
        (12, None),
    ]
    assert lines_of(tmp_path / "raw", "2017-07-05") == []


def test_a_day_that_is_there_is_left_alone_and_a_lost_one_comes_back_the_same(tmp_path, tables):
    """Running it again costs nothing, and the bytes never differ."""
    raw = tmp_path / "raw"
    write_raw(raw, **tables)
    lost = raw / "ingest_date=2017-07-06" / "part-0.jsonl.gz"
    before = lost.read_bytes()
    lost.unlink()
    kept = raw / "ingest_date=2017-07-04" / "part-0.jsonl.gz"
    kept.write_bytes(b"edited")
    again = write_raw(raw, **tables)

    assert again == {"days": 4, "days_written": 1, "lines_written": 2}
    assert lost.read_bytes() == before
    assert kept.read_bytes() == b"edited"
    assert [file.name for file in lost.parent.iterdir()] == ["part-0.jsonl.gz"]


def test_the_installed_tables_are_found():
    """Through the package, wherever it is installed."""
    transactions, products = package_tables()

    assert transactions.is_file()
    assert products.is_file()


def test_a_wrong_configuration_ends_with_2(tmp_path, capsys):
    code = main(["--config", str(tmp_path / "none.yaml")])

    assert code == 2
    assert capsys.readouterr().err == (
        f"write_raw: ConfigError: {tmp_path}/none.yaml: found no such file, "
        "expected a configuration. Give --config, or set NIGHTSHIFT_CONFIG.\n"
    )
