"""Ids are text, digit for digit; text that no key may have is set aside with its reason."""

import io
import json
import os
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.tables import EVENTS, QUARANTINE
from jobs.lake.lake import open_lake

from .shop import DAY, SHOP, drop, events, ingest, line, use

pytestmark = pytest.mark.spark

IDS = ["76561198000000001.0", "76561198000000002.0", "1.10", "1.1", "1e3", "1000.0", "-0", "0"]


def reasons(settings):
    rows = open_lake(settings).read_arrow(QUARANTINE).sort_by("line").to_pylist()
    return [row["reason"] for row in rows]


def column(settings, name):
    return sorted(row[name] for row in events(settings).values())


def test_ids_that_differ_by_a_digit_are_different_ids(shop, capsys):
    """Of eight users and events none is another one, and a shop's brand keeps its name."""
    parts = ["user", "basket", "item", "shop"]
    lines = [json.dumps(line(**dict.fromkeys(parts, "@"))).replace('"@"', number) for number in IDS]
    drop(shop, *lines)
    code, said = ingest(shop, capsys)
    found = events(shop).values()

    assert (code, said["events"], said["duplicates"]) == (0, 8, 0)
    for name in ("user_id", "item_id", "session_hint"):
        assert sorted(row[name] for row in found) == sorted(IDS)
    assert sorted(dict(row["properties"])["shop"] for row in found) == sorted(IDS)


BAD = {
    "NUL in user_id": {"user": "a\0b"},
    "NUL in session_hint": {"basket": "a\0b"},
    "control character in item_id": {"item": "so\x1bup"},
    "control character in category": {"category": "SOUP\x9f"},
    "control character in user_id": {"user": "a\nb"},
    "item_id longer than 1,024 bytes": {"item": "é" * 513},
    "session_hint longer than 1,024 bytes": {"basket": "b" * 1025},
    "event_id longer than 1,024 bytes": {"basket": "b" * 600, "item": "i" * 600},
    "lone surrogate in user_id": {"user": "a\ud83d"},
    "lone surrogate in category": {"category": "\udc00"},
    "nested value in user_id": {"user": {"id": 1}},
    "nested value in item_id": {"item": ["soup"]},
    "nested value in amount": {"paid": {"value": 3, "currency": "EUR"}},
    "nested value in event_type": {"what": ["buy"]},
    "nested value in event_time": {"at": {"$date": "2017-07-04T00:13:01-04:00"}},
    "missing item_id": {"item": " "},
}


def test_text_that_no_key_may_have_is_set_aside(shop, capsys, monkeypatch):
    """One NUL in one id would block every later publication to PostgreSQL."""
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_BAD_FRACTION", "1.0")
    drop(shop, line(), *(line(**change) for change in BAD.values()))
    code, said = ingest(shop, capsys)

    assert (code, said["events"], said["quarantined"]) == (0, 1, len(BAD))
    assert reasons(shop) == [*BAD]


def test_text_that_a_shop_may_write_is_taken(shop, capsys):
    """Long ids, marks of direction, joined emojis, two spellings of one letter: all are text."""
    ids = [
        "b" * 1000,
        "a\u200db",
        "\u202eab",
        "👩\u200d👩\u200d👧",
        "é",
        "e\u0301",
        "\ufeffa",
        " a",
    ]
    lines = [line(basket=n, user=text, item=text, category=text) for n, text in enumerate(ids)]
    note = line(basket="note", shop="cut \ud83d", user="u", item="i", category=None)
    nested = '{"aisle": 1.10}'
    kept = json.dumps(line(basket="kept", shop="@", user="u", item="i")).replace('"@"', nested)
    drop(shop, *lines, note, kept)
    code, _ = ingest(shop, capsys)
    found = events(shop)
    shops = {name: dict(row["properties"])["shop"] for name, row in found.items()}

    assert code == 0
    assert column(shop, "user_id") == sorted([*ids, "u", "u"])
    assert (shops["note-i"], shops["kept-i"]) == ("cut \ufffd", nested)


def test_csv_is_held_to_the_same(settings, spark, capsys, monkeypatch):
    """A mark before it, CR line ends; a NUL does not vanish from an id."""
    use(settings, {**SHOP, "format": "csv", "properties": []}, monkeypatch)
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_BAD_FRACTION", "1.0")
    head = "\ufeffuser,basket,item,what,at,category,quantity,paid,_corrupt_line,other,other"
    row = "{},{},soup,buy,2017-07-04T00:13:01-04:00,SOUP,2,3.0,x,1,2"
    rows = [("00123", "1.10"), ("a\0b", "2"), ("\0", "3"), ("x", "4\x1b"), ("123", "1.1")]
    rows += [("x", '"5\x1b"'), (" x\t", "6")]
    text = "\r".join([head, *(row.format(*pair) for pair in rows)])
    file = settings.raw_folder / f"ingest_date={DAY}" / "log.csv"
    file.parent.mkdir(parents=True)
    file.write_text(text, newline="")
    code, said = ingest(settings, capsys)

    assert code == 0, said
    assert sorted(events(settings)) == ["1.1-soup", "1.10-soup", "6-soup"]
    assert column(settings, "user_id") == ["00123", "123", "x"]
    assert reasons(settings) == [
        "NUL in user_id",
        "control character at the edge of a field",
        "control character at the edge of a field",
        "control character in session_hint",
    ]


def test_parquet_is_held_to_the_same(settings, spark, capsys, monkeypatch):
    """A path into a struct; a float that may have been rounded is nobody's id."""
    paths = {"user_id": "user.id", "format": "parquet", "properties": ["shop"]}
    use(settings, {**SHOP, **paths}, monkeypatch)
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_BAD_FRACTION", "1.0")
    users = [7.0, 7.6561198e16, 2.0**53 - 1, None, 9.0, 10.0]
    rows = [
        {**line(user={"id": user}, basket=str(n)), "shop": {"aisle": 1}, "quantity": 2.0**53}
        for n, user in enumerate(users)
    ]
    rows[4]["item"], rows[5]["category"] = "so\0up", b"caf\xe9"
    table = pa.Table.from_pylist([{**row, "category": None, "quantity": None} for row in rows])
    raw = pa.array([b"SOUP", b"SOUP", b"SOUP", b"SOUP", b"SOUP", b"caf\xe9"])
    unchecked = pa.StringArray.from_buffers(6, raw.buffers()[1], raw.buffers()[2])
    table = table.set_column(table.schema.get_field_index("category"), "category", unchecked)
    table = table.set_column(
        table.schema.get_field_index("quantity"), "quantity", pa.array([1.0] * 6, pa.float32())
    )
    file = settings.raw_folder / f"ingest_date={DAY}" / "log.parquet"
    file.parent.mkdir(parents=True)
    pq.write_table(table, file)
    code, said = ingest(settings, capsys)

    assert code == 0, said
    assert column(settings, "user_id") == ["7", "9007199254740991"]
    assert reasons(settings) == [
        "inexact number in user_id",
        "missing user_id",
        "NUL in item_id",
        "text that is not UTF-8 in category",
    ]


def test_a_path_of_a_mapping_leads_into_the_lines(settings, spark, capsys, monkeypatch):
    """A wrong one is named beside those that there are."""
    use(settings, {**SHOP, "user_id": "user.id"}, monkeypatch)
    drop(settings, json.dumps(line(user={"id": "@", "name": "x"})).replace('"@"', "1.10"))
    code, _ = ingest(settings, capsys)
    use(settings, {**SHOP, "user_id": "user.key"}, monkeypatch)
    wrong, said = ingest(settings, capsys)

    assert (code, wrong) == (0, 3)
    assert column(settings, "user_id") == ["1.10"]
    assert said["message"] == (
        f"{settings.raw_folder}: found the columns at, basket, category, item, paid, quantity, "
        "shop, user.id, user.name, what, expected also user.key. "
        f"Correct the mapping in {settings.source_file.with_name('shop.yaml')}, "
        "or ask the collector for the column."
    )


def test_an_archive_is_refused_by_its_name(shop, capsys):
    """Read as lines, it would lose a record a member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        data = json.dumps(line()).encode() + b"\n"
        member = tarfile.TarInfo("log.jsonl")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    file = shop.raw_folder / f"ingest_date={DAY}" / "log.jsonl"
    file.parent.mkdir(parents=True)
    file.write_bytes(out.getvalue())
    code, said = ingest(shop, capsys)

    assert code == 3
    assert said["message"] == (
        f"{shop.raw_folder}/ingest_date=2017-07-04/log.jsonl: found a tar archive, "
        "expected lines of text, plain or packed by gzip, zstd, bzip2, xz or LZ4. "
        "Nothing was committed. Unpack it into the day's folder, then run this again."
    )
    assert open_lake(shop).partitions(EVENTS) == []


def test_damaged_files_and_names_are_refused(shop, capsys):
    """A power cut leaves zeros where lines were; a name that is no text can stand in no table."""
    drop(shop, *(line(item=f"i{n}") for n in range(1_000)), bytes(500_000), name="log.jsonl")
    cut, said_of_cut = ingest(shop, capsys)
    folder = shop.raw_folder / f"ingest_date={DAY}"
    (folder / os.fsdecode(b"\xff.jsonl")).touch()
    named, said_of_name = ingest(shop, capsys)

    assert (cut, named) == (3, 3)
    assert said_of_cut["message"] == (
        f"{folder}/log.jsonl: found a run of NUL bytes, as a power cut leaves it, "
        "expected lines of text, plain or packed by gzip, zstd, bzip2, xz or LZ4. "
        "Nothing was committed. Ask the collector for the file again, then run this again."
    )
    assert said_of_name["message"].startswith(f"{folder}: found a name that is not UTF-8: b'")
    assert open_lake(shop).partitions(EVENTS) == []


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            "user,basket,item,what,at,category,quantity,paid,shop,user",
            "found more than one column user, "
            "expected one column of each name that {mapping} uses. "
            "Nothing was committed. Ask the collector for different names.",
        ),
        (
            "us\rer,basket",
            "found a file that cannot be read to its end (its first line is no header of CSV), "
            "expected a whole file. "
            "Nothing was committed. Ask the collector for the file again, then run this again.",
        ),
        (
            "x" * 2_000_000,
            "found a file that cannot be read to its end (its first line is longer than "
            "1,048,576 bytes), expected a whole file. "
            "Nothing was committed. Ask the collector for the file again, then run this again.",
        ),
    ],
    ids=["twice", "carriage return", "too long"],
)
def test_a_header_that_cannot_be_read_is_no_traceback(
    settings, spark, capsys, monkeypatch, head, message
):
    """Which of two columns is meant, nobody can say."""
    use(settings, {**SHOP, "format": "csv"}, monkeypatch)
    drop(settings, head, "1,2", name="log.csv")
    code, said = ingest(settings, capsys)
    mapping = settings.source_file.with_name("shop.yaml")

    assert code == 3
    assert said["message"] == (
        f"{settings.raw_folder}/ingest_date=2017-07-04/log.csv: {message.format(mapping=mapping)}"
    )
