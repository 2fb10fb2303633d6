"""A user's last half year, day by day: what each number says, and that no later day is in it."""

from datetime import date, timedelta

import numpy as np
import pytest

from contracts.windows import instant
from models.sequences.history import Histories, microseconds
from models.sequences.instants import Instants
from models.sequences.rhythm import NUM_DAYS, RHYTHM_NAMES, rhythm_features

CUTOFF = date(2017, 9, 1)


@pytest.fixture
def rhythm_of(sequences, zone):
    """Name → value for the first user of the events, as of the cutoff."""

    def found(events, *, max_events=2048, user=0):
        histories = Histories.from_arrow(sequences(events, max_events=max_events))
        moment = np.array([microseconds(instant(CUTOFF, zone))])
        values = rhythm_features(histories, Instants.of(histories), np.array([user]), moment)[0]
        assert np.isfinite(values).all()
        return dict(zip(RHYTHM_NAMES, values.tolist(), strict=True))

    return found


def visits(*days_back, user="u", amount=10.0):
    """One visit at noon of each day, so many days before the cutoff; 1 is the day before it."""
    return [
        (user, f"{CUTOFF - timedelta(days=days)}T12:00:00", "apple", amount) for days in days_back
    ]


def test_weeks_and_days_count_back_from_the_cutoff(rhythm_of):
    """The day before the cutoff is day 0, the seven days before it week 0."""
    said = rhythm_of(visits(9, 8, 7, 1))

    assert [said[f"visits_week_{week}"] for week in range(3)] == [2.0, 2.0, 0.0]
    assert [day for day in range(14) if said[f"visited_day_{day}"]] == [0, 6, 7, 8]
    assert said["spend_week_0"] == pytest.approx(np.log1p(20.0))
    assert said["spend_month_0"] == pytest.approx(np.log1p(40.0))


def test_two_baskets_of_a_day_are_one_visit(rhythm_of):
    """A day is visited or not; what was spent adds up."""
    once = ("u", f"{CUTOFF - timedelta(days=3)}T18:00:00", "bread", 10.0)

    said = rhythm_of([*visits(3), once])

    assert said["visits_week_0"] == 1.0
    assert said["spend_week_0"] == pytest.approx(np.log1p(20.0))


def test_a_rate_is_of_the_days_since_the_user_is_known(rhythm_of):
    """Who came daily for ten days visits once a day, however new."""
    said = rhythm_of(visits(*range(10, 0, -1)))

    assert said["visit_rate_5d"] == pytest.approx(1.0, abs=0.03)
    assert said["visit_rate_80d"] == pytest.approx(1.0, abs=0.06)


def test_whoever_came_an_hour_ago_bought_once_a_day_at_most(rhythm_of):
    """A rate per hour known would be 24 purchases a day."""
    told = rhythm_of([("u", f"{CUTOFF - timedelta(days=1)}T23:00:00", "apple", 20.0)])

    assert told["visit_rate_5d"] == pytest.approx(1.0)
    assert np.expm1(told["spend_rate_5d"]) == pytest.approx(20.0, rel=1e-5)


def test_gaps_are_told_newest_first_and_weighed_against_the_present_one(rhythm_of):
    """Gaps of 20, 10 and 5 days, and 7 since: two were longer, of which one ended within 7 more."""
    said = rhythm_of(visits(43, 23, 13, 8))

    gaps = np.expm1([said[f"gap_{place}"] for place in range(4)])
    np.testing.assert_allclose(gaps, [5.0, 10.0, 20.0, NUM_DAYS], rtol=1e-6)
    assert np.expm1(said["longest_gap"]) == pytest.approx(20.0)
    assert np.expm1(said["longer_gaps"]) == pytest.approx(2.0)
    assert said["returns_7d"] == pytest.approx((1 + 1.0) / (2 + 1.5))
    assert said["returns_28d"] == pytest.approx((2 + 1.0) / (2 + 1.5))
    assert said["covered_7d"] == pytest.approx((5 + 7 + 7) / (5 + 10 + 20))


def test_a_silence_counts_against_a_user(rhythm_of):
    """Of the moments of the last 30 days no visit followed within 7 days for 22 of them."""
    said = rhythm_of(visits(41, 31))

    assert said["covered_7d"] == pytest.approx(7 / (10 + (30 - 7)))


def test_the_weekdays_to_come_are_those_of_the_past(rhythm_of):
    """Who came on each of the last Fridays is said to come on the cutoff's weekday, a Friday."""
    said = rhythm_of(visits(*range(182, 0, -7)))

    assert said["weekday_0_on"] == pytest.approx(1.0)
    assert [said[f"weekday_{days}_on"] for days in range(1, 7)] == [0.0] * 6


def test_nothing_from_the_cutoff_on_and_nothing_older_than_half_a_year_is_read(rhythm_of):
    """Events at the cutoff, after it, and before the grid change no number."""
    known = visits(20, 10, 2)
    early = visits(400)

    alone, among = rhythm_of([*early, *known]), rhythm_of([*early, *visits(300), *known])
    later = rhythm_of([*early, *known, *visits(0, -1, -20), ("u", str(CUTOFF), "fig", 99.0)])

    assert among == alone
    assert later == alone


def test_users_do_not_mix(rhythm_of):
    """A user's numbers are the same alone and among others."""
    mine = visits(30, 12, 5)

    among = rhythm_of([*visits(3, user="a"), *mine, *visits(40, 1, user="z")], user=1)

    assert among == rhythm_of(mine)
