"""`nightshift sources check`: what a mapping makes of a log's first rows, and what it refuses."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from contracts.tables import EVENTS
from jobs.cli import app
from jobs.running.settings import PROJECT
from jobs.sources.description import describe_log
from jobs.sources.mapping import load_source

RUNNER = CliRunner()
SHOP = {
    "format": "csv",
    "event_id": {"content": True, "equal_lines": "repeats"},
    "user_id": "user",
    "item_id": "item",
    "event_type": {"column": "what", "map": {"look": "view", "buy": "purchase"}},
    "event_time": {"column": "at", "format": "naive", "zone": "America/New_York"},
    "price": {"column": "price", "decimal": ","},
    "category": "category",
}
HEADER = "at;user;item;what;price;category;shop"
GOOD = "2017-07-04 00:00;1;soup;buy;1.234,50;;7"
SOURCES = sorted((PROJECT / "configs" / "sources").glob("*.yaml"))


@pytest.fixture
def log(spark, settings, monkeypatch):
    """The log of a shop, whose mapping is the configuration's."""
    mapping = {**SHOP, "format": {"name": "csv", "delimiter": ";"}}
    file = settings.file.parent / "sources" / "shop.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(mapping))
    monkeypatch.setenv("NIGHTSHIFT__SOURCE", "shop")
    log = settings.file.parent / "ingest_date=2017-07-04" / "log.csv"
    log.parent.mkdir()
    bad = [f"2017-07-04 00:0{n};{n};soup;stare;;;7" for n in range(5)]
    late = "2017-07-06 00:00;1;soup;look;;;7"
    log.write_text("\n".join([HEADER, GOOD, GOOD, *bad, late, "2017-07-04 00:00;1"]))
    return log


def check(settings, log, *options):
    config = ["--config", str(settings.file)]
    return RUNNER.invoke(app, ["sources", "check", str(log), *config, *options])


@pytest.mark.spark
def test_every_row_is_accounted_for_with_examples(log, settings):
    """Counts, three examples a reason, and what no row gives or no key of the mapping reads."""
    said = check(settings, log, "--json")
    found = json.loads(said.stdout.splitlines()[-1])
    columns = found["columns"]

    assert said.exit_code == 3
    assert (found["rows"], found["events"], found["duplicates"], found["refused"]) == (9, 1, 1, 7)
    assert (found["altered"], found["equal_lines"]["lines"]) == (0, 1)
    assert found["equal_lines"]["separate"] == {"events": 2, "amount": 2469.0}
    assert {reason: each["rows"] for reason, each in found["reasons"].items()} == {
        "event_time after its ingestion day": 1,
        "unknown event_type": 5,
        "unreadable line": 1,
    }
    assert found["reasons"]["unknown event_type"]["examples"] == [
        {"line": 4 + n, "raw": f"2017-07-04 00:0{n};{n};soup;stare;;;7"} for n in range(3)
    ]
    assert columns["price"] == {
        "from": "price, decimal comma",
        "given": 1.0,
        "examples": ["1234.5"],
    }
    assert columns["amount"]["from"] == "price × 1"
    assert columns["event_time"]["examples"] == ["2017-07-04T04:00:00.000Z"]
    assert columns["category"]["given"] == 0.0
    assert found["never_given"] == ["category"]
    assert found["not_mapped"] == ["shop"]
    assert found["event_types"] == {"purchase": 2}


@pytest.mark.spark
def test_people_read_the_same_facts(log, settings):
    """And no ingestion day is made up for a file that lies in no day's folder."""
    beside = log.parent.parent / "log.csv"
    beside.write_text(log.read_text())
    said = check(settings, beside, "--rows", "3")

    assert said.exit_code == 3
    assert f"{beside}: 3 rows as shop" in said.stdout
    assert "its ingestion day is not known" in said.stdout
    assert "1 events, 1 repeat one of them, 1 refused (33.33%; a night allows 1.00%)" in said.stdout
    assert "  unknown event_type: 1\n    line 4: 2017-07-04 00:00;0;soup;stare;;;7" in said.stdout
    assert "no row gives: category\nnot mapped: shop" in said.stdout


@pytest.mark.spark
def test_a_nested_value_is_answered_with_the_path_that_was_meant(log, settings):
    """Of the paths of the object, the one that looks like an id comes first."""
    mapping = {**SHOP, "format": "jsonl", "properties": ["shop"]}
    (settings.file.parent / "sources" / "shop.yaml").write_text(yaml.safe_dump(mapping))
    good = {"at": "2017-07-04 00:00", "user": 1, "item": "soup", "what": "buy", "price": "1,5"}
    bad = {"user": {"name": "x", "id": 7}}, {"item": [{"sku": 1}]}, {"price": {"value": "1,5"}}
    lines = [good, *({**good, **change} for change in bad)]
    lines = [{**line, "shop": {"city": {"zip": "1"}}, "page": {"url": "/"}} for line in lines]
    log.write_text("\n".join(map(json.dumps, lines)))
    said = check(settings, log, "--json")
    found = json.loads(said.stdout.splitlines()[-1])

    assert said.exit_code == 3
    assert {reason: each["advice"] for reason, each in found["reasons"].items()} == {
        "nested value in user_id": "user is an object: did you mean user.id (or user.name)?",
        "nested value in item_id": "item is an array: a line is one event, "
        "so write a line for each element",
        "nested value in price": "price is an object: did you mean price.value?",
    }
    assert found["not_mapped"] == ["page.url"]


def test_a_log_that_is_not_there_is_a_wrong_call(log, settings):
    """Said before Spark is started."""
    said = check(settings, "/no/log.csv", "--json")

    assert said.exit_code == 2
    assert json.loads(said.stdout)["message"] == (
        "/no/log.csv: found no such file, expected a raw log. "
        "Give the path or the URI of one file of a day."
    )


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.stem)
def test_every_column_of_events_is_said_to_come_from_somewhere(file):
    """The words name every column that a line decides, of every mapping that is shipped."""
    source = load_source(file)

    for log in source.all_logs:
        words = describe_log(log, source.item_attributes)
        assert [*words, "ingest_date"] == EVENTS.column_names
        assert all(words.values())


def test_the_commands_of_a_group_explain_themselves():
    said = RUNNER.invoke(app, ["sources", "check", "--help"], env={"COLUMNS": "120"})

    assert said.exit_code == 0
    assert all(option in said.output for option in ("--config", "--json", "--source", "--rows"))
