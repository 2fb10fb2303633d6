"""A shop of two years: its users' seasons, and who knows of them."""

from datetime import date

import numpy as np
import pytest

from benchmarks.two_years import FIRST_DAY, NUM_DAYS, judged, two_years
from models.sequences.history import Histories

CUTOFF = date(2017, 11, 13)


@pytest.fixture(scope="module")
def histories() -> Histories:
    return Histories.from_arrow(two_years(3000, seed=0))


def test_the_same_seed_gives_the_same_shop_of_two_years(histories):
    """What is measured on it can be measured again."""
    again = Histories.from_arrow(two_years(3000, seed=0))
    days = (histories.times.max() - histories.times.min()) / 86_400e6

    assert NUM_DAYS == 2 * 364
    assert FIRST_DAY.weekday() == 0
    assert NUM_DAYS - 7 < days <= NUM_DAYS
    assert (histories.times == again.times).all()
    assert (histories.amounts == again.amounts).all()
    assert (np.diff(histories.offsets) > 0).all()


@pytest.mark.slow
def test_the_strong_baseline_is_not_behind_a_plain_booster_that_remembers_last_year(histories):
    """The one of before was, by a hundredth and more of AUROC: the gate let weak networks pass."""
    churn = judged(histories, "churn", CUTOFF)

    assert churn["plain"] > churn["before"] + 0.01
    assert churn["now"] > churn["before"] + 0.01
    assert churn["now"] > churn["plain"] - 0.005
