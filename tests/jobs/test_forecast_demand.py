"""The baseline forecast: the mean of the same weekday, with a spread that fits the item."""

import json
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from contracts.tables import (
    CATEGORY_DEMAND,
    DEMAND,
    DEMAND_BY_CATEGORY,
    ITEM_DEMAND,
    SERIES,
    SUM_TOLERANCE,
)
from contracts.windows import history_window, one_day
from jobs.demand.weekday_mean import MODEL_VERSION, weekday_counts, weekday_mean
from jobs.forecast_demand import main
from jobs.lake.lake import open_lake
from jobs.warehouse.audit import audit, check_sums
from jobs.warehouse.night_rows import category_demand, item_demand

from .warehouse.one_night import open_at, publication
from .warehouse.test_audit import EXPECTED as OF_TWO_DAYS

CUTOFF = date(2017, 11, 28)
EXPECTED = replace(OF_TWO_DAYS, cutoff=CUTOFF, demand_days=28)
DDL = "item_id string, category string, day date, units double, revenue double, cutoff date"


def history(item, units_of, days=60, category=None):
    window = history_window(CUTOFF, days=days)
    return [(item, category, day, units_of(day), 0.0, CUTOFF) for day in window.days]


@pytest.mark.spark
def test_a_day_is_forecast_from_its_own_weekday(spark):
    """Also in the second week, and only from the last eight weeks."""
    old = history_window(CUTOFF, days=56).start
    rows = history("a", lambda day: 99.0 if day < old else float(day.weekday()))
    made = weekday_mean(spark.createDataFrame(rows, DDL), cutoff=CUTOFF, demand_days=9)
    found = {row["target_date"]: row for row in made[DEMAND].collect()}

    assert sorted(found) == [CUTOFF + timedelta(days=n) for n in range(9)]
    assert all(row["expected_units"] == day.weekday() for day, row in found.items())
    assert {row["model_version"] for row in found.values()} == {MODEL_VERSION}


def test_quantiles_are_ordered_and_bracket_the_counts_they_come_from():
    """Poisson counts fall between p10 and p90 about as often as they should."""
    rng = np.random.default_rng(0)
    units = rng.poisson(6.0, (400, 56)).astype(float)
    mean, quantiles = weekday_counts(units)
    low, middle, high = quantiles.values()
    inside = (low[:, :1] <= units) & (units <= high[:, :1])

    assert (low <= middle).all()
    assert (middle <= high).all()
    assert 0.78 < inside.mean() < 0.95
    assert abs(mean.mean() - 6.0) < 0.1


def test_an_item_that_sells_in_bursts_has_wider_quantiles():
    """The same mean, more spread: negative binomial instead of Poisson."""
    steady = np.full((1, 56), 4.0)
    bursts = np.where(np.arange(56) // 7 % 4 == 0, 16.0, 0.0)[None]
    calm, wild = (weekday_counts(units) for units in (steady, bursts))

    np.testing.assert_allclose(calm[0], wild[0])
    assert (wild[1]["units_p90"] > calm[1]["units_p90"]).all()
    assert (wild[1]["units_p10"] < calm[1]["units_p10"]).all()


def test_what_seldom_sells_has_quantiles_of_its_week_and_what_sells_much_of_its_weekdays():
    """Eight Mondays with a single sale are chance; eight with 400 are a Monday's rhythm."""
    seldom, much = np.zeros((2, 1, 56))
    seldom[0, 0] = 1.0
    much[:] = 40.0
    much[0, ::7] = 80.0
    few, many = (weekday_counts(units)[1]["units_p50"][0] for units in (seldom, much))

    assert len(set(few)) == 1
    assert (abs(many[0] - 80), abs(many[1] - 40)) < (5, 5)
    assert weekday_counts(much)[0][0].tolist() == [80.0, *[40.0] * 6]


def test_what_comes_back_is_no_forecast_below_nothing():
    """An item that only came back, and one of which more comes back on Mondays than is sold."""
    units = np.zeros((2, 56))
    units[0] = -2.0
    units[1] = 3.0
    units[1, ::7] = -4.0
    mean, quantiles = weekday_counts(units)

    assert mean.tolist() == [[0.0] * 7, [0.0, *[3.0] * 6]]
    assert all((values >= 0).all() and np.isfinite(values).all() for values in quantiles.values())


@pytest.mark.spark
def test_a_categorys_mean_is_the_sum_of_its_items_where_some_came_back(spark):
    """The returns of one item take nothing from another's forecast: the audit would refuse both."""
    rows = history("a", lambda day: 5.0, category="MILK")
    rows += history("b", lambda day: -3.0 - day.day / 7, category="MILK")
    made = weekday_mean(spark.createDataFrame(rows, DDL), cutoff=CUTOFF, demand_days=7)
    tables = {table: frame.toArrow() for table, frame in made.items()}

    assert set(tables[DEMAND_BY_CATEGORY]["expected_units"].to_pylist()) == {5.0}
    assert check_sums(tables[DEMAND], tables[DEMAND_BY_CATEGORY]) == []


def test_an_item_that_did_not_sell_is_expected_not_to():
    """Zero everywhere, neither NaN nor less than nothing."""
    mean, quantiles = weekday_counts(np.zeros((1, 56)))

    assert not mean.any()
    assert all((values == 0).all() for values in quantiles.values())


@pytest.mark.spark
def test_a_night_forecasts_every_item_of_its_series(spark, settings, registry, capsys):
    """Run twice, the partition has an equal content hash; no key is missing or double."""
    lake = open_lake(settings)
    rows = [*history("a", lambda day: float(day.day % 3)), *history("b", lambda day: 0.0)]
    frame = spark.createDataFrame(rows, DDL)
    lake.replace(frame, SERIES, window=one_day(CUTOFF), run_key="s", reads={})
    argv = ["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json"]
    said = []
    for _ in range(2):
        assert main(argv) == 0
        said.append(json.loads(capsys.readouterr().out)["tables"]["demand"])
    keys = lake.read_arrow(DEMAND, columns=["item_id", "target_date"]).to_pylist()

    assert said[0]["content_hash"] == said[1]["content_hash"]
    assert len(keys) == len({(*key.values(),) for key in keys}) == 2 * 28


@pytest.mark.spark
def test_a_category_is_forecast_as_what_its_items_sell_together(spark):
    """Its mean is the sum of theirs, its p90 less than the sum of theirs."""
    rng = np.random.default_rng(0)
    rows = []
    for n in range(8):
        category = (None, "BREAD")[n % 2]
        rows += history(f"i{n}", lambda day, n=n: float(rng.poisson(1 + n)), category=category)
    made = weekday_mean(spark.createDataFrame(rows, DDL), cutoff=CUTOFF, demand_days=7)
    items, categories = (
        made[table].toPandas().groupby(["category", "target_date"])[["expected_units", "units_p90"]]
        for table in (DEMAND, DEMAND_BY_CATEGORY)
    )
    summed, said = items.sum(), categories.sum()

    assert (categories.size() == 1).all()
    assert {name for name, _ in said.index} == {"", "BREAD"}
    np.testing.assert_allclose(summed["expected_units"], said["expected_units"], rtol=1e-12)
    assert (said["units_p90"] < summed["units_p90"]).all()


ADDED_UP = """
SELECT c.category, c.target_date, c.expected_units, sum(i.expected_units) AS of_items
FROM category_demand_latest AS c
LEFT JOIN item_demand_latest AS i
ON i.category = c.category AND i.target_date = c.target_date
GROUP BY c.category, c.target_date, c.expected_units
"""


@pytest.mark.spark
def test_whoever_reads_the_published_tables_can_add_them_up(
    spark, settings, registry, capsys, warehouse_uri
):
    """Of a night as it was forecast, written, audited and published, on every database."""
    lake, rng = open_lake(settings), np.random.default_rng(1)
    rows = []
    for n in range(60):
        units = [float(rng.poisson(n / 20)) / 8 for _ in range(60)]
        category = (None, "BREAD", "MILK", "O'HARA'S 🍎")[n % 4]
        rows += history(f"i{n}", lambda day, units=units: units.pop(), category=category)
    frame = spark.createDataFrame(rows, DDL)
    lake.replace(frame, SERIES, window=one_day(CUTOFF), run_key="s", reads={})
    assert main(["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    night = {
        ITEM_DEMAND: item_demand(lake.read_arrow(DEMAND)),
        CATEGORY_DEMAND: category_demand(lake.read_arrow(DEMAND_BY_CATEGORY)),
    }
    warehouse = open_at(warehouse_uri)
    warehouse.publish(publication(CUTOFF, nightly=night), check=lambda rows: audit(rows, EXPECTED))
    found = warehouse.query(ADDED_UP).to_pandas()

    assert {name: table["rows"] for name, table in tables.items()} == {
        "demand": 60 * 28,
        "demand_by_category": 4 * 28,
    }
    assert len(found) == 4 * 28
    np.testing.assert_allclose(found["of_items"], found["expected_units"], rtol=SUM_TOLERANCE)


@pytest.mark.spark
def test_without_the_series_it_says_what_to_run(settings, capsys):
    code = main(["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json"])

    assert code == 3
    assert json.loads(capsys.readouterr().out)["message"] == (
        "series/cutoff=2017-11-28: found no committed partition, expected one, committed whole. "
        "Run `nightshift series --cutoff 2017-11-28` first, then run this again."
    )
