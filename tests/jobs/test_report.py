"""The report of a night, from whatever is there."""

import json
from datetime import date

import duckdb
import psycopg
import pytest
from mlflow.exceptions import MlflowException

from contracts.tables import ITEM_DEMAND, NIGHTLY, PUBLISH_LEDGER, USER_SCORES, WAREHOUSE
from jobs import report
from jobs.running.settings import FileWarehouse, PostgresWarehouse
from jobs.running.summaries import keep_summary
from jobs.warehouse.postgres_sql import create_parent
from jobs.warehouse.sql import create_table
from jobs.warehouse.warehouse import Warehouse, open_warehouse
from models.pages.night import Missing, Scores

CUTOFF = date(2017, 11, 29)


SCORES, DEMAND, LEDGER = (
    ", ".join(table.column_names) for table in (USER_SCORES, ITEM_DEMAND, PUBLISH_LEDGER)
)
NIGHT = f"""
INSERT INTO user_scores ({SCORES})
SELECT DATE '{CUTOFF}', 'u' || n, n / 4.0, 1, nullif(1 - n / 4.0, 0.5), 1, spend, 1, 'm', '1', 'r',
       now(), DATE '{CUTOFF}' - 1
FROM (VALUES (0, 0.0), (1, 5.0), (2, 10.0), (3, 1000.0)) AS users (n, spend);
INSERT INTO item_demand ({DEMAND})
SELECT DATE '{CUTOFF}', item, 'dairy', DATE '{CUTOFF}', 1, 2, 12, units, 'weekday-mean-8w'
FROM (VALUES ('milk', 3.0), ('eggs', 9.0)) AS items (item, units);
INSERT INTO publish_ledger ({LEDGER})
SELECT 'user_scores', DATE '{CUTOFF}', run, outcome, reason, 4, '4-ab', '{{}}', '{{}}',
       CAST(came AS TIMESTAMP WITH TIME ZONE)
FROM (VALUES ('publish-refused', 'refused', 'mended by now', '2017-11-29 02:00:00+00'),
             ('publish-first', 'published', NULL, '2017-11-29 03:00:00+00'),
             ('publish-second', 'published', NULL, '2017-11-29 04:00:00+00'))
    AS runs (run, outcome, reason, came);
"""


@pytest.fixture
def warehouse(settings, warehouse_uri) -> Warehouse:
    """A real database that holds one small night, published twice after a refusal."""
    if warehouse_uri.startswith("postgresql://"):
        chosen = PostgresWarehouse(uri=warehouse_uri, keep_nights=9, reader_role="reader")
        made = [create_parent(table) for table in WAREHOUSE]
        made += [
            f"CREATE TABLE {table.name}_1 PARTITION OF {table.name} DEFAULT" for table in NIGHTLY
        ]
        with psycopg.connect(warehouse_uri) as connection:
            connection.execute(";".join([*made, NIGHT]))
    else:
        chosen = FileWarehouse(uri=warehouse_uri, keep_nights=9)
        with duckdb.connect(warehouse_uri) as file:
            file.execute(";".join([*map(create_table, WAREHOUSE), NIGHT]))
    return open_warehouse(settings.model_copy(update={"warehouse": chosen}))


def test_a_night_of_which_nothing_is_there_still_gets_its_page(settings, registry, capsys):
    """Each missing part is named with its reason; the program ends well."""
    code = report.main(["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json"])
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    page = (settings.reports_folder / str(CUTOFF) / "index.html").read_text()

    assert code == 0
    assert set(said["missing"]) == {
        "ledger", "scores", "champion", "evaluation", "demand", "sessions", "training", "seconds"
    }  # fmt: skip
    assert said["missing"]["seconds"] in page
    assert page.startswith("<!doctype html>")


def test_totals_and_shares_are_those_of_the_published_rows(warehouse):
    """Every user is in one bar of each score, whoever lies above the last edge in the last."""
    found = report.read_scores(warehouse, CUTOFF)

    assert isinstance(found, Scores)
    assert (found.num_users, found.expected_buyers) == (4, 1.5)
    assert (found.asked_about_churn, found.likely_to_leave) == (3, 2)
    assert found.expected_spend == 1015.0
    for points in found.distributions.values():
        assert len(points) == report.NUM_BARS
        assert sum(share for _, share in points) == pytest.approx(1.0)
    assert found.distributions["expected_spend_28d"][-1][1] == 0.25


def test_the_ledger_shows_the_run_whose_rows_are_there(warehouse):
    """A night that was published again is shown once, as it is now."""
    rows = report.read_ledger(warehouse, CUTOFF)

    assert not isinstance(rows, Missing)
    assert [row["run_key"] for row in rows] == ["publish-second"]
    assert rows[0]["published_at"] == "2017-11-29 04:00:00"


def test_a_refusal_after_the_last_publish_is_shown_with_its_reason(warehouse, warehouse_uri):
    """The night on the page is the older one, and above it stands why the newer one is not."""
    later = (
        f"INSERT INTO publish_ledger ({LEDGER}) SELECT 'user_scores', DATE '{CUTOFF}', "
        "'publish-x', 'refused', 'too few users', 1, '1-ff', '{}', '{}', now()"
    )
    connect = psycopg.connect if warehouse_uri.startswith("postgresql://") else duckdb.connect
    with connect(warehouse_uri) as connection:
        connection.execute(later)
    rows = report.read_ledger(warehouse, CUTOFF)

    assert not isinstance(rows, Missing)
    assert [(row["run_key"], row["reason"]) for row in rows] == [
        ("publish-x", "too few users"),
        ("publish-second", None),
    ]


def test_items_of_most_units_come_first_with_or_without_their_past(warehouse, settings):
    """A lake without series costs the past, not the forecast."""
    found = report.read_demand(settings, warehouse, CUTOFF)

    assert not isinstance(found, Missing)
    assert [item.item_id for item in found] == ["eggs", "milk"]
    assert found[0].expected == [(str(CUTOFF), 1.0, 9.0, 12.0)]
    assert list(found[0].past) == []


def test_a_night_that_was_not_published_is_missing_by_name(warehouse):
    """No row is no distribution."""
    assert report.read_scores(warehouse, date(2017, 11, 30)) == Missing(
        "user_scores has no row for 2017-11-30."
    )


@pytest.mark.parametrize(
    ("version", "expected"), [("1", "2017-11-21"), ("2", "2017-11-28"), ("9", "2017-11-28")]
)
def test_the_evaluation_shown_is_the_newest_that_judged_the_champion(tmp_path, version, expected):
    """Never one from after the night; without one of the champion, the newest there is."""
    for day, judged in (("2017-11-21", "1"), ("2017-11-28", "2"), ("2017-12-05", version)):
        document = {"cutoff": day, "verdicts": {judged: {}}}
        (tmp_path / f"evaluation-{day}.json").write_text(json.dumps(document))
    champion = report.ModelVersion("nightshift", version, "r", "gru", date(2017, 11, 21), {})

    found = report.read_evaluation(tmp_path, champion, CUTOFF)

    assert not isinstance(found, Missing)
    assert found["cutoff"] == expected


def test_the_model_that_answered_is_the_one_that_the_rows_name(warehouse, registry):
    """A champion of after the night has said nothing of it."""
    registry.client.create_registered_model(registry.model)
    for encoder in ("gru", "lstm"):
        tags = {"encoder": encoder, "training_cutoff": "2017-11-28"}
        made = registry.client.create_model_version(registry.model, "file:///none", tags=tags)
    registry.set_alias("champion", made.version)
    found = report.answered_by(registry, warehouse, CUTOFF)

    assert isinstance(found, report.ModelVersion)
    assert (found.version, found.encoder) == ("1", "gru")
    assert report.answered_by(registry, warehouse, date(2017, 11, 30)) == Missing(
        "user_scores has no row for 2017-11-30."
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"cutoff": ', "evaluation-2017-11-28.json is damaged (Expecting value"),
        ("[1]", "TypeError: list indices must be integers"),
        ('{"verdicts": {}}', "it cannot be shown: KeyError: "),
    ],
)
def test_a_damaged_evaluation_is_a_part_that_is_missing(
    settings, registry, capsys, monkeypatch, text, reason
):
    """The rest of the page stands, and the program ends well."""
    version = report.ModelVersion("nightshift", "1", "r", "gru", date(2017, 11, 21), {})
    monkeypatch.setattr(report, "answered_by", lambda *_: version)
    settings.reports_folder.mkdir(parents=True)
    (settings.reports_folder / "evaluation-2017-11-28.json").write_text(text)
    code = report.main(["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json"])
    said = json.loads(capsys.readouterr().out.splitlines()[-1])

    assert code == 0
    assert reason in said["missing"]["evaluation"]


def test_whatever_a_part_raises_is_its_reason():
    """MLflow, DuckDB and files have errors of their own."""

    def read() -> str:
        raise MlflowException("no such run")

    assert report.part(read) == Missing("MlflowException: no such run")


def test_seconds_are_those_that_the_steps_said_themselves(settings):
    """In the order of a night; a program that is no step of it, and another night, stay away."""
    for job, cutoff, seconds in (
        ("score", CUTOFF, 3.5),
        ("ingest_events", CUTOFF, 2.0),
        ("train", CUTOFF, 99.0),
        ("publish", date(2017, 11, 28), 7.0),
    ):
        keep_summary(settings.home, cutoff, {"job": job, "seconds": seconds})

    assert list(report.read_seconds(settings.home, CUTOFF).items()) == [
        ("ingest_events", 2.0),
        ("score", 3.5),
    ]
