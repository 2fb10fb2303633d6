"""Cutoffs are days of the business time zone; windows are half-open and meet without a gap."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from contracts.errors import CutoffError
from contracts.windows import (
    Window,
    history_window,
    instant,
    is_matured,
    label_window,
    one_day,
    parse_cutoff,
    refuse_future,
)

NEW_YORK = ZoneInfo("America/New_York")
CUTOFF = date(2017, 11, 28)


def test_history_ends_where_labels_begin():
    """No day is in both windows, and none between them is in neither."""
    history = history_window(CUTOFF, days=3)
    labels = label_window(CUTOFF, horizon_days=2)

    assert history.days == [date(2017, 11, 25), date(2017, 11, 26), date(2017, 11, 27)]
    assert labels.days == [date(2017, 11, 28), date(2017, 11, 29)]
    assert history.end == labels.start == CUTOFF


def test_the_partition_of_a_cutoff_is_that_day_alone():
    assert one_day(CUTOFF).days == [CUTOFF]


@pytest.mark.parametrize(
    ("day", "utc"),
    [
        (date(2017, 11, 28), datetime(2017, 11, 28, 5, tzinfo=UTC)),  # winter time
        (date(2017, 7, 4), datetime(2017, 7, 4, 4, tzinfo=UTC)),  # summer time
    ],
)
def test_a_day_begins_at_midnight_of_the_business_zone(day, utc):
    """A cutoff's instant moves with the zone's clocks."""
    assert instant(day, NEW_YORK) == utc


def test_a_day_on_which_clocks_change_has_23_or_25_hours():
    """Windows are whole days of the zone, not multiples of 24 hours."""
    spring = Window(date(2017, 3, 12), date(2017, 3, 13)).instants(NEW_YORK)
    autumn = Window(date(2017, 11, 5), date(2017, 11, 6)).instants(NEW_YORK)

    assert spring[1] - spring[0] == timedelta(hours=23)
    assert autumn[1] - autumn[0] == timedelta(hours=25)


@pytest.mark.parametrize(("known_before", "matured"), [("2017-12-05", True), ("2017-12-04", False)])
def test_a_cutoff_matures_when_its_label_window_has_closed(known_before, matured):
    """Seven days of labels from 28 November are known when 5 December begins, not before."""
    known = date.fromisoformat(known_before)

    assert is_matured(CUTOFF, horizon_days=7, known_before=known) is matured


@pytest.mark.parametrize(
    "text", ["28/11/2017", "20171128", "2017-W48-2", "2017-11-31", "٢٠١٧-11-28"]
)
def test_a_cutoff_that_is_no_date_is_refused(text):
    """Nor are the other ways that ISO 8601 has: 20171103 is easily read as another day."""
    with pytest.raises(CutoffError) as refused:
        parse_cutoff(text)

    assert str(refused.value) == (
        f"--cutoff: found {text!r}, expected a date written YYYY-MM-DD. "
        "Give the first day that the model may not see."
    )


def test_a_cutoff_is_refused_until_its_midnight_in_the_zone():
    """At 04:59 UTC it is still the 27th in New York; one minute later the 28th has begun."""
    refuse_future(CUTOFF, now=datetime(2017, 11, 28, 5, 0, tzinfo=UTC), zone=NEW_YORK)
    with pytest.raises(CutoffError) as refused:
        refuse_future(CUTOFF, now=datetime(2017, 11, 28, 4, 59, tzinfo=UTC), zone=NEW_YORK)

    assert str(refused.value) == (
        "--cutoff 2017-11-28: found a day that has not begun, "
        "expected at most 2017-11-27 in America/New_York. "
        "Choose a day whose events have been collected."
    )
