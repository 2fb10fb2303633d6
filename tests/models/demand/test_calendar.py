"""What is known of a day before it comes."""

from datetime import date

import numpy as np

from models.demand.calendar import HOLIDAYS, NUM_CALENDAR, WEEK, Calendar


def test_a_holiday_is_felt_three_days_before_and_two_after():
    calendar = Calendar.of([date(2017, 7, 4)], [])
    features = calendar.features(date(2017, 6, 30), 8)

    assert features.shape == (8, NUM_CALENDAR)
    assert features[:, HOLIDAYS].sum(axis=1).tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
    assert len(np.unique(features[1:7, HOLIDAYS], axis=0)) == 6  # each otherwise


def test_weekdays_are_those_of_the_day():
    features = Calendar().features(date(2017, 1, 2), 14)  # a Monday

    assert features[:, :WEEK].argmax(axis=1).tolist() == [*range(7), *range(7)]


def test_closed_days_are_those_that_were_named():
    calendar = Calendar.of([], [date(2017, 12, 25)])

    assert calendar.is_closed(date(2017, 12, 24), 3).tolist() == [False, True, False]
