"""The content hash: the same rows, the same text; one changed cell, another."""

import struct
import time
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import ConfigError
from contracts.tables import NIGHTLY, PUBLISH_LEDGER, USER_SCORES
from jobs.lake.content_hash import content_hash, hashed_columns

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15
COLUMNS = ["name", "number", "share", "day", "at", "is_new"]
ROWS = [
    {
        "name": "Zoë 🙂",
        "number": -3,
        "share": 0.25,
        "day": date(2017, 11, 29),
        "at": datetime(2017, 11, 29, 5, tzinfo=UTC),
        "is_new": True,
    },
    {
        "name": "",
        "number": 2**62,
        "share": -1e300,
        "day": date(1969, 12, 31),
        "at": datetime(1969, 12, 31, tzinfo=UTC),
        "is_new": False,
    },
    {"name": None, "number": None, "share": None, "day": None, "at": None, "is_new": None},
]
SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("number", pa.int64()),
        ("share", pa.float64()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", "UTC")),
        ("is_new", pa.bool_()),
    ]
)


def table(rows: list[dict[str, object]] = ROWS) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def mix(word: int) -> int:
    word = (word + GOLDEN) & MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
    return word ^ (word >> 31)


def word_of(cell: object) -> int:
    if cell is None:
        return 0xD1B54A32D192ED03
    if isinstance(cell, str):
        data = cell.encode()
        places = sum(mix(256 * place + byte) for place, byte in enumerate(data, start=1))
        return (places + mix(len(data))) & MASK
    if isinstance(cell, float):
        return int.from_bytes(struct.pack("<d", cell + 0.0), "little")
    if isinstance(cell, datetime):
        since = cell - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400_000_000 + since.seconds * 10**6 + since.microseconds) & MASK
    if isinstance(cell, date):
        return (cell - date(1970, 1, 1)).days & MASK
    assert isinstance(cell, int)
    return cell & MASK


def slow_hash(rows: list[dict[str, object]], columns: list[str]) -> str:
    """The module's words again, cell by cell, without numpy or Arrow."""
    total = 0
    for row in rows:
        word = 0
        for name in columns:
            word = mix((word * GOLDEN + mix(word_of(row[name]))) & MASK)
        total += word
    return f"{total & MASK:016x}-{len(rows)}"


def test_the_hash_is_what_the_documentation_says():
    """Whoever follows the description in another language gets the same text."""
    assert content_hash(table(), COLUMNS) == slow_hash(ROWS, COLUMNS)


def test_the_hash_never_changes_between_versions():
    """Ledgers of past nights must stay comparable: this text is fixed."""
    assert content_hash(table(), COLUMNS) == "788954375a73b5ff-3"
    assert content_hash(table([]), COLUMNS) == "0000000000000000-0"


@settings(max_examples=25, deadline=None, database=None)
@given(st.lists(st.tuples(st.text(), st.integers(-(2**63), 2**63 - 1), st.floats()), max_size=20))
def test_order_and_batches_do_not_matter(rows):
    """Engines return rows in any order and in any batches."""
    schema = pa.schema([("a", pa.string()), ("b", pa.int64()), ("c", pa.float64())])
    names = schema.names
    forward = pa.Table.from_pylist(
        [dict(zip(names, row, strict=True)) for row in rows], schema=schema
    )
    backward = forward.take(pa.array(range(len(rows))[::-1], pa.int64()))
    pieces = [batch for n in range(len(rows)) for batch in backward.slice(n, 1).to_batches()]

    assert content_hash(forward, names) == content_hash(pieces, names)


def test_every_single_cell_counts():
    """One changed cell, a swapped pair of cells, a lost or doubled row: each is another hash."""
    seen = {content_hash(table(), COLUMNS)}
    for name, other in [
        ("name", "Zoë 🙃"),
        ("name", None),
        ("number", -4),
        ("share", np.nextafter(0.25, 1)),
        ("day", date(2017, 11, 30)),
        ("at", datetime(2017, 11, 29, 5, 0, 0, 1, tzinfo=UTC)),
        ("is_new", False),
        ("number", None),
    ]:
        seen.add(content_hash(table([{**ROWS[0], name: other}, *ROWS[1:]]), COLUMNS))
    swapped = [{**ROWS[0], "name": ROWS[1]["name"]}, {**ROWS[1], "name": ROWS[0]["name"]}, ROWS[2]]
    for rows in (swapped, ROWS[:2], [*ROWS, ROWS[0]]):
        seen.add(content_hash(table(rows), COLUMNS))
    seen.add(content_hash(table(), COLUMNS[::-1]))

    assert len(seen) == 13


def test_only_values_count_not_how_an_engine_stores_them():
    """int32 or int64, a dictionary or plain strings, UTC or New York: the same values."""
    rows = table()
    stored = pa.table(
        {
            "name": rows["name"].cast(pa.large_string()).dictionary_encode(),
            "number": rows["number"],
            "share": rows["share"],
            "day": rows["day"].cast(pa.date64()),
            "at": rows["at"].cast(pa.timestamp("us", "America/New_York")),
            "is_new": rows["is_new"],
        }
    )
    small = pa.table({"n": pa.array([1, -2], pa.int32())})

    assert content_hash(stored, COLUMNS) == content_hash(rows, COLUMNS)
    assert content_hash(small, ["n"]) == content_hash(pa.table({"n": [1, -2]}), ["n"])
    assert content_hash(pa.table({"x": [-0.0]}), ["x"]) == content_hash(
        pa.table({"x": [0.0]}), ["x"]
    )


def test_when_a_row_was_made_is_not_part_of_what_it_is():
    """A second run of the same night has later instants and must have the same hash."""
    assert "scored_at" not in hashed_columns(USER_SCORES)
    assert "published_at" not in hashed_columns(PUBLISH_LEDGER)
    assert all({"cutoff", *table.key} <= set(hashed_columns(table)) for table in NIGHTLY)


def test_a_nested_column_is_refused():
    """A list has no word: leaving it out in silence would hide a change."""
    with pytest.raises(ConfigError) as caught:
        content_hash(pa.table({"x": [[1, 2]]}), ["x"])

    assert str(caught.value) == (
        "content hash of column x: found the type list<item: int64>, "
        "expected a string, number, boolean, date or timestamp. "
        "Hash the table without this column, or unnest it first."
    )


def test_a_night_of_the_demo_takes_less_than_a_second():
    """Publishing hashes every row twice; it must not be felt."""
    num_rows = 140_000
    floats = np.linspace(0, 1, num_rows)
    rows = pa.table(
        {
            "cutoff": pa.array(np.full(num_rows, 17_499, np.int32)).cast(pa.date32()),
            "item_id": pa.array([f"item-{n % 5000}" for n in range(num_rows)]),
            **{f"units_{n}": pa.array(floats) for n in range(4)},
            "model_version": pa.array(["weekday-mean-8w"] * num_rows),
        }
    )

    start = time.process_time()
    content_hash(rows, rows.column_names)

    assert time.process_time() - start < 1


@pytest.mark.parametrize("value", ["same", 7, 0.0, -0.0, float("nan"), True])
def test_a_column_of_one_value_hashes_as_cells_do(value):
    """Whether a batch happens to hold one value over and over is no part of its content."""
    same = pa.table({"a": [1, 2, 3], "b": [value] * 3})
    mixed = pa.concat_tables([same, pa.table({"a": [4], "b": pa.array([None], same["b"].type)})])
    alone = [content_hash(mixed.slice(n, 1), ["a", "b"]) for n in range(4)]

    def total(hashes: list[str]) -> int:
        return sum(int(one.partition("-")[0], 16) for one in hashes) % 2**64

    assert total([content_hash(mixed, ["a", "b"])]) == total(alone)
    assert total([content_hash(same, ["a", "b"])]) == total(alone[:3])
