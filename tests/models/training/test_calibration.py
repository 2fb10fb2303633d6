"""Calibration: probabilities that come true as often as they say, and rankings left alone."""

import numpy as np
import pytest

from models.training.calibration import IDENTITY, Platt, fit_factor, fit_platt, sigmoid

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0.3, 1.5, 20_000)


def test_a_known_distortion_is_found():
    """Outcomes drawn from sigmoid(0.6 x - 0.8) give back 0.6 and -0.8."""
    truth = (RNG.random(len(LOGITS)) < sigmoid(0.6 * LOGITS - 0.8)).astype(float)

    found = fit_platt(LOGITS, truth)

    assert found.slope == pytest.approx(0.6, abs=0.03)
    assert found.offset == pytest.approx(-0.8, abs=0.05)
    assert found(LOGITS).mean() == pytest.approx(truth.mean(), abs=1e-4)


def test_a_calibration_never_turns_a_ranking_round():
    """Logits that rank the wrong way are flattened, not inverted."""
    found = fit_platt(LOGITS, (LOGITS < 0).astype(float))

    assert found.slope > 0


def test_a_slope_that_was_held_has_an_offset_of_its_own():
    """The mean of what is said is that of what came true, whatever the slope was kept from."""
    truth = (RNG.random(len(LOGITS)) < sigmoid(-0.5 * LOGITS - 2.0)).astype(float)
    far = LOGITS + 10.0

    found = fit_platt(far, truth)

    assert found.slope == pytest.approx(0.05)
    assert found(far).mean() == pytest.approx(truth.mean(), abs=1e-4)


def test_one_class_leaves_the_logits_as_they_are():
    """Nothing can be fitted to outcomes that are all alike."""
    assert fit_platt(LOGITS, np.ones(len(LOGITS))) == IDENTITY
    assert fit_platt([], []) == IDENTITY


def test_probabilities_of_extreme_logits_stay_probabilities():
    """No overflow at either end."""
    said = Platt(slope=1.0, offset=0.0)([-1e4, 0.0, 1e4])

    assert said.tolist() == [0.0, 0.5, 1.0]


def test_the_factor_makes_totals_agree():
    """Predictions that are twice too large are halved; nothing at all is left alone."""
    assert fit_factor([2.0, 4.0], [1.0, 2.0]) == 0.5
    assert fit_factor([0.0], [0.0]) == 1.0
