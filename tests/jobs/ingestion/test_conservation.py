"""Counts add up in every file, or the load is refused."""

from datetime import date

import pytest

from contracts.errors import ConservationError
from jobs.ingestion.conservation import Counts, Written, check_events, check_whole, total
from jobs.ingestion.line_fates import ROBOT

DAY = date(2017, 7, 4)


def test_a_file_whose_lines_do_not_add_up_is_named():
    """A total that is right can hide two files that are wrong."""
    files = {
        "whole": Counts(lines=3, events=1, duplicates=1, reasons={"unreadable line": 1}),
        "short": Counts(lines=5, events=3, duplicates=1),
        "long": Counts(lines=2, events=3),
    }

    assert total(files.values()).is_whole
    with pytest.raises(ConservationError) as refused:
        check_whole(files, folder="raw")
    assert str(refused.value).startswith(
        "raw/short: found 5 lines, 3 events, 1 duplicates and 0 quarantined, expected"
    )


def test_a_robots_lines_are_quarantined_and_not_bad():
    counts = total(
        [
            Counts(lines=4, events=1, reasons={ROBOT: 2, "unreadable line": 1}),
            Counts(lines=2, events=1, reasons={"unreadable line": 1}),
        ]
    )

    assert (counts.quarantined, counts.bad) == (4, 2)
    assert counts.is_whole


@pytest.mark.spark
def test_other_events_than_those_counted_are_refused(spark):
    """An equal number is not enough: the ids have to be the same."""
    written = spark.createDataFrame([("e1", DAY), ("e2", DAY)], "event_id string, ingest_date date")

    with pytest.raises(ConservationError) as refused:
        check_events({DAY: Written(events=2, ids=5)}, written)
    assert str(refused.value).startswith(
        "events/ingest_date=2017-07-04: found 2 events counted and 2 written (others), expected"
    )
