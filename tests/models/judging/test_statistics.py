"""Measures whose answer is easily given the wrong sign."""

from datetime import date

import numpy as np
import pytest

from models.judging.contestants import HeadRows
from models.judging.statistics import point


def spend_rows(labels, scores):
    size = len(labels)
    return HeadRows(
        head="spend",
        users=np.arange(size),
        num_instants=np.ones(size, dtype=np.int64),
        favourites=np.asarray([""] * size, dtype=object),
        labels=np.asarray(labels, dtype=float),
        scores={"1": np.asarray(scores, dtype=float)},
        cutoffs=[date(2017, 10, 31)],
    )


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        ([10.0, 0.0], [6.0, 6.0], 0.2),
        ([10.0, -20.0], [0.0, 5.0], 1.5),  # net more came back: too much is above 0 still
        ([10.0, -10.0], [1.0, 1.0], np.nan),  # a share of nothing
    ],
)
def test_a_bias_of_the_total_is_above_0_where_too_much_was_expected(labels, scores, expected):
    assert point(spend_rows(labels, scores), "total_bias", "1") == pytest.approx(
        expected, nan_ok=True
    )
