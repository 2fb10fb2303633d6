"""The files of the ranking benchmarks: both forms are read, and split by leave-one-out."""

import gzip

import pytest

from benchmarks.item_sequences import histories_of, leave_one_out
from benchmarks.sequence_files import read_sequences


@pytest.mark.parametrize(
    "lines", ["1 10\n1 11\n2 10\n1 12\n2 13\n2 14\n", "1 10 11 12\n2 10 13 14\n"]
)
def test_a_line_holds_one_item_or_all_of_a_users(tmp_path, lines):
    """MovieLens-1M and Amazon Beauty are written differently and read alike."""
    plain, packed = tmp_path / "items.txt", tmp_path / "items.txt.gz"
    plain.write_text(lines)
    packed.write_bytes(gzip.compress(lines.encode()))

    expected = [["10", "11", "12"], ["10", "13", "14"]]
    assert read_sequences(plain) == expected
    assert read_sequences(packed) == expected


def test_training_sees_neither_the_last_item_nor_the_one_before_it():
    """The last is for the test, the one before it for validation."""
    split = leave_one_out([["a", "b", "c", "d"], ["e", "f", "g"], ["h", "i"]])

    assert split.training.num_events.tolist() == [2, 1]
    assert split.training.item_ids.tolist() == ["a", "b", "e"]
    assert split.before_test.item_ids.tolist() == ["a", "b", "c", "e", "f"]
    assert (split.validation_items, split.test_items) == (["c", "f"], ["d", "g"])


def test_every_item_is_an_instant_of_its_own_in_order():
    """Files hold an order and no times, so each item gets a later time than the one before."""
    histories = histories_of([["b", "a", "b"], ["c"]])

    assert histories.item_ids[histories.item_codes].tolist() == ["b", "a", "b", "c"]
    assert (histories.times[1:3] > histories.times[:2]).all()
