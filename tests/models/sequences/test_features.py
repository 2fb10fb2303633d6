"""Features as of a moment: half-open windows, no leak, one value by every road."""

from datetime import date, timedelta

import numpy as np
import pytest

from contracts.windows import instant
from models.sequences.features import (
    FEATURE_NAMES,
    HISTORY_DAYS,
    AsOfFeatures,
    exact_from,
)
from models.sequences.history import Histories, microseconds
from models.sequences.instants import DAY, Instants
from tests.models.as_of import as_of_features

CUTOFF = date(2017, 6, 1)


def value(table, name, zone, cutoff=CUTOFF) -> float:
    found = as_of_features(Histories.from_arrow(table), instant(cutoff, zone))
    return float(found[0, FEATURE_NAMES.index(name)])


@pytest.mark.parametrize(
    ("time", "counted"),
    [
        ("2017-05-24T23:59:59", False),  # one second before the window of 7 days
        ("2017-05-25T00:00:00", True),  # its first instant
        ("2017-05-31T23:59:59", True),  # its last second
        ("2017-06-01T00:00:00", False),  # the cutoff itself belongs to the labels
    ],
)
def test_a_window_is_half_open(sequences, zone, time, counted):
    """An event counts from the window's first instant up to, but not at, the cutoff."""
    table = sequences([("u", "2017-01-05T10:00:00", "apple", 1.0), ("u", time, "bread", 2.0)])

    assert value(table, "events_7d", zone) == pytest.approx(np.log1p(float(counted)))
    assert value(table, "spend_7d", zone) == pytest.approx(np.log1p(2.0 * counted))


def test_events_of_the_future_change_nothing(sequences, zone):
    """Asking newer rows about a past cutoff gives what the rows of that day would give."""
    past = [("u", f"2017-0{month}-03T10:00:00", "apple", 5.0) for month in range(1, 6)]
    later = [("u", "2017-06-01T00:00:00", "bread", 9.0), ("u", "2017-07-01", "bread", -1.0)]
    moment = instant(CUTOFF, zone)

    then = as_of_features(Histories.from_arrow(sequences(past)), moment)
    now = as_of_features(Histories.from_arrow(sequences(past + later)), moment)

    np.testing.assert_allclose(now, then, rtol=1e-6)


def test_the_lines_of_a_basket_are_one_instant(sequences, zone):
    """Three lines of one time are three events and one visit."""
    table = sequences([("u", "2017-05-30T10:00:00", item, 1.0) for item in ("a", "b", "c")])

    assert value(table, "instants_7d", zone) == pytest.approx(np.log1p(1))
    assert value(table, "events_7d", zone) == pytest.approx(np.log1p(3))


def test_gaps_are_between_sessions_that_ended_in_the_window(sequences, zone):
    """Visits ten days apart have a mean gap of ten days, and no spread."""
    days = ["2017-05-01", "2017-05-11", "2017-05-21"]
    table = sequences([("u", f"{day}T10:00:00", "apple", 1.0) for day in days])

    assert value(table, "gap_mean_90d", zone) == pytest.approx(np.log1p(10.0))
    assert value(table, "gap_std_90d", zone) == pytest.approx(0.0, abs=1e-3)
    assert value(table, "recency_days", zone) == pytest.approx(np.log1p(10 + 14 / 24))


def test_a_cut_row_is_exact_once_what_is_stored_reaches_back_far_enough(sequences, zone):
    """Where a user's oldest events were dropped, no feature may look past what is left."""
    first = date(2017, 1, 1)
    events = [("u", f"{first + timedelta(days=n)}T10:00:00", "a", 1.0) for n in range(200)]
    cut = Histories.from_arrow(sequences(events, max_events=150))
    features = AsOfFeatures(cut, Instants.of(cut))

    (moment,) = exact_from(cut, HISTORY_DAYS)

    assert moment == cut.times[0] + HISTORY_DAYS * DAY
    whole = Histories.from_arrow(sequences(events))
    late = np.array([microseconds(instant(first + timedelta(days=160), zone))])
    assert late[0] >= moment
    one = np.zeros(1, dtype=np.int64)
    np.testing.assert_allclose(
        features.at(one, late), AsOfFeatures(whole, Instants.of(whole)).at(one, late), rtol=1e-6
    )


def test_users_do_not_mix(sequences, zone):
    """A user's features are the same alone and among others."""
    mine = [("u", "2017-05-20T10:00:00", "apple", 3.0), ("u", "2017-05-28", "bread", 4.0)]
    others = [(name, "2017-05-29T09:00:00", "apple", 50.0) for name in ("a", "z")]
    moment = instant(CUTOFF, zone)

    alone = as_of_features(Histories.from_arrow(sequences(mine)), moment)
    among = as_of_features(Histories.from_arrow(sequences([others[0], *mine, others[1]])), moment)

    np.testing.assert_allclose(among[1], alone[0], rtol=1e-6)
