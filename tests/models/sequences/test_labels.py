"""Labels: half-open windows of whole local days, and who is asked."""

from datetime import date

import numpy as np
import pytest

from contracts.windows import instant
from models.sequences.history import Histories
from models.sequences.instants import Instants
from models.sequences.labels import labels

CUTOFF = date(2017, 6, 1)
BEFORE = ("u", "2017-05-20T10:00:00", "apple", 1.0)


@pytest.mark.parametrize(
    ("time", "inside"),
    [
        ("2017-05-31T23:59:59", False),  # still history
        ("2017-06-01T00:00:00", True),  # the cutoff's first instant
        ("2017-06-07T23:59:59", True),  # the last second of the seventh day
        ("2017-06-08T00:00:00", False),  # the first instant after the window
    ],
)
def test_the_purchase_window_is_half_open(sequences, horizons, zone, time, inside):
    """Labels begin at the cutoff, where features end, and stop before the horizon's end."""
    table = sequences([BEFORE, ("u", time, "bread", 2.0)])

    found = labels(Histories.from_arrow(table), CUTOFF, horizons, zone)

    assert found.purchase[0] == float(inside)
    assert found.item_ids[0].tolist() == (["bread"] if inside else [])


def test_a_window_over_the_change_of_clocks_has_whole_local_days(sequences, horizons, zone):
    """28 days from 2017-10-20 are 28 local days and one hour."""
    table = sequences([BEFORE, ("u", "2017-11-16T23:30:00", "bread", 2.0)])

    found = labels(Histories.from_arrow(table), date(2017, 10, 20), horizons, zone)

    assert found.spend[0] == 2.0


def test_churn_is_asked_only_of_users_who_were_active(sequences, horizons, zone):
    """Who was silent for 60 days is not asked; who then stays away has churned."""
    table = sequences(
        [
            ("silent", "2017-04-01T23:59:59", "apple", 1.0),  # 61 days before
            ("leaves", "2017-04-02T00:00:00", "apple", 1.0),  # 60 days before
            ("stays", "2017-05-30T10:00:00", "apple", 1.0),
            ("stays", "2017-06-28T10:00:00", "apple", -1.0),  # any event is life
        ]
    )

    found = labels(Histories.from_arrow(table), CUTOFF, horizons, zone)

    np.testing.assert_array_equal(found.churn, [np.nan, 1.0, 0.0])


@pytest.mark.parametrize(("money", "spend"), [("net", -3.0), ("gross", 0.0)])
def test_a_return_is_no_purchase_and_counts_on_the_day_it_came_back(
    sequences, horizons, zone, money, spend
):
    """In the window it leaves purchase at 0; net, more came back in it than was paid."""
    table = sequences([BEFORE, ("u", "2017-06-02T10:00:00", "apple", -3.0)])

    found = labels(Histories.from_arrow(table, money=money), CUTOFF, horizons, zone)

    assert found.purchase[0] == 0.0
    assert found.spend[0] == spend
    assert found.item_ids[0].tolist() == []


def test_who_was_first_seen_after_the_cutoff_is_outside_the_population(sequences, horizons, zone):
    """A new user has labels and no history, so no evaluation asks about them."""
    table = sequences([BEFORE, ("new", "2017-06-03T10:00:00", "apple", 1.0)])

    found = labels(Histories.from_arrow(table), CUTOFF, horizons, zone)

    assert found.has_history.tolist() == [True, False]


@pytest.mark.parametrize(
    ("amount", "is_buyer"), [(0.0, False), (None, True), (float("nan"), True), (0.01, True)]
)
def test_a_line_that_cost_nothing_makes_nobody_a_buyer(sequences, horizons, zone, amount, is_buyer):
    """Neither the label nor the items; a line whose price nobody knows does."""
    table = sequences([BEFORE, ("u", "2017-06-03T10:00:00", "bread", amount)])
    histories = Histories.from_arrow(table)
    found = labels(histories, CUTOFF, horizons, zone)

    assert found.purchase.tolist() == [float(is_buyer)]
    assert found.item_ids[0].tolist() == (["bread"] if is_buyer else [])
    assert histories.is_purchase.tolist() == [True, is_buyer]
    assert histories.before(instant(CUTOFF, zone)).is_purchase.tolist() == [True]
    assert Instants.of(histories).has_purchase.tolist() == [True, is_buyer]
    assert found.spend[0] == (0.01 if amount == 0.01 else 0.0)
