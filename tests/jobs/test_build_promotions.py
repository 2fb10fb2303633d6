"""Promotions: how widely an item is promoted in a week, known before it begins."""

import json
from datetime import date

import pytest

from contracts.tables import PROMOTIONS
from jobs.build_promotions import build_promotions, main
from jobs.lake.lake import open_lake

from .shop import SHOP, use

pytestmark = pytest.mark.spark

WEEK, NEXT = date(2017, 11, 27), date(2017, 12, 4)
DDL = "item_id string, store_id string, week_start date, is_displayed boolean, is_mailed boolean"
HEAD = "sku,shop,from,display,mailer"
PLAN = {
    "files": "plan*.csv",
    "format": "csv",
    "item_id": "sku",
    "store_id": "shop",
    "week": {"column": "from", "begins_on": "monday"},
    "displayed": {"column": "display", "unless": ["no"]},
    "mailed": {"column": "mailer"},
}


def test_a_share_is_of_all_stores_and_a_store_counts_once(spark):
    """Also where a plan names it twice, and where another item's rows name the store."""
    rows = [
        ("a", "1", WEEK, True, False),
        ("a", "1", WEEK, True, True),
        ("a", "2", WEEK, False, True),
        ("b", "4", WEEK, True, False),
        ("b", "3", NEXT, True, False),
    ]
    found = build_promotions(spark.createDataFrame(rows, DDL)).collect()
    shares = {
        (r["item_id"], r["week_start"]): (r["display_share"], r["mailer_share"]) for r in found
    }

    assert shares == {
        ("a", WEEK): (0.25, 0.5),
        ("b", WEEK): (0.25, 0.0),
        ("b", NEXT): (0.25, 0.0),
    }


@pytest.fixture
def planner(spark, settings, monkeypatch):
    """A shop whose mapping has a plan."""
    settings.raw_folder.mkdir(parents=True)
    return use(settings, {**SHOP, "promotions": PLAN}, monkeypatch)


def read(settings, capsys, *rows):
    """The plan of these rows; without any, that which is there."""
    if rows:
        text = "".join(f"{row}\n" for row in (HEAD, *rows))
        (settings.raw_folder / "plan.csv").write_text(text)
    code = main(["--cutoff", "2017-11-29", "--config", str(settings.file), "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def shares_of(settings):
    rows = open_lake(settings).read_arrow(PROMOTIONS).to_pylist()
    return {(r["item_id"], r["week_start"]): (r["display_share"], r["mailer_share"]) for r in rows}


def test_a_plan_is_read_as_its_mapping_says(planner, capsys):
    """Any day of a week stands for it; an empty mark, and a word that means no, mark nothing."""
    code, said = read(
        planner, capsys, "a,1,2017-11-29,front,", "a,2,2017-11-27,no,page 1", "b,1,2017-12-10,no,"
    )

    assert (code, said["rows"]) == (0, 2)
    assert (said["planned_from"], said["last_week"]) == ("2017-11-27", "2017-12-04")
    assert shares_of(planner) == {
        ("a", WEEK): (0.5, 0.5),
        ("b", NEXT): (0.0, 0.0),
    }


def test_a_new_plan_replaces_the_weeks_that_it_names(planner, capsys):
    """Whole weeks, so that an item that was taken out is; the others stay, and so does the past."""
    _, first = read(planner, capsys, "a,1,2017-11-27,x,", "b,1,2017-12-04,x,")
    read(planner, capsys, "c,1,2017-12-04,x,")
    lake = open_lake(planner)
    before = lake.read_arrow(PROMOTIONS, snapshot_id=first["tables"]["promotions"]["snapshot_id"])

    assert set(shares_of(planner)) == {("a", WEEK), ("c", NEXT)}
    assert set(before["item_id"].to_pylist()) == {"a", "b"}


def test_a_source_without_a_plan_says_where_it_would_stand(spark, settings, capsys, monkeypatch):
    use(settings, SHOP, monkeypatch)
    code, said = read(settings, capsys)

    assert code == 2
    assert said["message"] == (
        f"{settings.source_file.with_name('shop.yaml')}: promotions: found nothing, "
        "expected the files of a plan, and what their columns are. "
        "Describe them as configs/sources/jsonl.yaml does; forecasts need no plan."
    )


def test_a_plan_that_cannot_be_read_commits_nothing(planner, capsys):
    """A file that is not there, one without a row, and one with too many bad rows."""
    missing = read(planner, capsys)
    (planner.raw_folder / "plan.csv").write_text(HEAD + "\n")
    empty = read(planner, capsys)
    bad = read(planner, capsys, "a,1,2017-11-27,x,", "a,,2017-11-27,x,", "a,1,soon,x,")

    assert [code for code, _ in (missing, empty, bad)] == [3, 3, 3]
    assert missing[1]["message"].startswith(
        f"{planner.raw_folder}/plan*.csv: found no such file, "
        "expected what `promotions` of the mapping reads. "
    )
    assert empty[1]["message"] == (
        f"{planner.raw_folder}/plan*.csv: found no row, "
        "expected a week at least of which a promotion is planned. "
        "Nothing was committed. Ask for the plan again, then run this again."
    )
    assert "missing store_id" in bad[1]["message"]
    assert "unreadable week" in bad[1]["message"]
    assert open_lake(planner).snapshot_id(PROMOTIONS) is None
