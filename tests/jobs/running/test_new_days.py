"""Which ingestion days are new to a run."""

from argparse import Namespace
from datetime import date

import pytest

from contracts.windows import Window
from jobs.running.program import new_days

THERE = [date(2017, 11, day) for day in (20, 21, 25)]


@pytest.mark.parametrize(
    ("cutoff", "since", "expected"),
    [
        (26, None, 25),  # again: what is there is replaced
        (27, None, 26),
        (30, None, 26),  # three nights were missed
        (24, None, 22),  # into a hole: all of it
        (20, None, 19),  # before the first: a backfill
        (30, 29, 29),  # whoever names a day has chosen
        (30, 15, 15),
    ],
)
def test_new_days_follow_upon_the_last_that_is_there(cutoff, since, expected):
    chosen = since and date(2017, 11, since)
    options = Namespace(cutoff=date(2017, 11, cutoff), since=chosen)

    assert new_days(options, THERE) == Window(date(2017, 11, expected), options.cutoff)


def test_without_any_day_the_day_before_the_cutoff_is_new():
    options = Namespace(cutoff=date(2017, 11, 30), since=None)

    assert new_days(options, []) == Window(date(2017, 11, 29), options.cutoff)
