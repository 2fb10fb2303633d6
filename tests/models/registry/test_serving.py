"""Raw events of a request as the nights' sequences would hold them."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest

from contracts.errors import MissingColumnsError
from models.registry.serving import COLUMNS, sequences
from models.sequences.history import Histories

BEFORE = datetime(2017, 3, 10, tzinfo=UTC)


def events(*times: str, user: str = "u1") -> pd.DataFrame:
    rows = [(user, f"item{n}", "purchase", time, "FOOD", 2.0, 1.0) for n, time in enumerate(times)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def rows(frame: pd.DataFrame, *, minutes: int = 30, max_events: int = 100) -> list[dict]:
    gap = timedelta(minutes=minutes)
    options = {"gap": gap, "max_events": max_events, "money": "net"}
    return sequences(frame, before=BEFORE, **options).to_pylist()


def test_a_session_starts_after_a_silence_longer_than_the_gap():
    """The gap is the nights' own; exactly as long is still the same session."""
    frame = events("2017-03-01T10:00:00Z", "2017-03-01T10:30:00Z", "2017-03-01T11:00:01Z")

    assert rows(frame)[0]["session_starts"] == [True, False, True]
    assert rows(frame, minutes=31)[0]["session_starts"] == [True, False, False]


def test_the_latest_events_before_the_cutoff_are_kept_and_all_are_counted():
    """What comes later takes no place of theirs; the first one kept starts a session."""
    frame = events(
        "2017-03-01T10:00:00Z",
        "2017-03-02T10:00:00Z",
        "2017-03-02T10:01:00Z",
        "2017-03-11T10:00:00Z",
    )

    (row,) = rows(frame, max_events=1)

    assert row["item_ids"] == ["item2", "item3"]
    assert row["session_starts"] == [True, True]
    assert (row["lifetime_events"], row["lifetime_spend"]) == (4, 8.0)
    assert row["first_event_time"] == datetime(2017, 3, 1, 10, tzinfo=UTC)


def test_users_keep_apart_in_whatever_order_their_events_come():
    """Rows are by user, events by time."""
    frame = pd.concat(
        [
            events("2017-03-05T10:00:00Z", user="b"),
            events("2017-03-04T10:00:00Z", "2017-03-03T10:00:00Z", user="a"),
        ]
    )

    found = rows(frame)

    assert [row["user_id"] for row in found] == ["a", "b"]
    assert found[0]["item_ids"] == ["item1", "item0"]


def test_a_request_may_say_the_words_of_an_event():
    """Most logs have none, so nobody has to send an empty column."""
    frame = events("2017-03-01T10:00:00Z", "2017-03-02T10:00:00Z")
    with_words = frame.assign(text=["red shoes", None])

    assert rows(frame)[0]["texts"] == ["", ""]
    assert rows(with_words)[0]["texts"] == ["red shoes", ""]


def test_an_amount_that_is_not_sent_is_not_one_of_zero():
    """As the nights have it: who bought for nothing is no buyer, who bought for who knows is."""
    frame = events("2017-03-01T10:00:00Z", "2017-03-02T10:00:00Z", "2017-03-03T10:00:00Z")
    for unknown in (None, float("nan")):
        sent = frame.assign(amount=pd.Series([unknown, 0.0, 2.0], dtype=object))
        (row,) = rows(sent)
        histories = Histories.from_arrow(pa.Table.from_pylist([row]))

        assert histories.is_purchase.tolist() == [True, False, True]
        assert row["lifetime_spend"] == 2.0


def test_events_of_nobody_are_no_user():
    """Nor a user named None, nor one named nan."""
    known, unknown = events("2017-03-01T10:00:00Z"), events("2017-03-01T10:00:00Z", user=None)

    assert rows(pd.concat([unknown, known, unknown])) == rows(known)
    assert rows(unknown) == []


def test_no_events_are_no_rows():
    """An empty request is answered with nothing."""
    assert rows(events()) == []


def test_a_missing_column_is_named():
    """A request that cannot be answered says what it lacks."""
    with pytest.raises(MissingColumnsError) as error:
        rows(events("2017-03-01T10:00:00Z").drop(columns=["amount"]))

    assert str(error.value) == (
        "events: found the columns category, event_time, event_type, item_id, quantity, user_id, "
        "expected also amount. "
        "Correct the mapping in the request, or ask the collector for the column."
    )
