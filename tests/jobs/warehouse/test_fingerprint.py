"""Rows are known again by what differs among them and a count of what does not."""

from datetime import date

import pyarrow as pa
import pytest

from jobs.warehouse.fingerprint import fingerprint, fixed_values

DAY = date(2017, 11, 29)


@pytest.fixture
def rows() -> pa.Table:
    return pa.table(
        {
            "cutoff": [DAY, DAY, DAY],
            "user_id": ["ann", "bob", "ann"],
            "share": [0.0, -0.0, 0.0],
            "note": pa.array([None, None, None], pa.string()),
            "version": ["1", "1", "1"],
        }
    )


def test_a_value_that_every_row_holds_is_fixed(rows):
    """A float never is, since 0 equals -0, nor is a null, which equals nothing."""
    assert fixed_values(rows) == {"cutoff": DAY, "version": "1"}


def test_a_value_that_comes_back_at_the_end_is_not_fixed(rows):
    assert "user_id" not in fixed_values(rows)


def test_a_column_is_always_left_to_tell_rows_by(rows):
    assert fixed_values(rows.select(["cutoff", "version"])) == {"cutoff": DAY}


def test_no_rows_hold_no_value(rows):
    assert fixed_values(rows.slice(0, 0)) == {}


def test_the_order_of_rows_does_not_matter_and_their_number_does(rows):
    turned = rows.take([2, 0, 1])
    names = rows.column_names

    assert fingerprint(turned, names) == fingerprint(rows, names)
    assert fingerprint(rows.slice(0, 2), names) != fingerprint(rows, names)
    assert fingerprint(rows.take([0, 1, 1]), names) != fingerprint(rows.take([0, 0, 1]), names)
