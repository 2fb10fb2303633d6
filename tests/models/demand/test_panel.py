"""Panels: items by day, and the categories that they add up to."""

from datetime import date, timedelta

import numpy as np

from models.demand.panel import Panel, PlannedWeeks, panel_of, promotions_by_day

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


def planned(*rows, num_days=16):
    weeks = PlannedWeeks(
        np.asarray([item for item, *_ in rows], object),
        np.asarray([day for _, day, *_ in rows], "M8[D]"),
        np.asarray([shares for *_, shares in rows], np.float64).reshape(-1, 2),
    )
    return promotions_by_day(("a", "c"), weeks, first_day=FIRST, num_days=num_days)[:, :, 0]


def test_a_week_is_planned_for_the_items_that_it_names():
    """On each of its days; strangers are left out, and nothing is promoted before the first."""
    found = planned(
        ("a", "2017-01-03", (0.5, 0)), ("b", "2017-01-03", (0.9, 0)), ("c", "2017-01-10", (1, 0))
    )

    assert found[0].tolist() == [0] * 2 + [0.5] * 7 + [0] * 7
    assert found[1].tolist() == [0] * 9 + [1] * 7


def test_a_week_that_is_not_planned_yet_is_taken_to_be_as_the_last_ones_were():
    """Nothing at all would be a forecast of its own: that every display is taken down."""
    weeks = [date(2017, 1, 3) + timedelta(days=7 * n) for n in range(9)]
    rows = [("a", week, (0.25 * (n % 2), 0)) for n, week in enumerate(weeks)]
    found = planned(*rows, ("c", weeks[0], (1, 0)), ("c", weeks[8], (1, 0)), num_days=70)

    assert found[0, 58:65].tolist() == [0] * 7
    assert found[0, 65:].tolist() == [0.125] * 5
    assert found[1, 65:].tolist() == [0.125] * 5
    assert not planned(num_days=3).any()
