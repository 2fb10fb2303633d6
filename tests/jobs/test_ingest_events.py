"""From raw files to events and quarantine: every line accounted for, nothing half-committed."""

import json
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from contracts.tables import EVENTS, QUARANTINE
from contracts.windows import Window, one_day
from jobs.lake.lake import open_lake

from .shop import DAY, LINE, SHOP, as_bytes, drop, events, ingest, line, use

pytestmark = pytest.mark.spark


def test_a_line_becomes_the_event_that_the_mapping_says(shop, capsys):
    """Ids keep their digits, times become UTC, price follows from amount and quantity."""
    drop(shop, line(), line(item="bread", quantity=0, category=None, shop=...))
    code, said = ingest(shop, capsys)
    found = events(shop)
    soup, bread = found["31198570044-soup"], found["31198570044-bread"]

    assert (code, said["lines"], said["events"]) == (0, 2, 2)
    assert soup == {
        "event_id": "31198570044-soup",
        "user_id": "1",
        "item_id": "soup",
        "event_type": "purchase",
        "event_time": datetime(2017, 7, 4, 4, 13, 1, tzinfo=ZoneInfo("UTC")),
        "category": "SOUP",
        "price": 1.5,
        "quantity": 2.0,
        "amount": 3.0,
        "session_hint": "31198570044",
        "text": None,
        "properties": [("shop", "7")],
        "ingest_date": DAY,
    }
    assert (bread["quantity"], bread["amount"], bread["price"]) == (0.0, 3.0, None)
    assert (bread["category"], bread["properties"]) == (None, [])


def test_the_words_of_an_event_are_kept_without_the_blanks_around_them(shop, capsys, monkeypatch):
    """What says nothing is no text: a line of blanks is as one without."""
    use(shop, {**SHOP, "text": "search"}, monkeypatch)
    said = {"soup": "  Tomato soup ", "bread": "   ", "milk": ..., "eggs": "Eier\u00a0bio"}
    drop(shop, *(line(item=item, search=text) for item, text in said.items()))

    code, _ = ingest(shop, capsys)
    found = {event["item_id"]: event["text"] for event in events(shop).values()}

    assert code == 0
    assert found == {"soup": "Tomato soup", "bread": None, "milk": None, "eggs": "Eier\u00a0bio"}


BAD = {
    "unreadable line": ['{"user": 1, "basket"', "", '"text"', 2 * json.dumps(LINE)],
    "not UTF-8": [b'{"user": "caf\xe9"}'],
    "missing event_id": [line(basket=None)],
    "missing user_id": [line(user=""), line(item="x", user=...)],
    "missing event_time": [line(at=None)],
    "unreadable event_time": [line(at="yesterday"), line(at="2017-07-04T00:13:01")],
    "unknown event_type": [line(what="stare"), line(what=None)],
    "unreadable quantity": [line(quantity="two"), line(quantity="NaN"), line(quantity=1e13)],
    "event_time after its ingestion day": [line(at="2017-07-06T00:00:00-04:00")],
    "event_time before 1970": [line(at="1969-12-31T23:59:59Z")],
}


def test_what_cannot_be_an_event_is_kept_with_its_reason(shop, capsys, monkeypatch):
    """Each bad line says why, where it came from, and what it was; the good one is untouched."""
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_BAD_FRACTION", "1.0")
    bad = [(reason, text) for reason, texts in BAD.items() for text in texts]
    at_the_edge = line(item="edge", at="2017-07-05T23:59:59-04:00")
    drop(shop, *(text for _, text in bad), line(), at_the_edge)
    code, said = ingest(shop, capsys)
    kept = open_lake(shop).read_arrow(QUARANTINE).sort_by("line").to_pylist()

    assert code == 0
    assert [row["reason"] for row in kept] == [reason for reason, _ in bad]
    assert [row["line"] for row in kept] == list(range(1, len(bad) + 1))
    assert {row["source"] for row in kept} == {f"ingest_date={DAY}/part-0.jsonl.gz"}
    assert [row["raw"] for row in kept] == [as_bytes(text) for _, text in bad]
    assert sorted(events(shop)) == ["31198570044-edge", "31198570044-soup"]
    assert said["reasons"] == {reason: len(texts) for reason, texts in sorted(BAD.items())}
    assert said["lines"] == said["events"] + said["quarantined"] + said["duplicates"]


def test_an_id_of_several_columns_is_of_no_other_values(shop, capsys):
    """Whatever stands in them: they are joined so that they could be taken apart again."""
    values = [("1-a", "b"), ("1", "a-b"), ("1\\", "b"), ("1", "\\-b"), ("1", "b")]
    drop(shop, *(line(basket=basket, item=item) for basket, item in values))
    _, said = ingest(shop, capsys)

    assert (said["events"], said["duplicates"]) == (len(values), 0)
    assert sorted(events(shop)) == sorted(["1\\-a-b", "1-a\\-b", "1\\\\-b", "1-\\\\\\-b", "1-b"])


def test_an_event_that_comes_twice_is_taken_once(shop, capsys, monkeypatch):
    """In a load, the first line counts; after it, what earlier days hold counts, for a while."""
    monkeypatch.setenv("NIGHTSHIFT__INGEST__DEDUPE_DAYS", "2")
    drop(shop, line(paid=1.0), line(paid=9.0))
    _, first = ingest(shop, capsys)
    for days in (2, 3):
        day = DAY + timedelta(days=days)
        drop(shop, line(paid=5.0, at=f"{day}T09:00:00Z"), line(item=f"new{days}"), day=day)
    since = str(DAY + timedelta(days=2))
    _, second = ingest(shop, capsys, "--since", since, cutoff=DAY + timedelta(days=3))
    _, third = ingest(shop, capsys, cutoff=DAY + timedelta(days=4))

    assert (first["events"], first["duplicates"]) == (1, 1)
    assert (second["events"], second["duplicates"]) == (1, 1)
    assert (third["events"], third["duplicates"]) == (2, 0)  # three days later: another event
    assert events(shop, window=one_day(DAY))["31198570044-soup"]["amount"] == 1.0


def test_days_loaded_together_have_the_duplicates_of_days_loaded_one_by_one(
    shop, capsys, monkeypatch
):
    """Also where an id comes again after `dedupe_days`, when it is another event."""
    monkeypatch.setenv("NIGHTSHIFT__INGEST__DEDUPE_DAYS", "1")
    days = [DAY + timedelta(days=n) for n in range(3)]
    for n, day in enumerate(days):
        at = f"{day}T09:00:00Z"
        drop(shop, line(paid=1.0 + n, at=at), line(item=f"new{n}", at=at), day=day)
    nightly = [ingest(shop, capsys, cutoff=day + timedelta(days=1))[1] for day in days]
    one_by_one = open_lake(shop).read_arrow(EVENTS).to_pylist()
    _, bulk = ingest(shop, capsys, "--since", str(DAY), cutoff=days[-1] + timedelta(days=1))
    together = open_lake(shop).read_arrow(EVENTS).to_pylist()

    assert [said["duplicates"] for said in nightly] == [0, 1, 0]
    assert (bulk["events"], bulk["duplicates"]) == (5, 1)
    assert sorted(together, key=repr) == sorted(one_by_one, key=repr)


def test_every_file_is_counted_for_itself(shop, capsys, monkeypatch):
    """Lines = events + duplicates + quarantined in each, an empty one included."""
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_BAD_FRACTION", "1.0")
    drop(shop, line(), line(), line(user=None), name="a.jsonl")
    drop(shop, line(), line(item="b"), "broken", name="b.jsonl.gz")
    drop(shop, name="c.jsonl")
    _, said = ingest(shop, capsys)
    a, b, c = (
        said["files"][f"ingest_date={DAY}/{name}"] for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl")
    )
    none = {"unknown_users": 0, "altered": 0, "doubled_hours": 0, "missing_hours": 0}
    one_of_each = {"lines": 3, "events": 1, "duplicates": 1, "quarantined": 1, **none}
    sums = {"lines": 6, "events": 2, "duplicates": 2, "quarantined": 2, **none}

    assert a == {**one_of_each, "reasons": {"missing user_id": 1}}
    assert b == {**one_of_each, "reasons": {"unreadable line": 1}}
    assert c == {**dict.fromkeys(one_of_each, 0), "reasons": {}}
    assert {name: said[name] for name in sums} == sums
    facts = open_lake(shop).require(EVENTS, DAY, producer="this").facts
    assert facts == {name: str(count) for name, count in sums.items()}


def test_a_robots_day_is_set_aside_and_is_not_bad(shop, capsys, monkeypatch):
    """All its events, of that day only, with their bytes; it takes nobody else down with it."""
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_EVENTS_PER_USER_DAY", "2")
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_BAD_FRACTION", "0")
    robot = [line(user="r", item=f"i{n}") for n in range(3)]
    calm = [line(user="r", item="before", at="2017-07-03T23:59:59-04:00"), line(), line(item="b")]
    drop(shop, *robot, robot[0], *calm)
    code, said = ingest(shop, capsys)
    kept = open_lake(shop).read_arrow(QUARANTINE).sort_by("line").to_pylist()

    assert (code, said["lines"], said["events"], said["duplicates"]) == (0, 7, 3, 1)
    assert said["reasons"] == {"user above max_events_per_user_day": 3}
    assert [(row["line"], row["raw"]) for row in kept] == [
        (n, as_bytes(text)) for n, text in enumerate(robot, start=1)
    ]
    assert sorted(row["item_id"] for row in events(shop).values()) == ["b", "before", "soup"]


def test_a_night_that_is_repeated_has_the_same_rows(shop, capsys):
    """Ingesting in bulk, again, or from files in another order gives an equal content hash."""
    later = DAY + timedelta(days=1)
    drop(shop, line(), line(item="a"))
    drop(shop, line(item="b"), day=later)
    _, bulk = ingest(shop, capsys, "--since", str(DAY), cutoff=later + timedelta(days=1))
    _, again = ingest(shop, capsys, "--since", str(DAY), cutoff=later + timedelta(days=1))
    _, one = ingest(shop, capsys, cutoff=later)

    assert bulk["tables"]["events"]["content_hash"] == again["tables"]["events"]["content_hash"]
    assert bulk["run_key"] != again["run_key"]
    assert one["events"] == 2
    assert len(events(shop)) == 3
    assert open_lake(shop).partitions(EVENTS) == Window(DAY, later + timedelta(days=1)).days


def test_csv_files_are_read_by_their_own_headers(settings, spark, capsys, monkeypatch):
    """Columns may stand in another order in another file; an equal line is the same event.

    However lines end. What has more cells than the parser can count is unreadable.
    """
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_BAD_FRACTION", "1.0")
    mapping = {
        "format": "csv",
        "event_id": {"content": True},
        "user_id": "user",
        "item_id": "item",
        "event_type": {"constant": "view"},
        "event_time": {"column": "at", "format": "naive", "zone": "America/New_York"},
        "price": "price",
    }
    use(settings, mapping, monkeypatch)
    first = "1,soup,2017-07-04 00:00:00,1.25"
    drop(settings, "user,item,at,price", first, '2,"a, b",2017-07-04 01:00,', name="a.csv")
    drop(settings, "user,item,at,price\r", f"{first}\r", "," * 30_000, name="c.csv")
    drop(settings, "price,at,item,user", "3,2017-07-04 02:00:00,c,3", name="b.csv.gz")
    code, said = ingest(settings, capsys)
    found = {row["item_id"]: row for row in events(settings).values()}

    assert (code, said["lines"], said["duplicates"]) == (0, 5, 1)
    assert said["reasons"] == {"unreadable line": 1}
    assert sorted(found) == ["a, b", "c", "soup"]
    assert (found["soup"]["price"], found["soup"]["amount"]) == (1.25, 1.25)
    assert found["soup"]["event_time"] == datetime(2017, 7, 4, 4, tzinfo=ZoneInfo("UTC"))
    assert found["a, b"]["price"] is None


def test_what_no_sum_could_hold_is_no_amount(settings, spark, capsys, monkeypatch):
    """Also where each of its factors is possible. The price of next to nothing is unknown."""
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_BAD_FRACTION", "1.0")
    use(settings, {**SHOP, "price": "paid", "amount": None}, monkeypatch)
    drop(settings, line(paid=1e12, quantity=1e12), line(item="ok"))
    _, said = ingest(settings, capsys)
    later = DAY + timedelta(days=1)
    use(settings, SHOP, monkeypatch)
    drop(settings, line(item="crumb", quantity=1e-300), day=later)
    ingest(settings, capsys, cutoff=later + timedelta(days=1))

    assert said["reasons"] == {"amount too large": 1}
    assert events(settings)["31198570044-crumb"]["price"] is None


@pytest.mark.parametrize(
    ("form", "text"), [("epoch_s", 1499141581), ("epoch_ms", "1499141581000.0")]
)
def test_epochs_are_instants(settings, spark, capsys, monkeypatch, form, text):
    use(settings, {**SHOP, "event_time": {"column": "at", "format": form}}, monkeypatch)
    drop(settings, line(at=text))
    ingest(settings, capsys)

    found = events(settings)["31198570044-soup"]["event_time"]
    assert found == datetime(2017, 7, 4, 4, 13, 1, tzinfo=ZoneInfo("UTC"))
