"""Panels: items by day, and the categories that they add up to."""

from datetime import date

import numpy as np

from models.demand.panel import Panel, panel_of

FIRST = date(2017, 1, 1)


def rows():
    return panel_of(
        ["b", "a", "b", "a", "c"],
        ["MILK", "MILK", "MILK", "MILK", None],
        np.asarray(["2017-01-01", "2017-01-02", "2017-01-02", "2016-12-31", "2017-01-04"], "M8[D]"),
        np.asarray([1.0, 2.0, 3.0, 9.0, 4.0]),
        first_day=FIRST,
        end_day=date(2017, 1, 4),
    )


def test_a_day_without_a_row_sold_nothing():
    """Days outside the panel are left out; items come in the order of their ids."""
    panel = rows()

    assert panel.item_ids == ("a", "b", "c")
    assert panel.item_units.tolist() == [[0, 2, 0], [1, 3, 0], [0, 0, 0]]
    assert panel.end_day == date(2017, 1, 4)


def test_a_category_is_the_sum_of_its_items():
    """An item without a category is in one that has no name."""
    panel = rows()

    assert panel.categories == ("", "MILK")
    assert panel.units[panel.num_items :].tolist() == [[0, 0, 0], [1, 5, 0]]


def test_a_category_is_promoted_as_its_items_are_weighed_by_what_they_sell():
    promotions = np.zeros((2, 5, 2), np.float32)
    promotions[0] = 1.0
    units = np.asarray([[3.0, 3.0], [1.0, 1.0]], np.float32)
    panel = Panel(("a", "b"), ("MILK",), np.zeros(2, np.int64), FIRST, units, promotions)

    np.testing.assert_allclose(panel.promotions[2], 0.75, atol=1e-5)


def test_before_a_day_only_what_was_sold_is_cut():
    """What is planned stays known."""
    promotions = np.ones((2, 5, 2), np.float32)
    units = np.ones((2, 4), np.float32)
    panel = Panel(("a", "b"), ("MILK",), np.zeros(2, np.int64), FIRST, units, promotions)
    before = panel.before(date(2017, 1, 3))

    assert before.end_day == date(2017, 1, 3)
    assert before.promotions.shape == (3, 5, 2)
