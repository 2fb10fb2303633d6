"""Sequences night by night, against a rebuild from all events and against plain Python."""

import itertools
from datetime import UTC, date, datetime, timedelta
from math import isnan

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from contracts.tables import EVENTS
from jobs.histories.fold_sequences import COLUMNS, fold_sequences, no_events, no_rows
from jobs.lake.column_types import arrow_schema

from .real_logs import complete_journey
from .reference import Event, latest

START = date(2017, 1, 1)
DAYS = 90  # longer than any gap or history: some users are never heard of again
OPTIONS = {"max_events": 3, "gap_minutes": 30, "money": "net"}
TEXTS = {0.1: "red shoes", 19.99: "a review"}  # of the amounts that come with words
KINDS = ["purchase", "view", "return"]
HANDFUL = [0, 0, 0, 1, 2, 40]  # days late


@st.composite
def user_logs(draw):
    """What one user did: ties, ids that come again, out of order, late by days or by weeks."""
    came = st.tuples(
        st.sampled_from([0, 1, 2, 3, 30, 60, 89]),  # day
        st.sampled_from([0, 0, 30, 31, 1439]),  # minute
        st.integers(0, 9),  # event_id
        st.sampled_from(HANDFUL),
        st.sampled_from([None, -1.25, 0.1, 0.7, 19.99, 1e9]),
    )
    return draw(st.lists(came, min_size=1, max_size=9))


@examples(max_examples=100, deadline=None)
@given(
    logs=st.lists(user_logs(), min_size=15, max_size=15),
    nights=st.sets(st.sampled_from([1, 2, 3, 4, 31, 32, 61, 88]), min_size=1, max_size=4),
)
def test_night_by_night_equals_all_at_once(logs, nights):
    """Whatever the nights: every column of every row, and the lifetime of who is long silent."""
    log = [
        Event(
            user_id=f"u{user}",
            event_time=datetime(2017, 1, 1, tzinfo=UTC) + timedelta(days=day, minutes=minute),
            event_id=f"e{number}",
            session_hint=None,
            item_id=f"i{number}",
            event_type=KINDS[number % len(KINDS)],
            amount=amount,
            ingest_date=START + timedelta(days=min(day + late, DAYS - 1)),
        )
        for user, mine in enumerate(logs)
        for day, minute, number, late, amount in mine
    ]
    cutoffs = [START + timedelta(days=n) for n in sorted(nights | {DAYS})]
    schema = arrow_schema(EVENTS, [*COLUMNS, "ingest_date"])
    unsaid = {"category": "c", "quantity": 1.0}
    said = [event._asdict() | unsaid | {"text": TEXTS.get(event.amount)} for event in log]
    events = pa.Table.from_pylist(said, schema=schema)
    chained = night_by_night(events, cutoffs, **OPTIONS)
    nights = nights_apart(events, cutoffs, **OPTIONS)
    first, *others = nights
    in_turn = fold_rows(fold_rows(first, *others[:2], **OPTIONS), *others[2:], **OPTIONS)
    whole = by_user(fold_sequences(no_rows(), events, cutoff=cutoffs[-1], **OPTIONS))
    expected = latest(log, OPTIONS["max_events"])

    assert by_user(chained) == whole
    assert by_user(fold_rows(*nights, **OPTIONS)) == whole
    assert by_user(fold_rows(*reversed(nights), **OPTIONS)) == whole
    assert by_user(in_turn) == whole
    assert {user: row["event_ids"] for user, row in whole.items()} == {
        user: row["event_ids"] for user, row in expected.items()
    }
    for user, row in whole.items():
        assert lifetime(row) == lifetime(expected[user])


@pytest.mark.exact
@pytest.mark.timeout(1800)
def test_a_year_of_real_receipts_in_five_nights_equals_all_at_once():
    """Every column of every household's row: `make exact`."""
    log = complete_journey()
    events = log.append_column("category", pc.utf8_slice_codeunits(log["item_id"], 0, 2))
    options = {"max_events": 500, "gap_minutes": 30, "money": "net"}
    cutoffs = [date(2017, month, 2) for month in (2, 6, 10, 12)] + [date(2018, 1, 2)]
    chained = by_user(night_by_night(events, cutoffs, **options))
    apart = pa.concat_tables(nights_apart(events, cutoffs, **options))
    folded = by_user(fold_sequences(apart, no_events(), cutoff=cutoffs[-1], **options))
    whole = by_user(fold_sequences(no_rows(), events, cutoff=cutoffs[-1], **options))
    print(f"{len(events):,} events, {len(whole):,} users")

    assert len(whole) > 2_000
    assert chained == folded == whole


def night_by_night(events, cutoffs, **options):
    """From nothing to the first cutoff, then from each to the next."""
    sequences = no_rows()
    for cutoff, new in new_events(events, cutoffs):
        sequences = fold_sequences(sequences, new, cutoff=cutoff, **options)
    return sequences


def nights_apart(events, cutoffs, **options):
    """The rows of each night's events alone."""
    return [
        fold_sequences(no_rows(), new, cutoff=cutoff, **options)
        for cutoff, new in new_events(events, cutoffs)
    ]


def fold_rows(*rows, **options):
    """Rows of many cutoffs, as of the last of all."""
    cutoff = START + timedelta(days=DAYS)
    return fold_sequences(pa.concat_tables(rows), no_events(), cutoff=cutoff, **options)


def new_events(events, cutoffs):
    """What came between each cutoff and the one before."""
    for before, cutoff in itertools.pairwise([date.min, *cutoffs]):
        day = pc.field("ingest_date")
        yield cutoff, events.filter((day >= pa.scalar(before)) & (day < pa.scalar(cutoff)))


def by_user(sequences):
    return {row["user_id"]: comparable(row) for row in sequences.to_pylist()}


def comparable(row):
    """An unknown amount is nan, which no nan equals."""
    return {**row, "amounts": [None if isnan(amount) else amount for amount in row["amounts"]]}


def lifetime(row):
    times = [row[name].astimezone(UTC) for name in ("first_event_time", "last_event_time")]
    return row["lifetime_events"], row["lifetime_spend"], *times
