"""The report of a night, from whatever is there."""

import json
from datetime import date

import duckdb
import pytest

from contracts.tables import WAREHOUSE
from jobs import report
from jobs.running.summaries import keep_summary
from jobs.warehouse.sql import create_table
from jobs.warehouse.warehouse import Warehouse, open_warehouse
from models.pages.night import Missing, Scores

CUTOFF = date(2017, 11, 29)


@pytest.fixture
def warehouse(settings) -> Warehouse:
    """A real DuckDB file that holds one small night, published twice."""
    settings.warehouse_file.parent.mkdir(parents=True)
    with duckdb.connect(str(settings.warehouse_file)) as connection:
        for table in WAREHOUSE:
            connection.execute(create_table(table))
        for n, spend in enumerate((0.0, 5.0, 10.0, 1000.0)):
            connection.execute(
                "INSERT INTO user_scores (cutoff, user_id, purchase_probability_7d, "
                "purchase_decile, churn_probability_28d, churn_decile, expected_spend_28d, "
                "spend_decile, model_name, model_version, run_id, scored_at) "
                f"VALUES ('{CUTOFF}', 'u{n}', {n / 4}, 1, {1 - n / 4}, 1, {spend}, 1, "
                "'m', '1', 'r', now())"
            )
        for item, units in (("milk", 3.0), ("eggs", 9.0)):
            connection.execute(
                "INSERT INTO item_demand (cutoff, item_id, target_date, units_p10, units_p50, "
                f"units_p90, expected_units, model_version) VALUES ('{CUTOFF}', '{item}', "
                f"'{CUTOFF}', 1, 2, 12, {units}, 'weekday-mean-8w')"
            )
        for run_key, hour in (("publish-first", 3), ("publish-second", 4)):
            connection.execute(
                "INSERT INTO publish_ledger (table_name, cutoff, run_key, num_rows, content_hash, "
                f"snapshot_ids, published_at) VALUES ('user_scores', '{CUTOFF}', '{run_key}', 4, "
                f"'4-ab', '{{}}', '2017-11-29 0{hour}:00:00+00')"
            )
    return open_warehouse(settings)


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
    assert (found.num_users, found.expected_buyers, found.likely_to_leave) == (4, 1.5, 2)
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
