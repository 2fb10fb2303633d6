"""Complete Journey without a lake: sessions by basket and by silence, instants of UTC."""

from datetime import UTC, datetime

import duckdb
import numpy as np
import pytest

from benchmarks.complete_journey import complete_journey
from models.sequences.history import Histories, microseconds


@pytest.fixture
def folder(tmp_path):
    """Two households: one with two baskets and a long silence within the second."""
    duckdb.sql(
        f"""
        COPY (SELECT * FROM (VALUES
            (7, 1, 10, 100, 1, 2.5, TIMESTAMP '2017-01-02 12:00:00'),
            (7, 1, 10, 101, 2, 4.0, TIMESTAMP '2017-01-02 12:00:00'),
            (7, 1, 11, 100, 1, 2.5, TIMESTAMP '2017-01-02 12:10:00'),
            (7, 1, 11, 102, 1, 1.0, TIMESTAMP '2017-01-02 13:00:00'),
            (3, 1, 12, 100, 1, 3.0, TIMESTAMP '2017-01-03 09:00:00')
        ) AS t(household_id, store_id, basket_id, product_id, quantity, sales_value,
               transaction_timestamp)) TO '{tmp_path}/transactions.parquet'
        """
    )
    duckdb.sql(
        f"""
        COPY (SELECT * FROM (VALUES (100, 'MILK'), (101, 'BREAD')) AS p(product_id,
              product_category)) TO '{tmp_path}/products.parquet'
        """
    )
    return tmp_path


def test_lines_are_events_and_a_basket_or_a_silence_begins_a_session(folder):
    """One event a line; a new basket, and more than half an hour within one, begin a session."""
    histories = Histories.from_arrow(complete_journey(folder))

    assert histories.user_ids.tolist() == ["3", "7"]
    assert histories.num_events.tolist() == [1, 4]
    assert histories.session_starts.tolist() == [True, True, False, True, True]
    assert histories.item_ids[histories.item_codes].tolist() == ["100", "100", "101", "100", "102"]
    names = histories.categories[histories.category_codes].tolist()
    assert names == ["MILK", "MILK", "BREAD", "MILK", ""]
    assert histories.is_purchase.all()


def test_times_are_instants_and_totals_are_of_the_user(folder):
    """The package's clock is UTC."""
    histories = Histories.from_arrow(complete_journey(folder))

    assert histories.times[0] == microseconds(datetime(2017, 1, 3, 9, tzinfo=UTC))
    assert histories.first_times[1] == microseconds(datetime(2017, 1, 2, 12, tzinfo=UTC))
    np.testing.assert_allclose(histories.lifetime_spend, [3.0, 10.0])
    assert histories.is_whole.all()


def test_what_came_before_an_instant_has_no_trace_of_what_came_later(folder):
    """Neither the household that was not seen yet, nor the later lines of the other."""
    before = datetime(2017, 1, 2, 12, 10, tzinfo=UTC)

    histories = Histories.from_arrow(complete_journey(folder, before=before))

    assert histories.user_ids.tolist() == ["7"]
    assert histories.num_events.tolist() == histories.lifetime_events.tolist() == [2]
    np.testing.assert_allclose(histories.lifetime_spend, [6.5])
