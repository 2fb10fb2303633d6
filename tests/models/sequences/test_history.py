"""`Histories`: what is kept before an instant, and the totals that go with it."""

from datetime import date

import pyarrow as pa

from contracts.windows import instant
from models.sequences.history import Histories


def test_only_events_strictly_before_an_instant_are_kept(sequences, zone):
    """An event at the instant itself is not seen, and totals are those of what is."""
    table = sequences(
        [
            ("u", "2017-03-01T23:59:59", "apple", 2.0),
            ("u", "2017-03-02T00:00:00", "bread", 3.0),
            ("v", "2017-03-05T10:00:00", "apple", 1.0),
        ]
    )

    before = Histories.from_arrow(table).before(instant(date(2017, 3, 2), zone))

    assert before.item_ids[before.item_codes].tolist() == ["apple"]
    assert before.lifetime_events.tolist() == [1, 0]
    assert before.lifetime_spend.tolist() == [2.0, 0.0]
    assert before.has_history.tolist() == [True, False]
    assert len(before) == 2


def test_lifetime_totals_of_a_cut_row_lose_only_what_came_later(sequences, zone):
    """Events that were cut off at the old end still count in what was ever seen."""
    events = [("u", f"2017-03-{day:02d}T10:00:00", "apple", 1.0) for day in range(1, 11)]
    cut = Histories.from_arrow(sequences(events, max_events=4))

    before = cut.before(instant(date(2017, 3, 9), zone))

    assert before.lifetime_events.tolist() == [8]
    assert before.lifetime_spend.tolist() == [8.0]
    assert not before.is_whole[0]


def basket(day, *items):
    """The lines of one visit, all at one time."""
    return [("u", f"2017-03-{day:02d}T10:00:00", item, 1.0) for item in items]


def items_read(histories):
    return sorted(histories.item_ids[histories.item_codes].tolist())


def test_a_basket_that_the_limit_cuts_is_not_read(sequences):
    """Which of its lines are left is an accident; what is left begins a session."""
    events = [*basket(1, "a", "b", "c"), *basket(2, "d", "e"), *basket(3, "f")]

    cut = Histories.from_arrow(sequences(events, max_events=5))

    assert items_read(cut) == ["d", "e", "f"]
    assert cut.session_starts.tolist() == [True, False, True]
    assert cut.lifetime_events.tolist() == [6]
    assert items_read(Histories.from_arrow(sequences(events, max_events=6))) == list("abcdef")


def test_a_row_cut_by_a_night_reads_as_a_longer_one_cut_on_reading(sequences):
    """What a night scored is what a later evaluation, which has more events, judges."""
    events = [*basket(1, "a", "b"), *basket(2, "c", "d", "e"), *basket(3, "f"), *basket(4, "g")]
    whole = Histories.from_arrow(sequences(events))

    for limit in range(1, 8):
        night = Histories.from_arrow(sequences(events, max_events=limit)).latest(limit)

        assert items_read(whole.latest(limit)) == items_read(night)
        assert whole.latest(limit).session_starts.tolist() == night.session_starts.tolist()


def test_what_comes_after_a_moment_takes_nothing_from_what_was_before(sequences, zone):
    """The only basket left before it is read, as it is without the later event."""
    past = basket(1, "a", "b", "c", "d", "e", "f")
    (later,) = basket(9, "g")
    moment = instant(date(2017, 3, 5), zone)

    alone, among = (
        Histories.from_arrow(sequences(events, max_events=kept), before=moment)
        for events, kept in ((past, 4), ([*past, later], 5))
    )

    assert items_read(alone) == items_read(among) == ["c", "d", "e", "f"]


def test_a_basket_larger_than_the_limit_is_read_as_far_as_it_is_kept(sequences):
    """Else nothing would be known of its user."""
    events = [*basket(1, "a"), *basket(2, "b", "c", "d")]

    assert len(items_read(Histories.from_arrow(sequences(events, max_events=2)))) == 2


def test_words_stay_with_their_events_when_others_are_cut_off(sequences, zone):
    """Of a user before them in the rows too; a row without any text is one of empty texts."""
    rows = sequences(
        [
            ("u", "2017-03-01T10:00:00", "apple", 2.0),
            ("u", "2017-03-05T10:00:00", "bread", 3.0),
            ("v", "2017-03-01T10:00:00", "apple", 1.0),
            ("w", "2017-03-01T10:00:00", "apple", 1.0),
        ]
    )
    place = rows.schema.get_field_index("texts")
    texts = pa.array([["", "late"], None, ["red shoes"]], pa.list_(pa.string()))
    histories = Histories.from_arrow(rows.set_column(place, rows.schema.field(place), texts))

    before = histories.before(instant(date(2017, 3, 2), zone))

    assert histories.texts[histories.text_codes].tolist() == ["", "late", "", "red shoes"]
    assert before.texts[before.text_codes].tolist() == ["", "", "red shoes"]


def test_a_record_batch_reads_as_the_table(sequences):
    """Executors get record batches, programs get tables: both are the same rows."""
    table = sequences([("u", "2017-03-01T10:00:00", "apple", 1.0), ("v", "2017-03-01", "b", 1.0)])
    (batch,) = table.slice(1).to_batches()

    from_batch, from_table = Histories.from_arrow(batch), Histories.from_arrow(table.slice(1))

    assert from_batch.user_ids.tolist() == from_table.user_ids.tolist() == ["v"]
    assert from_batch.times.tolist() == from_table.times.tolist()
    assert from_batch.item_ids[from_batch.item_codes].tolist() == ["b"]
