"""A delivery that comes again, however much later: its events are taken once, and it is named."""

from datetime import timedelta

import pytest

from contracts.tables import EVENTS, RAW_FILES
from contracts.windows import one_day
from jobs.lake.lake import open_lake
from tests.jobs.shop import DAY, SHOP, drop, events, ingest, line, use

pytestmark = pytest.mark.spark

MONTH = timedelta(days=30)
LINES = [line(item=f"i{n}") for n in range(5)]


def night(shop, capsys, day):
    return ingest(shop, capsys, "--since", str(day), cutoff=day + timedelta(days=1))


def on(day, **changes):
    return line(at=f"{day}T10:00:00-04:00", basket=f"b{day}", **changes)


def files(shop):
    rows = open_lake(shop).read_arrow(RAW_FILES).to_pylist()
    return {row["source"]: row for row in rows}


def test_a_file_that_comes_again_a_month_later_is_known_by_its_content(shop, capsys):
    """Packed anew, under another name; what lies beside it is taken, and its own day stands."""
    later = DAY + MONTH
    drop(shop, *LINES)
    _, first = night(shop, capsys, DAY)
    drop(shop, *LINES, day=later, name="resent.jsonl")
    drop(shop, on(later), day=later, name="new.jsonl")
    code, said = night(shop, capsys, later)
    again = night(shop, capsys, DAY)[1]
    was, now = f"ingest_date={DAY}/part-0.jsonl.gz", f"ingest_date={later}/resent.jsonl"

    assert (code, said["events"], said["duplicates"], said["altered"]) == (0, 1, 5, 0)
    assert said["repeated_files"] == {now: was}
    assert len(events(shop)) == 6
    assert (files(shop)[now]["repeats"], files(shop)[was]["repeats"]) == (was, None)
    assert files(shop)[now]["digest"] == files(shop)[was]["digest"]
    assert (again["events"], again["repeated_files"]) == (5, {})
    assert again["tables"]["events"]["content_hash"] == first["tables"]["events"]["content_hash"]


def test_a_day_that_is_an_old_delivery_is_refused_and_named(shop, capsys, monkeypatch):
    later = DAY + MONTH
    drop(shop, *LINES)
    night(shop, capsys, DAY)
    drop(shop, *LINES, day=later)
    code, said = night(shop, capsys, later)
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_OLD_FRACTION", "1.0")
    accepted, _ = night(shop, capsys, later)

    assert code == 3
    assert said["message"] == (
        f"{shop.raw_folder}/ingest_date=2017-08-03: found nothing new in 5 lines (5 came before; "
        "ingest_date=2017-08-03/part-0.jsonl.gz holds what ingest_date=2017-07-04/part-0.jsonl.gz "
        "held), expected events of this ingestion day. Nothing was committed. "
        "Ask the collector for the day's own files, then run this again; "
        "to accept the day as it is, set ingest.max_old_fraction to 1.0."
    )
    assert accepted == 0
    assert len(events(shop)) == 5


def test_an_old_event_is_known_whatever_file_it_comes_in(shop, capsys):
    """Its id is looked for as far back as it happened, not only in `dedupe_days`."""
    later = DAY + MONTH
    drop(shop, *LINES)
    night(shop, capsys, DAY)
    mixed = [on(later, item=f"n{n}") for n in range(2)]
    drop(shop, *mixed, *LINES[1:], line(item="late"), day=later)
    code, said = night(shop, capsys, later)

    assert (code, said["events"], said["duplicates"]) == (0, 3, 4)
    assert said["repeated_files"] == {}
    assert len(events(shop)) == 8


def test_an_old_delivery_whose_ids_are_others_is_refused(shop, capsys, monkeypatch):
    """A collector that writes its lines in another way gives another hash of each."""
    use(shop, {**SHOP, "event_id": {"content": True}}, monkeypatch)
    later = DAY + MONTH
    drop(shop, *LINES)
    night(shop, capsys, DAY)
    for day in (later - timedelta(days=1), later):
        drop(shop, *(on(day, item=f"i{n}") for n in range(4)), day=day)
        assert night(shop, capsys, day)[0] == 0
    tomorrow = later + timedelta(days=1)
    drop(shop, *(line(item=f"i{n}", extra=1) for n in range(5)), on(tomorrow), day=tomorrow)
    mostly_new, _ = night(shop, capsys, tomorrow)
    drop(shop, *(line(item=f"i{n}", extra=1) for n in range(5)), day=tomorrow)
    code, said = night(shop, capsys, tomorrow)

    assert mostly_new == 0
    assert code == 3
    assert "found nothing new in 5 lines (0 came before, 5 happened long before" in said["message"]


def test_a_late_correction_alone_on_a_quiet_day_is_taken(shop, capsys):
    """It is far less than a day's delivery."""
    later = DAY + MONTH
    drop(shop, *(on(later, item=f"i{n}") for n in range(20)), day=later)
    night(shop, capsys, later)
    tomorrow = later + timedelta(days=1)
    drop(shop, line(item="returned"), day=tomorrow)
    code, said = night(shop, capsys, tomorrow)

    assert (code, said["events"]) == (0, 1)


def test_a_log_that_is_always_delivered_late_is_taken(shop, capsys):
    """By more than `dedupe_days`, each day alone and all of them together."""
    days = [DAY + MONTH + timedelta(days=n) for n in range(3)]
    for day in days:
        drop(shop, *(on(day - MONTH, item=f"i{n}") for n in range(4)), day=day)
    one_by_one = [night(shop, capsys, day) for day in days]
    since, cutoff = str(days[0]), days[-1] + timedelta(days=1)
    code, said = ingest(shop, capsys, "--since", since, cutoff=cutoff)

    assert [(code, said["events"]) for code, said in one_by_one] == 3 * [(0, 4)]
    assert (code, said["events"]) == (0, 12)


def test_a_first_load_may_be_as_old_as_it_is(shop, capsys):
    """A history in one folder, into an empty lake."""
    drop(shop, *LINES, day=DAY + 10 * MONTH)
    code, said = night(shop, capsys, DAY + 10 * MONTH)

    assert (code, said["events"]) == (0, 5)


def test_an_id_that_comes_again_with_other_content_is_counted(shop, capsys):
    """Within the day, and from a day before; the first stands."""
    tomorrow = DAY + timedelta(days=1)
    drop(shop, line(paid=1.0), line(paid=1.0), line(paid=9.0), line(item="b"))
    _, first = night(shop, capsys, DAY)
    drop(shop, line(paid=1.0, category="OTHER"), line(item="b", quantity=3), day=tomorrow)
    drop(shop, on(tomorrow), day=tomorrow, name="new.jsonl")
    _, second = night(shop, capsys, tomorrow)

    assert (first["events"], first["duplicates"], first["altered"]) == (2, 2, 1)
    assert (second["events"], second["duplicates"], second["altered"]) == (1, 2, 1)
    assert events(shop, window=one_day(DAY))["31198570044-soup"]["amount"] == 1.0
    assert open_lake(shop).require(EVENTS, tomorrow, producer="this").facts["altered"] == "1"


def test_days_in_one_load_know_each_others_files(shop, capsys):
    """As day by day: the first day's file counts, the later one is its repeat."""
    later = DAY + timedelta(days=1)
    drop(shop, *LINES)
    drop(shop, *LINES, day=later, name="again.jsonl.gz")
    drop(shop, on(later), day=later)
    night(shop, capsys, DAY)
    _, one = night(shop, capsys, later)
    one_by_one = open_lake(shop).read_arrow(EVENTS).to_pylist()
    _, bulk = ingest(shop, capsys, "--since", str(DAY), cutoff=later + timedelta(days=1))
    together = open_lake(shop).read_arrow(EVENTS).to_pylist()

    assert one["repeated_files"] == bulk["repeated_files"]
    assert list(bulk["repeated_files"]) == [f"ingest_date={later}/again.jsonl.gz"]
    assert sorted(together, key=repr) == sorted(one_by_one, key=repr)


def test_what_was_quarantined_at_first_is_taken_when_its_file_comes_again(
    shop, capsys, monkeypatch
):
    """The lake never held it. Day by day and in one load; a third file then repeats the second."""
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_BAD_FRACTION", "1.0")
    days = [DAY + timedelta(days=n) for n in range(0, 6, 2)]
    early = on(days[1])  # its clock ran ahead: after its ingestion day
    for day in days:
        drop(shop, *LINES[:2], early, day=day)
        drop(shop, on(day, item="own"), day=day, name="own.jsonl")
    said = [
        ingest(shop, capsys, "--since", str(day), cutoff=day + timedelta(days=1))[1] for day in days
    ]
    one_by_one = open_lake(shop).read_arrow(EVENTS).to_pylist()
    monkeypatch.setenv("NIGHTSHIFT__INGEST__ALLOW_EMPTY_DAYS", "true")
    for day in days[:-1]:
        (shop.raw_folder / f"ingest_date={day + timedelta(days=1)}").mkdir()
        drop(shop, day=day + timedelta(days=1))
    cutoff = days[-1] + timedelta(days=1)
    _, bulk = ingest(shop, capsys, "--since", str(DAY), cutoff=cutoff)
    together = open_lake(shop).read_arrow(EVENTS).to_pylist()
    third, second = (f"ingest_date={day}/part-0.jsonl.gz" for day in (days[2], days[1]))

    assert [(one["events"], one["duplicates"], one["quarantined"]) for one in said] == [
        (3, 0, 1),
        (2, 2, 0),
        (1, 3, 0),
    ]
    assert [one["repeated_files"] for one in said] == [{}, {}, {third: second}]
    assert bulk["repeated_files"] == {third: second}
    assert (bulk["lines"], bulk["events"], bulk["duplicates"]) == (12, 6, 5)
    assert sorted(together, key=repr) == sorted(one_by_one, key=repr)


def test_a_digest_of_a_run_that_was_killed_hides_no_delivery(shop, capsys, monkeypatch):
    """Recorded, but without its events: the same file on a later day is new."""
    later = DAY + MONTH
    drop(shop, *LINES)
    commit = type(open_lake(shop)).commit

    def kill_at_events(lake, staged, **facts):
        if staged.table is EVENTS:
            raise KeyboardInterrupt
        return commit(lake, staged, **facts)

    monkeypatch.setattr(type(open_lake(shop)), "commit", kill_at_events)
    with pytest.raises(KeyboardInterrupt):
        night(shop, capsys, DAY)
    monkeypatch.undo()
    use(shop, SHOP, monkeypatch)
    drop(shop, *LINES, day=later)
    code, said = night(shop, capsys, later)

    assert len(files(shop)) == 2
    assert (code, said["events"], said["repeated_files"]) == (0, 5, {})


def test_an_article_bought_twice_is_two_events_and_one_delivery(shop, capsys, monkeypatch):
    """Equal lines are separate unless the mapping says else; a second delivery is recognised."""
    mapping = {**SHOP, "event_id": {"content": True}}
    use(shop, mapping, monkeypatch)
    tomorrow = DAY + timedelta(days=1)
    drop(shop, line(), line(item="b"), line())
    _, first = night(shop, capsys, DAY)
    drop(shop, on(tomorrow), line(), line(), day=tomorrow)
    _, second = night(shop, capsys, tomorrow)
    amounts = [row["amount"] for row in events(shop).values() if row["item_id"] == "soup"]
    use(shop, {**mapping, "event_id": {"content": True, "equal_lines": "repeats"}}, monkeypatch)
    _, repeats = night(shop, capsys, DAY)

    assert (first["events"], first["duplicates"]) == (3, 0)
    assert (second["events"], second["duplicates"]) == (1, 2)
    assert amounts == [3.0, 3.0, 3.0]
    assert (repeats["events"], repeats["duplicates"]) == (2, 1)
