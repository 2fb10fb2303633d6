"""Tails: stretched or drawn in until a tenth lies beyond each, on what was held out."""

import numpy as np
import pytest

from models.demand.calibration import Tails, fit_tails, stretched


def said(level, half_width, count=20_000):
    middle = np.full(count, level)
    return np.stack([middle - half_width, middle, middle + half_width], axis=-1)


@pytest.mark.parametrize("half_width", [4.0, 10.0])
def test_a_tenth_lies_beyond_each_tail_after_the_fit(half_width):
    """Too narrow or too wide as the network said it."""
    rng = np.random.default_rng(0)
    held_out, later = rng.normal(50.0, 5.0, (2, 20_000))
    quantiles = said(50.0, half_width)
    tails = fit_tails(quantiles, held_out, np.ones(20_000, bool), is_whole=False)
    low, _, high = np.moveaxis(stretched(quantiles, tails, is_whole=False), -1, 0)

    assert (later < low).mean() == pytest.approx(0.1, abs=0.01)
    assert (later > high).mean() == pytest.approx(0.1, abs=0.01)


def test_what_sells_much_does_not_widen_what_sells_seldom():
    rng = np.random.default_rng(0)
    quantiles = np.concatenate([said(1.0, 3.0), said(50.0, 3.0)])
    truth = np.concatenate([rng.poisson(0.3, 20_000), rng.normal(50.0, 5.0, 20_000)])
    tails = fit_tails(quantiles, truth, np.ones(40_000, bool), is_whole=True)

    assert tails.high[0] < 1 < tails.high[2]
    assert tails.low[0] == 1.0  # nothing lies below nothing


def test_days_that_are_not_known_fit_nothing():
    tails = fit_tails(said(50.0, 4.0), np.full(20_000, 99.0), np.zeros(20_000, bool), is_whole=True)

    assert tails == Tails()


def test_whole_units_have_whole_quantiles_and_none_is_below_zero():
    found = stretched(np.asarray([[-0.4, 0.6, 2.4]]), Tails(), is_whole=True)

    assert found.tolist() == [[0.0, 1.0, 2.0]]


def test_counts_are_not_drawn_in_until_a_tenth_lies_above():
    """A p90 of 1, above which 4 in 100 lie, and one of 2: both are right, and fewer lie above.

    Nearer to a tenth is only a p90 of 1 for the second, which costs more.
    """
    rng = np.random.default_rng(0)
    counts = np.concatenate([rng.poisson(0.3, 90_000), rng.poisson(1.0, 10_000)]).astype(float)
    quantiles = np.concatenate(
        [np.tile([0.0, 0.3, 1.0], (90_000, 1)), np.tile([0.0, 0.9, 2.0], (10_000, 1))]
    )
    known = np.ones(100_000, bool)
    tails = fit_tails(quantiles, counts, known, is_whole=True)
    high = stretched(quantiles, tails, is_whole=True)[:, 2]

    assert (counts > high).mean() < 0.05
    assert (set(high[:90_000]), set(high[90_000:])) == ({1.0}, {2.0})
