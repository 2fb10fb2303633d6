"""Promotions: how widely an item is promoted in a week, known before it begins."""

from datetime import date

import pytest

from jobs.demand.promotions import build_promotions

pytestmark = pytest.mark.spark

WEEK = date(2017, 11, 27)
DDL = "item_id string, store_id string, week date, is_displayed boolean, is_mailed boolean"


def test_a_share_is_of_all_stores_and_a_store_counts_once(spark):
    """Also where a plan names it twice, and where another item's rows name the store."""
    rows = [
        ("a", "1", WEEK, True, False),
        ("a", "1", WEEK, True, True),
        ("a", "2", WEEK, False, True),
        ("b", "4", WEEK, True, False),
        ("b", "3", date(2017, 12, 4), True, False),
    ]
    found = build_promotions(spark.createDataFrame(rows, DDL)).collect()
    shares = {(r["item_id"], r["week"]): (r["display_share"], r["mailer_share"]) for r in found}

    assert shares == {
        ("a", WEEK): (0.25, 0.5),
        ("b", WEEK): (0.25, 0.0),
        ("b", date(2017, 12, 4)): (0.25, 0.0),
    }
