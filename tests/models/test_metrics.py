"""Metrics agree with scikit-learn, and with values worked out by hand."""

import numpy as np
import pytest
from sklearn import metrics as reference

from models.metrics import (
    auroc,
    average_precision,
    brier,
    cross_entropy,
    expected_calibration_error,
    log_loss,
    mae,
    ndcg_at_k,
    recall_at_k,
    tweedie_deviance,
)

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 2, 400).astype(float)
TIED = np.round(RNG.random(400) * 0.6 + TRUTH * 0.3 + 0.05, 1)  # many equal scores
VALUES, SAID = RNG.gamma(1.0, 50.0, 400) * TRUTH, RNG.gamma(2.0, 30.0, 400)
CLASSES, CHANCES = RNG.integers(0, 3, 400), RNG.dirichlet(np.ones(3), 400)


@pytest.mark.parametrize(
    ("ours", "theirs", "truth", "said"),
    [
        (auroc, reference.roc_auc_score, TRUTH, TIED),
        (average_precision, reference.average_precision_score, TRUTH, TIED),
        (brier, reference.brier_score_loss, TRUTH, TIED),
        (log_loss, reference.log_loss, TRUTH, TIED),
        (cross_entropy, reference.log_loss, np.eye(3)[CLASSES], CHANCES),
        (mae, reference.mean_absolute_error, VALUES, SAID),
        (
            tweedie_deviance,
            lambda truth, said: reference.mean_tweedie_deviance(truth, said, power=1.5),
            VALUES,
            SAID,
        ),
    ],
)
def test_metrics_agree_with_scikit_learn(ours, theirs, truth, said):
    """The same number as the field's reference, ties included."""
    assert ours(truth, said) == pytest.approx(theirs(truth, said), rel=1e-9)


def test_tweedie_deviance_is_least_at_the_mean_where_more_came_back_than_was_paid():
    """Such a row has no distribution of the family; the mean of all is the best one value still."""
    truth, means = [-3.0, 0.0, 9.0, 2.0], np.linspace(0.5, 6.0, 551)
    found = [tweedie_deviance(truth, np.full(4, mean), lowest=0.01) for mean in means]

    assert means[np.argmin(found)] == pytest.approx(2.0)
    assert tweedie_deviance(truth, [1e-9, 1.0, 9.0, 2.0], lowest=0.01) > -25  # it has a floor


def test_one_class_has_no_ranking():
    """A metric without an answer is nan, never 0 or 1."""
    assert np.isnan(auroc([1, 1], [0.2, 0.3]))
    assert np.isnan(average_precision([0, 0], [0.2, 0.3]))


def test_calibration_error_is_the_mean_gap_between_said_and_true():
    """Two bins: 0.2 said and 0.5 true, 0.8 said and 1.0 true."""
    truth, said = [0, 1, 1, 1], [0.2, 0.2, 0.8, 0.8]

    assert expected_calibration_error(truth, said, num_bins=2) == pytest.approx((0.3 + 0.2) / 2)


def test_ndcg_of_several_relevant_items_by_hand():
    """Hits at ranks 1 and 3 of three relevant items: (1 + 1/2) / (1 + 0.63093 + 1/2)."""
    found = ndcg_at_k([["a", "b", "z"], []], [["a", "x", "b"], ["a", "x", "b"]], k=10)

    assert found[0] == pytest.approx(1.5 / (1.5 + 1 / np.log2(3)))
    assert np.isnan(found[1])


def test_recall_counts_what_was_found_among_the_first():
    """One of two relevant items is among the first two."""
    assert recall_at_k([["a", "b"]], [["a", "x", "b"]], k=2).tolist() == [0.5]
