"""What a user did in the same weeks a year before, told as of a moment."""

from datetime import date, timedelta

import numpy as np
import pytest

from contracts.windows import instant
from models.sequences.history import Histories, microseconds
from models.sequences.instants import Instants
from models.sequences.year_before import YEAR_BEFORE_NAMES, YEAR_DAYS, YearBefore

CUTOFF = date(2017, 9, 1)


@pytest.fixture
def year_before(sequences, zone):
    """Name → value for one user of the events, as of the cutoff."""

    def values(events, *, max_events=2048, user=0):
        histories = Histories.from_arrow(sequences(events, max_events=max_events))
        moment = np.array([microseconds(instant(CUTOFF, zone))])
        found = YearBefore(histories, Instants.of(histories)).at(np.array([user]), moment)
        assert found.shape == (1, len(YEAR_BEFORE_NAMES))
        assert np.isfinite(found).all()
        return dict(zip(YEAR_BEFORE_NAMES, found[0].tolist(), strict=True))

    return values


def visits(*days, user="u", amount=10.0):
    """One visit at noon of each day, so many days after the cutoff's weekday a year before."""
    then = CUTOFF - timedelta(days=YEAR_DAYS)
    return [(user, f"{then + timedelta(days=day)}T12:00:00", "apple", amount) for day in days]


def test_the_label_windows_are_looked_up_a_year_of_whole_weeks_earlier(year_before):
    """Of the coming 7 and 28 days, and of the 28 before: days -28, 6, 7 and 27, not -29 nor 28."""
    found = year_before(visits(-29, -28, 0, 6, 7, 27, 28))

    counts = {name: round(float(np.expm1(value)), 3) for name, value in found.items()}
    assert [
        counts[f"year_before_visits_{span}"] for span in ("next_7d", "next_28d", "last_28d")
    ] == [
        2.0,
        4.0,
        1.0,
    ]
    assert counts["year_before_purchases_next_28d"] == 4.0
    assert counts["year_before_events_next_28d"] == 4.0
    assert counts["year_before_spend_next_28d"] == 40.0
    assert found["year_before_known"] == 1.0
    assert (CUTOFF - timedelta(days=YEAR_DAYS)).weekday() == CUTOFF.weekday()


def test_a_user_who_was_not_there_yet_is_told_from_one_who_did_not_come(year_before):
    """Nothing bought in those weeks says little of who came first in spring."""
    regular = year_before(visits(-200, 100))
    new = year_before(visits(100))
    first = year_before(visits(20))  # found the shop in those very weeks

    assert regular["year_before_known"] == first["year_before_known"] == 1.0
    assert new["year_before_known"] == 0.0
    assert regular["year_before_visits_next_28d"] == new["year_before_visits_next_28d"] == 0.0
    assert first["year_before_visits_next_28d"] == pytest.approx(np.log1p(1.0))


def test_of_a_history_that_was_cut_in_or_after_those_weeks_nothing_is_told(year_before):
    """Half of a window would say that less was bought; whole ones are told as they are."""
    then = visits(-50, -40, -30, 5, 6, 20)
    since = visits(*range(100, 110))

    whole = year_before([*then, *since])
    reaching = year_before([*then, *since], max_events=15)  # read from day -30 on
    half = year_before([*then, *since], max_events=14)  # read from day 5 on
    none = year_before([*then, *since], max_events=11)

    assert reaching == whole
    assert set(half.values()) == set(none.values()) == {0.0}


def test_nothing_from_the_cutoff_on_is_read(year_before):
    """A year before is long past: no later event changes it."""
    early = visits(-10, 3, 25)

    assert year_before([*early, *visits(363, 364, 365, 400)]) == year_before([*early, *visits(363)])


def test_what_came_back_in_those_weeks_lowers_their_spend(year_before):
    """More may come back than was bought: the sign stays."""
    found = year_before([*visits(-20, 3), *visits(5, amount=-25.0)])

    assert found["year_before_spend_next_28d"] == pytest.approx(-np.log1p(15.0))
    assert found["year_before_spend_last_28d"] == pytest.approx(np.log1p(10.0))


def test_users_do_not_mix(year_before):
    """The totals run through all users; a difference of them is one user's."""
    mine = visits(3, 4, user="b")

    among = year_before([*visits(1, 2, user="a"), *mine, *visits(5, user="c")], user=1)

    assert among == year_before(mine)
