"""A mapping is read once, typed, and a mistake in it is named with its file and key."""

import pytest
import yaml

from contracts.errors import ConfigError, UnknownKeyError
from jobs.settings import PROJECT
from jobs.sources import IdFromColumns, IdFromContent, IsoTime, NaiveTime, load_source

SOURCES = sorted((PROJECT / "configs" / "sources").glob("*.yaml"))
SMALLEST = {
    "format": "jsonl",
    "event_id": {"columns": ["id"]},
    "user_id": "user",
    "item_id": "item",
    "event_type": {"constant": "purchase"},
    "event_time": {"column": "at", "format": "iso8601"},
}


def written(tmp_path, **changes):
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump({**SMALLEST, **changes}))
    return file


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.stem)
def test_every_mapping_that_is_shipped_can_be_read(file):
    """And names at least the columns that make an event."""
    source = load_source(file)

    assert {source.user_id, source.item_id, source.event_time.column} <= {*source.columns}


def test_the_shipped_mappings_are_found():
    assert {"complete_journey", "jsonl", "rees46"} <= {file.stem for file in SOURCES}


def test_each_form_has_a_type_of_its_own(tmp_path):
    """What a form does not know cannot be written into it."""
    naive = {"column": "at", "format": "naive", "zone": "Europe/Berlin"}
    smallest = load_source(written(tmp_path))
    other = load_source(written(tmp_path, event_id={"content": True}, event_time=naive))

    assert isinstance(smallest.event_id, IdFromColumns)
    assert isinstance(smallest.event_time, IsoTime)
    assert isinstance(other.event_id, IdFromContent)
    assert isinstance(other.event_time, NaiveTime)


def test_a_column_that_is_named_twice_is_read_once(tmp_path):
    source = load_source(written(tmp_path, session_hint="id", properties=["item", "shop"]))

    assert source.columns == ["user", "item", "at", "id", "shop"]


def test_an_unknown_key_is_named(tmp_path):
    file = written(tmp_path, qantity="q")

    with pytest.raises(UnknownKeyError) as refused:
        load_source(file)
    assert str(refused.value).startswith(
        f"{file}: found the key 'qantity', expected one of amount,"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"format": "xml"},
            "format: found 'xml', expected input should be 'jsonl' or 'csv'.",
        ),
        (
            {"event_time": {"column": "at", "format": "naive", "zone": "Berlin"}},
            "event_time: found 'Berlin' at naive.zone, "
            "expected value error, a name of the IANA time zone database.",
        ),
        (
            {"event_time": {"column": "at", "format": "iso8601", "zone": "UTC"}},
            "event_time: found 'UTC' at iso8601.zone, expected extra inputs are not permitted.",
        ),
        ({"user_id": None}, "user_id: found None, expected input should be a valid string."),
    ],
)
def test_a_wrong_value_is_named_with_its_place(tmp_path, changes, message):
    file = written(tmp_path, **changes)

    with pytest.raises(ConfigError) as refused:
        load_source(file)
    assert str(refused.value) == (
        f"{file}: {message} Correct the mapping; configs/sources/jsonl.yaml shows every form."
    )


def test_a_mapping_that_is_not_there_is_named_with_those_that_are(tmp_path):
    written(tmp_path)

    with pytest.raises(ConfigError) as refused:
        load_source(tmp_path / "shoop.yaml")
    assert str(refused.value) == (
        f"{tmp_path}/shoop.yaml: found no such file, expected a mapping; there are shop. "
        "Correct `source` in the configuration, or write the mapping."
    )
