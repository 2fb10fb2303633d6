"""Parquet files as a log: a row is a line, every value the text that a log would have."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import DataError
from jobs.ingestion import raw_rows
from jobs.ingestion.raw_lines import RawFile
from jobs.ingestion.raw_rows import read_columns

DAY = date(2017, 11, 28)
AT = datetime.fromisoformat("2017-07-04 04:13:01.250")


def rows_of(file, *, most=None):
    columns = pq.read_schema(file).names
    batches = raw_rows.rows_of_file(file.as_uri(), file.name, DAY, 0, most, columns)
    return [row for batch in batches for row in batch.to_pylist()]


def text_of(values, folder, **options):
    """The text of one column's values, after a way through a file."""
    file = folder / "log.parquet"
    pq.write_table(pa.table({"it": values}), file, **options)
    return [row["parsed"]["it"] for row in rows_of(file)]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pa.array([1, None, 31198570044]), ["1", None, "31198570044"]),
        (pa.array([31198570044.0, 1.5, None]), ["31198570044", "1.5", None]),
        (pa.array([31198570044.0]).dictionary_encode(), ["31198570044"]),
        (pa.array(["soup", "", None]), ["soup", "", None]),
        (pa.array(["soup", "soup"]).dictionary_encode(), ["soup", "soup"]),
        (pa.array([Decimal("1.50")]), ["1.50"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array([[1, 2], None]), ["[1, 2]", None]),
        (pa.array([{"a": "x"}]), ['{"a": "x"}']),
        (pa.array([b"caf\xe9", b"ok"]), ["0x636166e9", "ok"]),
        (pa.array([AT], pa.timestamp("us", "UTC")), ["2017-07-04 04:13:01.250000Z"]),
        (pa.array([AT], pa.timestamp("ms", "Europe/Berlin")), ["2017-07-04 04:13:01.250Z"]),
        (pa.array([AT], pa.timestamp("us")), ["2017-07-04 04:13:01.250000"]),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_a_value_becomes_the_text_that_a_log_would_have(tmp_path, values, texts):
    """An id keeps its digits whatever its type; only an instant has an offset."""
    assert text_of(values, tmp_path) == texts


def test_int96_is_a_naive_time(tmp_path):
    """It does not say whose clocks it shows, and reaches beyond 2262."""
    far = datetime.fromisoformat("2999-12-31 23:59:59")
    values = pa.array([AT, far], pa.timestamp("us"))
    texts = text_of(values, tmp_path, use_deprecated_int96_timestamps=True)

    assert texts == ["2017-07-04 04:13:01.250000", "2999-12-31 23:59:59.000000"]


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.none() | st.integers(-(2**40), 2**40), max_size=50),
    group=st.integers(1, 7),
    batch=st.integers(1, 7),
    most=st.none() | st.integers(1, 60),
)
def test_rows_are_numbered_across_groups_and_batches(tmp_path_factory, values, group, batch, most):
    """However the file is cut, a row keeps its number, and none is lost or read twice."""
    file = tmp_path_factory.mktemp("parquet") / "log.parquet"
    pq.write_table(pa.table({"it": pa.array(values, pa.int64())}), file, row_group_size=group)
    before, raw_rows._BATCH_ROWS = raw_rows._BATCH_ROWS, batch
    try:
        found = [(row["line"], row["parsed"]["it"]) for row in rows_of(file, most=most)]
    finally:
        raw_rows._BATCH_ROWS = before

    texts = [None if value is None else str(value) for value in values]
    assert found == list(enumerate(texts, 1))[:most]


def test_a_file_that_ends_early_is_no_parquet_file(tmp_path):
    """Its columns stand at its end: there is nothing to count."""
    file = tmp_path / "log.parquet"
    pq.write_table(pa.table({"it": [1, 2, 3]}), file)
    file.write_bytes(file.read_bytes()[:-10])

    with pytest.raises(DataError) as refused:
        read_columns(RawFile(file.as_uri(), "log.parquet", DAY), "/raw")
    assert str(refused.value) == (
        "/raw/log.parquet: found a file that cannot be read to its end "
        "(Parquet magic bytes not found in footer. Either the file is corrupted or this is not a "
        "parquet file.), expected a whole file. "
        "Nothing was committed. Ask the collector for the file again, then run this again."
    )


def test_a_file_whose_pages_are_damaged_says_so(tmp_path):
    """The rows before the damage are not passed off as the whole file."""
    file = tmp_path / "log.parquet"
    values = pa.array([str(AT.replace(tzinfo=UTC)) + str(n) for n in range(10_000)])
    pq.write_table(pa.table({"it": values}), file, row_group_size=5_000, compression="gzip")
    data = bytearray(file.read_bytes())
    half = len(data) // 2
    data[half : half + 2_000] = b"\x00" * 2_000
    file.write_bytes(data)

    assert rows_of(file)[-1]["broken"] is not None
