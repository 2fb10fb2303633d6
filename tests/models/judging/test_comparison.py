"""Paired bootstrap over users."""

import numpy as np
import pytest

from models.judging.comparison import Resamples, compare
from models.metrics import auroc, average_precision


def drawn(seed: int, *, users: int, rows_each: int):
    """Labels, and the scores of a fair and of a better model, on several rows of each user."""
    generator = np.random.default_rng(seed)
    of_row = np.repeat(np.arange(users), rows_each)
    liking = np.repeat(generator.normal(size=users), rows_each)
    labels = (generator.normal(size=len(of_row)) + liking > 0).astype(float)
    fair = np.round(liking + generator.normal(size=len(of_row)), 1)  # rounded: ties
    return of_row, labels, fair, liking


@pytest.mark.parametrize("measure", [auroc, average_precision])
def test_a_resample_is_the_measure_of_the_rows_it_drew(measure):
    """The weighted shortcut equals the plain measure on rows repeated as they were drawn."""
    users, labels, scores, _ = drawn(0, users=40, rows_each=3)
    resamples = Resamples(users, num_bootstrap=5, seed=1)

    found = getattr(resamples, measure.__name__)(labels, scores)

    for row, weights in enumerate(resamples.weights):
        repeated = np.repeat(np.arange(len(users)), weights[users].astype(int))
        assert found[row] == pytest.approx(measure(labels[repeated], scores[repeated]))


def test_a_user_is_drawn_with_all_of_its_rows():
    """Rows of one user are not independent: they come and go together."""
    users = np.repeat(np.arange(3), 4)
    resamples = Resamples(users, num_bootstrap=50, seed=0)

    of_user_0 = resamples.mean((users == 0).astype(float))

    assert of_user_0[0] == pytest.approx(1 / 3)
    assert {round(value * 3) for value in of_user_0} <= {0, 1, 2, 3}
    assert np.allclose(of_user_0 * 3, np.round(of_user_0 * 3))


def test_identical_models_differ_by_nothing():
    """The same scores give the interval [0, 0], whatever was drawn."""
    users, labels, scores, _ = drawn(0, users=30, rows_each=2)
    resamples = Resamples(users, num_bootstrap=100, seed=0)
    statistic = resamples.auroc(labels, scores)

    found = compare(statistic, statistic, higher_is_better=True, confidence=0.95)

    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)


def test_more_is_better_whatever_the_measure():
    """A smaller error is a positive difference."""
    resamples = Resamples(np.arange(4), num_bootstrap=20, seed=0)
    small, large = resamples.mean(np.full(4, 1.0)), resamples.mean(np.full(4, 3.0))

    assert compare(small, large, higher_is_better=False, confidence=0.9).low == 2.0
    assert compare(small, large, higher_is_better=True, confidence=0.9).high == -2.0


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    """On simulated users, a 90 % interval covers the true mean in 80 % to 98 % of trials."""
    generator = np.random.default_rng(3)
    covered = 0
    for seed in range(100):
        users = np.repeat(np.arange(80), 3)
        of_user = np.repeat(generator.normal(size=80), 3)  # what a user's rows share
        differences = 0.5 + of_user + generator.normal(size=240)
        resamples = Resamples(users, num_bootstrap=200, seed=seed)
        zero = resamples.mean(np.zeros(240))
        found = compare(resamples.mean(differences), zero, higher_is_better=True, confidence=0.9)
        covered += found.low <= 0.5 <= found.high

    assert 80 <= covered <= 98


def test_what_cannot_be_measured_has_no_interval():
    """Without a positive row there is no AUROC, and no number that a rule could accept."""
    resamples = Resamples(np.arange(5), num_bootstrap=10, seed=0)
    statistic = resamples.auroc(np.zeros(5), np.arange(5.0))

    found = compare(statistic, statistic, higher_is_better=True, confidence=0.95)

    assert np.isnan([found.difference, found.low, found.high]).all()
