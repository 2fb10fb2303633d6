"""A mapping is read once, typed, and a mistake in it is named with its file and key."""

from datetime import date

import pytest
import yaml

from contracts.errors import ConfigError, UnknownKeyError
from jobs.running.settings import PROJECT
from jobs.sources.mapping import MOST_COLUMNS, ManyLogs, OneLog, load_source
from jobs.sources.parts import IdFromColumns, IdFromContent, IsoTime, NaiveTime, Parquet

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

    assert source.all_logs
    for log in source.all_logs:
        assert {log.item_id, log.event_time.column} <= {*log.columns}


def test_the_shipped_mappings_are_found():
    """The list above is not empty by accident."""
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


def test_a_format_is_a_word_or_a_word_with_its_options(tmp_path):
    assert load_source(written(tmp_path, format="parquet")).format == Parquet(name="parquet")
    assert load_source(written(tmp_path, format={"name": "csv", "delimiter": ";"})).columns


def test_a_file_belongs_to_the_log_whose_pattern_its_name_has(tmp_path):
    """And to none where two have it: which of them was meant cannot be told."""
    logs = {name: {**SMALLEST, "files": f"*{name}*"} for name in ("clicks", "buys")}
    file = tmp_path / "two.yaml"
    file.write_text(yaml.safe_dump({"logs": logs}))
    source = load_source(file)

    assert isinstance(source, ManyLogs)
    assert isinstance(load_source(written(tmp_path)), OneLog)
    assert [source.name_of(name) for name in ("s3://b/my%20clicks.csv", "/buys.gz", "/x.gz")] == [
        "clicks",
        "buys",
        None,
    ]
    assert source.name_of("/clicks/buys-and-clicks.csv") is None


def test_an_unknown_key_is_named(tmp_path):
    file = written(tmp_path, qantity="q")

    with pytest.raises(UnknownKeyError) as refused:
        load_source(file)
    assert str(refused.value).startswith(
        f"{file}: found the key 'qantity', expected one of about, amount,"
    )


NAIVE = {"column": "at", "format": "naive", "zone": "Berlin"}
PATTERN = {"column": "at", "format": "pattern", "pattern": "YYYY", "zone": "UTC"}
GIVEN = {"files": "items.csv", "format": "csv", "item_id": "i", "category": "c"}
PLAN = {
    "files": "plan.csv",
    "format": "csv",
    "item_id": "i",
    "store_id": "s",
    "week": {"column": "w", "week_one": date(2016, 12, 26)},
}
WRONG = [
    (
        {"format": "xml"},
        ": format: found {'name': 'xml'}, expected input tag 'xml' found using 'name' does not "
        "match any of the expected tags: 'jsonl', 'csv', 'csv_without_header', 'parquet'.",
    ),
    (
        {"format": {"name": "csv_without_header", "columns": ["id", "user", "at"]}},
        ": found item, expected only columns that the format lists.",
    ),
    (
        {"event_time": NAIVE},
        ": event_time: found 'Berlin' at zone, expected a name of the IANA time zone database.",
    ),
    (
        {"event_time": PATTERN},
        ": event_time: found 'YYYY' at pattern, "
        "expected a pattern of y, M, d, H, h, m, s, S and a, such as M/d/yyyy H:mm.",
    ),
    (
        {"event_id": {"contents": True}},
        ": event_id: found {'contents': True}, expected one of these forms: columns, content.",
    ),
    (
        {"user_id": None},
        ": user_id: found None, expected one of these forms: a column's name, unknown.",
    ),
    (
        {"user_id": {"column": "user", "unknown": [None]}},
        ": user_id: found [None] at unknown, expected allowed, or a list of the words that mean "
        "it, such as ['NULL', 0].",
    ),
    (
        {"user_id": {"column": "user", "anonymous": "session"}},
        ": user_id: found {'anonymous': 'session', 'column': 'user'}, expected one of these forms: "
        "a column's name, unknown.",
    ),
    (
        {"event_type": {"column": "what", "matches": {"(": "view"}}},
        ": event_type: found '(' at matches.(, expected a regular expression.",
    ),
    (
        {"price": {"column": "cents", "divide_by": 0}},
        ": price: found 0 at divide_by, expected input should be greater than 0.",
    ),
    (
        {"item_attributes": {**GIVEN, "attribute": "a"}},
        ": item_attributes: found nothing at value, expected field required.",
    ),
    (
        {"item_attributes": {**GIVEN, "category": None}},
        ": item_attributes: found no attribute, expected a category or properties.",
    ),
    (
        {"item_attributes": GIVEN, "category": "c"},
        ": found category, expected each from the log or from item_attributes, not from both.",
    ),
    (
        {"item_attributes": {**GIVEN, "properties": ["shop"]}, "properties": ["shop"]},
        ": found shop, expected each from the log or from item_attributes, not from both.",
    ),
    (
        {"promotions": PLAN},
        ": promotions: found neither, expected displayed or mailed.",
    ),
    (
        {"promotions": {**PLAN, "mailed": {"column": "m"}, "week": {"column": "w"}}},
        ": promotions: found {'column': 'w'} at week, "
        "expected one of these forms: week_one, begins_on.",
    ),
    (
        {"properties": [f"p{n}" for n in range(MOST_COLUMNS)]},
        f": found {MOST_COLUMNS + 4} columns, expected at most {MOST_COLUMNS}.",
    ),
    (
        {"logs": {}},
        ": logs: found {}, "
        "expected dictionary should have at least 2 items after validation, not 0.",
    ),
]


UNKNOWN = [
    ({"format": {"name": "parquet", "delimiter": ";"}}, "format.delimiter", "name", ""),
    (
        {"format": {"name": "csv", "delimeter": ";"}},
        "format.delimeter", "delimiter, name", "Did you mean delimiter? ",
    ),
    (
        {"event_time": {"column": "at", "format": "iso8601", "zone": "UTC"}},
        "event_time.zone", "column, format", "",
    ),
    (
        {"event_time": {"colum": "at", "format": "iso8601"}},
        "event_time.colum", "column, format", "Did you mean column? ",
    ),
    (
        {"user_id": {"column": "user", "unknown": "allowed", "prefix": "x"}},
        "user_id.prefix", "column, unknown", "",
    ),
    (
        {"price": {"column": "cents", "divide_by": 100, "unknwon": [0]}},
        "price.unknwon", "column, divide_by, unknown", "Did you mean unknown? ",
    ),
    (
        {"promotions": {**PLAN, "mailed": {"column": "m", "unles": ["0"]}}},
        "promotions.mailed.unles", "column, unless", "Did you mean unless? ",
    ),
    (
        {"logs": {name: {**SMALLEST, "files": name, "catgory": "c"} for name in ("a", "b")}},
        "logs.a.catgory", None, "Did you mean category? ",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "key", "known", "nearest"), UNKNOWN)
def test_an_unknown_key_is_named_with_those_of_its_section(tmp_path, changes, key, known, nearest):
    """However deep it stands; the nearest known one is what was meant."""
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump(changes if "logs" in changes else {**SMALLEST, **changes}))

    with pytest.raises(UnknownKeyError) as refused:
        load_source(file)

    assert refused.value.found == f"the key {key!r}"
    assert known is None or refused.value.expected == f"one of {known}"
    assert refused.value.do == f"{nearest}Correct the spelling or remove the key."


@pytest.mark.parametrize("value", [True, [0, True]])
def test_a_boolean_is_no_number_of_a_mapping(tmp_path, value):
    """`unknown: [false]` would have been 0."""
    with pytest.raises(ConfigError, match="expected a number, not true or false"):
        load_source(written(tmp_path, price={"column": "p", "unknown": value}))


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_value_is_named_with_its_place(tmp_path, changes, message):
    """Nobody who wrote a mapping has to know the names of our types."""
    file = written(tmp_path, **changes)

    with pytest.raises(ConfigError) as refused:
        load_source(file)
    assert str(refused.value) == (
        f"{file}{message} Correct the mapping; configs/sources/jsonl.yaml shows every form."
    )


def test_a_mapping_that_is_not_there_is_named_with_those_that_are(tmp_path):
    written(tmp_path)

    with pytest.raises(ConfigError) as refused:
        load_source(tmp_path / "shoop.yaml")
    assert str(refused.value) == (
        f"{tmp_path}/shoop.yaml: found no such file, expected a mapping; there are shop. "
        "Correct `source` in the configuration, or write the mapping."
    )
