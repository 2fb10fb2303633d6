"""Points that a report draws."""

import numpy as np
import pytest

from models.judging.curves import amount_curves, calibration, gains, probability_curves

LABELS = np.array([0.0, 0.0, 1.0, 1.0])


def test_a_perfect_ranking_reaches_the_corner():
    """All positives before the first false alarm; half of the users hold them all."""
    curves = probability_curves(LABELS, np.array([0.1, 0.2, 0.8, 0.9]))

    assert curves["roc"][0] == [0.0, 1.0]
    assert all(precision == 1.0 for _, precision in curves["precision_recall"])
    assert [0.5, 1.0] in curves["gains"]


def test_equal_scores_are_the_diagonal():
    """Ties share alike: no order is invented."""
    curves = probability_curves(LABELS, np.full(4, 0.5))

    assert all(x == pytest.approx(y) for x, y in curves["roc"])
    assert all(x == pytest.approx(y) for x, y in curves["gains"])


def test_calibration_sets_what_was_said_beside_what_came_true():
    """Equal scores are one point."""
    assert calibration(LABELS, np.array([0.2, 0.2, 0.8, 0.8])) == [[0.2, 0.0], [0.8, 1.0]]


def test_gains_of_an_amount_count_money_not_heads():
    """The best of four holds what it spent."""
    assert [0.25, 0.9] in gains(np.array([90.0, 5.0, 5.0, 0.0]), np.array([4.0, 3.0, 2.0, 1.0]))


def test_a_curve_without_an_answer_is_left_out():
    """One class only has no ROC; no row has nothing."""
    assert "roc" not in probability_curves(np.zeros(3), np.arange(3) / 3)
    assert amount_curves(np.zeros(0), np.zeros(0)) == {}
