"""One sequence per user ever seen: the latest events in one order, and exact totals of all."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from contracts.tables import EVENTS, SEQUENCES
from jobs.histories.fold_sequences import COLUMNS, fold_sequences, no_events, no_rows
from jobs.lake.column_types import arrow_schema, with_columns

CUTOFF = date(2017, 1, 10)
START = datetime(2017, 1, 1, tzinfo=UTC)
OPTIONS = {"cutoff": CUTOFF, "max_events": 3, "gap_minutes": 30, "money": "net"}


def event(user, event_id, minute, *, item=None, amount=1.0, quantity=1.0, **other):
    time, item = START + timedelta(minutes=minute), item or f"item {event_id}"
    said = {"kind": "purchase", "category": "c", "text": None, **other}
    values = said["kind"], said["category"], quantity, amount, said["text"]
    return user, time, event_id, item, *values


def arrow(*events):
    rows = [dict(zip(COLUMNS, event, strict=True)) for event in events]
    return pa.Table.from_pylist(rows, schema=arrow_schema(EVENTS, COLUMNS))


def fold(*events, onto=None, **changes):
    earlier = no_rows() if onto is None else onto
    return fold_sequences(earlier, arrow(*events), **{**OPTIONS, **changes})


def build(*events, **changes):
    return {row["user_id"]: row for row in fold(*events, **changes).to_pylist()}


def test_the_latest_events_are_kept_and_all_are_counted():
    """Arrays are cut to the latest, oldest first; totals and the first time never are."""
    found = build(*(event("u", f"e{n}", n, amount=0.1) for n in (4, 1, 3, 2)))["u"]

    assert found["event_ids"] == ["e2", "e3", "e4"]
    assert found["item_ids"] == ["item e2", "item e3", "item e4"]
    assert found["lifetime_events"] == 4
    assert found["lifetime_spend"] == 0.4  # not 0.1 + 0.1 + 0.1 + 0.1 in floats' own order
    assert found["first_event_time"].minute == 1
    assert found["last_event_time"].minute == 4
    assert found["cutoff"] == CUTOFF


@pytest.mark.parametrize(("money", "spend"), [("net", -0.7), ("gross", 5.0)])
def test_a_lifetime_spends_what_purchases_and_returns_move(money, spend):
    """However they come: all at once, or the return in a later night than its purchase."""
    log = [
        ("view", 99.0), ("purchase", 5.0), ("purchase", -0.2), ("return", -5.5), ("purchase", None),
    ]  # fmt: skip
    events = [
        event("u", f"e{n}", n, kind=kind, amount=amount) for n, (kind, amount) in enumerate(log)
    ]
    nightly = fold(*events[3:], onto=fold(*events[:3], money=money), money=money).to_pylist()

    assert build(*events, money=money)["u"]["lifetime_spend"] == spend
    assert nightly[0]["lifetime_spend"] == spend


def test_ties_follow_the_event_id_and_gaps_start_sessions():
    """One order whatever order events come in; a gap of exactly 30 minutes is no new session."""
    events = [event("u", "b", 0), event("u", "a", 0), event("u", "c", 30), event("u", "d", 61)]
    found = build(*events, max_events=4)["u"]
    turned = build(*reversed(events), max_events=4)["u"]

    assert found["event_ids"] == ["a", "b", "c", "d"]
    assert found["session_starts"] == [True, False, False, True]
    assert turned == found


def test_an_id_that_comes_again_is_ordered_by_what_it_says():
    """On whichever night each came."""
    first, second = event("u", "e", 0, item="x"), event("u", "e", 0, item="a")
    whole = build(first, second)
    night_by_night = build(second, onto=fold(first))

    assert whole["u"]["item_ids"] == ["a", "x"]
    assert night_by_night == whole


def test_the_first_event_kept_starts_a_session():
    """What was cut away is not known any more, and another user's session is not this one's."""
    found = build(*(event(user, f"e{n}", n) for n in range(5) for user in "uv"))

    assert found["u"]["session_starts"] == found["v"]["session_starts"] == [True, False, False]


def test_what_is_unknown_is_empty_or_zero_and_an_amount_is_nan():
    """A line that cost nothing is another thing than one of which nobody knows what it cost."""
    free, unknown = event("u", "e", 0, amount=0.0), event("u", "f", 1, amount=None, quantity=None)
    rows = [build(free, unknown)["u"], build(unknown, onto=fold(free))["u"]]
    rows += [build(free, onto=fold(unknown))["u"]]

    for row in rows:
        assert row["amounts"] == [0.0, pytest.approx(float("nan"), nan_ok=True)]
        assert row["quantities"] == [1.0, 0.0]
        assert row["lifetime_spend"] == 0.0
    assert build(event("u", "e", 0, category=None))["u"]["categories"] == [""]


def test_texts_stay_with_their_events_and_a_row_without_any_has_none():
    """Whether the words came first, later or never; and once they are cut off they are gone."""
    silent, said = event("u", "e1", 1), event("u", "e2", 2, text="red shoes")
    later = event("u", "e3", 3), event("u", "e4", 4)

    assert build(silent, said)["u"]["texts"] == ["", "red shoes"]
    assert build(said, onto=fold(silent, event("v", "e", 1)))["u"]["texts"] == ["", "red shoes"]
    assert build(said, onto=fold(silent, event("v", "e", 1)))["v"]["texts"] is None
    assert build(*later, onto=fold(silent, said))["u"]["texts"] == ["red shoes", "", ""]
    assert build(event("u", "e5", 5), onto=fold(said, *later))["u"]["texts"] is None


def test_rows_of_before_there_were_texts_are_folded_as_rows_without_any():
    """A lake's files keep the columns that they had."""
    before = fold(event("u", "e1", 1)).drop_columns("texts")
    today = with_columns(before, arrow_schema(SEQUENCES))

    assert build(event("u", "e2", 2, text="x"), onto=today)["u"]["texts"] == ["", "x"]


def test_users_of_whom_nothing_is_new_keep_their_rows():
    """All but the cutoff; and new users stand among them, in order."""
    earlier = fold(event("b", "e1", 0), event("b", "e2", 9), event("d", "e3", 5))
    rows = fold(event("c", "e4", 7), onto=earlier, cutoff=date(2017, 1, 11)).to_pylist()
    silent = [row | {"cutoff": CUTOFF} for row in rows if row["user_id"] != "c"]

    assert [row["user_id"] for row in rows] == ["b", "c", "d"]
    assert silent == earlier.to_pylist()


def test_words_that_no_event_uses_any_more_are_forgotten():
    """Else the dictionary of a file would grow from night to night."""
    rows = fold(event("u", "e1", 0, item="old"), max_events=1)
    rows = fold(event("u", "e2", 1, item="new"), onto=rows, max_events=1).combine_chunks()

    assert rows["item_ids"].chunk(0).values.dictionary.to_pylist() == ["new"]


@pytest.mark.parametrize("earlier", [no_rows(), fold(event("u", "e", 0))], ids=["none", "some"])
def test_rows_are_those_of_the_table(earlier):
    """Its columns and, once the dictionaries are spelled out, its types; without an event too."""
    rows = fold_sequences(earlier, no_events(), **OPTIONS)

    assert rows.cast(arrow_schema(SEQUENCES)).num_rows == earlier.num_rows
