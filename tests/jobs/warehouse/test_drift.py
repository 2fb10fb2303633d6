"""The stability index: nothing when nothing moved, and no alarm that chance explains."""

import itertools

import numpy as np
import pyarrow as pa
import pytest

from contracts.tables import ITEM_DEMAND, USER_SCORES
from jobs.warehouse.drift import (
    CHANCE,
    EDGES,
    NUM_BINS,
    check_drift,
    distributions,
    previous_counts,
    psi,
)

CHURN = "churn_probability_28d"


def scores(values: np.ndarray) -> pa.Table:
    return pa.table({column.name: values for column in USER_SCORES.columns if column.unit in EDGES})


def test_the_index_is_the_textbook_s():
    """(0.6 - 0.5) ln(0.6 / 0.5) + (0.4 - 0.5) ln(0.4 / 0.5), whichever night came first."""
    expected = 0.1 * np.log(0.6 / 0.5) - 0.1 * np.log(0.4 / 0.5)

    assert psi([60, 40], [50, 50]) == pytest.approx(expected)
    assert psi([50, 50], [60, 40]) == pytest.approx(expected)
    assert psi([60, 40], [600, 400]) == pytest.approx(0)


def test_an_empty_bin_is_no_infinity():
    """A score that nobody had yesterday counts much, not everything."""
    assert 0 < psi([100, 0], [50, 50]) < 10


def test_each_value_has_one_bin_and_the_bins_never_move():
    """Edges belong to the bin above; 1 and a million are in the last."""
    found = distributions(USER_SCORES, scores(np.array([0.0, 0.05, 0.0499, 1.0])))

    assert found["purchase_probability_7d"] == [2, 1, *[0] * 17, 1]
    assert found["expected_spend_28d"] == [3, 1, *[0] * 18]
    assert {len(edges) for edges in EDGES.values()} == {NUM_BINS - 1}
    assert distributions(ITEM_DEMAND, pa.table({})) == {}


def test_churn_is_compared_among_those_who_are_asked():
    """Their number may change; and a night of before, in which all were asked, is no measure."""
    asked = scores(np.array([0.2, 0.7])).to_pydict()
    nobody = pa.nulls(1, pa.float64())
    rows = pa.concat_tables(
        [pa.table(asked), pa.table({**scores(np.array([0.5])).to_pydict(), CHURN: nobody})]
    )
    found = distributions(USER_SCORES, rows)

    assert sum(found["purchase_probability_7d"]) == 3
    assert sum(found[f"{CHURN} of those asked"]) == 2
    assert CHURN not in found
    assert check_drift(rows, {CHURN: [9000, *[0] * 19]}, max_psi=1e-9) == []


def test_a_night_in_which_nobody_is_asked_has_not_moved():
    rows = pa.table({**scores(np.array([0.5])).to_pydict(), CHURN: pa.nulls(1, pa.float64())})
    before = distributions(USER_SCORES, scores(np.full(500, 0.9)))

    said = check_drift(rows, before, max_psi=0.25)
    assert not [one for one in said if CHURN in one]


@pytest.mark.parametrize("num_users", [30, 3000])
def test_chance_alone_seldom_stops_a_night(num_users):
    """Of 200 nights drawn anew from one distribution, hardly one is called moved."""
    random = np.random.default_rng(0)
    nights = [scores(random.beta(1, 3, num_users)) for _ in range(201)]
    moved = [
        bool(check_drift(new, distributions(USER_SCORES, old), max_psi=1e-6))
        for old, new in itertools.pairwise(nights)
    ]

    assert sum(moved) <= 4
    assert pytest.approx(43.82) == CHANCE


def test_a_real_move_stops_a_night_of_few_users_too():
    """Thirty users who all changed their minds are no chance."""
    random = np.random.default_rng(0)
    before = distributions(USER_SCORES, scores(random.beta(1, 9, 60)))

    assert len(check_drift(scores(random.beta(9, 1, 60)), before, max_psi=0.25)) == 2


def test_without_a_night_before_there_is_nothing_to_compare():
    """The first night, and a score that is new."""
    assert previous_counts(pa.table({"distributions": pa.array([], pa.string())})) == {}
    assert check_drift(scores(np.ones(9)), {}, max_psi=0.25) == []
