"""Sums of money: as plain decimals add up, in whatever order and however large."""

import numpy as np
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from models.money import in_money, is_bought, sums, whole_units
from tests.jobs.reference import cents

AMOUNTS = st.one_of(
    st.floats(-1e12, 1e12),
    st.integers(-(10**9), 10**9).map(lambda n: n / 20_000),  # every second one is a half
    st.sampled_from([0.0, 0.1, 19.99, 0.00005, -0.00005, 0.00015, 1e12, 999_999_999_999.9999]),
)


@examples(deadline=None, max_examples=300)
@given(st.lists(st.lists(AMOUNTS, min_size=1, max_size=5), max_size=4))
def test_sums_are_those_of_decimals(runs):
    """Half a ten-thousandth is rounded as it is written, not as binary has it."""
    first = np.cumsum([0, *map(len, runs)])[:-1]
    amounts = np.array([amount for run in runs for amount in run], dtype=np.float64)
    found = in_money(sums(whole_units(amounts), first))

    assert found.tolist() == [float(sum(map(cents, run))) for run in runs]


def test_a_sum_beyond_64_bits_is_exact():
    """Many amounts that each fit, and one ten-thousandth; and a single one that does not."""
    amounts = np.array([9e11] * 1100 + [0.0001])
    (found,) = sums(whole_units(amounts), np.array([0]))
    (above,) = whole_units(np.array([5e18]))

    assert found == 99 * 10**17 + 1
    assert above == 5 * 10**22
    assert in_money(np.array([10**19 + 1], dtype=object)).tolist() == [1e15]


def test_a_buyer_is_who_paid_something_or_nobody_knows_what():
    """A purchase of price 0, one below it, and every other type of line make no buyer."""
    amounts = np.array([5.0, 0.01, 0.0, -0.0, -5.0, np.nan, 5.0, np.nan])
    is_purchase = np.array([True] * 6 + [False] * 2)

    found = is_bought(amounts, is_purchase)

    assert np.flatnonzero(found).tolist() == [0, 1, 5]
