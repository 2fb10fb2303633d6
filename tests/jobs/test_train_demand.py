"""The demand forecaster: trained, judged, champion or refused; then it forecasts the night."""

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
import yaml

from contracts.tables import DEMAND, DEMAND_BY_CATEGORY, EVENTS, PROMOTIONS
from contracts.windows import Window
from jobs import build_series, forecast_demand, replay, train_demand
from jobs.demand.weekday_mean import MODEL_VERSION
from jobs.lake.column_types import spark_schema
from jobs.lake.lake import open_lake
from jobs.running.settings import load_settings
from jobs.warehouse.audit import check_sums
from models.registry.registry import CHAMPION, Registry

pytestmark = [pytest.mark.spark, pytest.mark.torch]

CUTOFF = date(2017, 7, 18)
DAYS = 182
SMALL = {
    "encoder": {"kind": "gru", "max_length": 8, "dim": 12, "num_layers": 1, "dropout": 0.0},
    "num_steps": 60,
    "batch_size": 48,
    "category_share": 0.3,
    "level_power": 0.5,
    "learning_rate": 0.01,
    "weight_decay": 0.0,
    "seed": 0,
}
LENIENT = {
    "max_ratio_to_rules": 1.5,
    "max_ratio_to_champion": 1.5,
    "max_mean_bias": 0.5,
    "max_tail_error": 0.5,
    "confidence": 0.95,
}


def sales():
    """Twelve items in two categories: Poisson counts, more on workdays."""
    rng, start = np.random.default_rng(0), CUTOFF - timedelta(days=DAYS)
    rows = []
    for n in range(DAYS):
        day = start + timedelta(days=n)
        for item in range(12):
            units = float(rng.poisson((2 + item) * (1.4 if day.weekday() < 5 else 0.5)))
            time = datetime(day.year, day.month, day.day, 16, tzinfo=UTC)
            name, category = f"i{item:02}", ("BREAD", "MILK")[item % 2]
            sold = ("purchase", time, category, None, units, units, None, None, {}, day)
            rows += [(f"{name} {n}", "u", name, *sold)] if units else []
    return rows


@pytest.fixture
def shop(spark, settings, registry):
    """A lake with half a year of sales and the series of the cutoff; a small, lenient training."""
    lake = open_lake(settings)
    window = Window(CUTOFF - timedelta(days=DAYS), CUTOFF)
    frame = spark.createDataFrame(sales(), spark_schema(EVENTS))
    lake.replace(frame, EVENTS, window=window, run_key="i", reads={})
    (settings.file.parent / "demand.yaml").write_text(yaml.safe_dump(SMALL))
    set_gate(settings, **LENIENT)
    assert build_series.main(argv(settings)) == 0
    return load_settings(settings.file)


def set_gate(settings, **values):
    written = yaml.safe_load(settings.file.read_text())
    written["demand"]["gate"] |= values
    settings.file.write_text(yaml.safe_dump(written))


def argv(settings):
    return ["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json"]


def said(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def demand_registry(settings):
    mlflow = settings.mlflow
    return Registry(mlflow.tracking_uri, settings.demand.model, settings.artifacts_uri)


@pytest.mark.slow
def test_the_night_is_forecast_by_the_champion_and_can_be_replayed(shop, capsys):
    """Weekday means until there is one; then its version, pinned, in every row, twice the same."""
    assert forecast_demand.main(argv(shop)) == 0
    assert said(capsys)["model_version"] == MODEL_VERSION
    assert train_demand.main(argv(shop)) == 0
    trained = said(capsys)
    hashes = []
    for _ in range(2):
        assert forecast_demand.main(argv(shop)) == 0
        night = said(capsys)
        hashes.append(night["tables"]["demand"]["content_hash"])
    lake = open_lake(shop)
    rows, by_category = (
        lake.read_arrow(table).to_pylist() for table in (DEMAND, DEMAND_BY_CATEGORY)
    )

    assert (trained["is_promoted"], trained["days"]) == (True, DAYS)
    assert (
        trained["metrics"]["items/28d/wape"] < trained["metrics"]["items/28d/wape_seasonal_naive"]
    )
    assert night["model_version"] == f"nightshift-demand/{trained['version']}"
    assert {row["model_version"] for row in rows} == {night["model_version"]}
    assert (len(rows), len(by_category)) == (12 * 28, 2 * 28)
    for row in rows + by_category:
        assert row["units_p10"] <= row["units_p50"] <= row["units_p90"]
    assert check_sums(lake.read_arrow(DEMAND), lake.read_arrow(DEMAND_BY_CATEGORY)) == []
    assert hashes[0] == hashes[1]
    assert replay.main(argv(shop)) == 0
    replayed = said(capsys)["tables"]
    assert replayed["demand"]["is_equal"]
    assert replayed["demand_by_category"]["is_equal"]


def bring_plan(spark, settings, share):
    """Half the items are in the mailer of every other week, from the first sale on."""
    start = CUTOFF - timedelta(days=DAYS)
    weeks = [start + timedelta(days=7 * n) for n in range(DAYS // 7 + 4)]
    rows = [(f"i{n:02}", week, 0.0, share) for week in weeks[::2] for n in range(0, 12, 2)]
    frame = spark.createDataFrame(rows, spark_schema(PROMOTIONS))
    window = Window(start, weeks[-1] + timedelta(days=1))
    lake = open_lake(settings)
    return lake.replace(frame, PROMOTIONS, window=window, run_key=f"p{share}", reads={}).snapshot_id


@pytest.mark.slow
def test_a_forecast_reads_the_plan_that_its_forecaster_learnt_from(spark, shop, capsys):
    """The newest plan; a past night, and a champion that learnt without one, know none of it."""
    assert train_demand.main(argv(shop)) == 0
    assert said(capsys)["sees_promotions"] is False
    first = bring_plan(spark, shop, 0.5)
    assert forecast_demand.main(argv(shop)) == 0
    without = said(capsys)
    assert train_demand.main(argv(shop)) == 0
    trained = said(capsys)
    assert forecast_demand.main(argv(shop)) == 0
    planned = said(capsys)
    lake = open_lake(shop)
    night = lake.require(DEMAND, CUTOFF, producer="")
    second = bring_plan(spark, shop, 0.9)
    assert replay.main(argv(shop)) == 0
    replayed = said(capsys)["tables"]
    assert forecast_demand.main(argv(shop)) == 0
    changed = said(capsys)
    run_id = demand_registry(shop).resolve(CHAMPION).run_id
    params = demand_registry(shop).client.get_run(run_id).data.params

    assert trained["sees_promotions"] is True
    assert params["snapshot.promotions"] == str(first)
    assert night.reads["promotions"] == first != second
    assert replayed["demand"]["is_equal"]
    assert replayed["demand_by_category"]["is_equal"]
    hashes = [run["tables"]["demand"]["content_hash"] for run in (without, planned, changed)]
    assert len({*hashes}) == 3


@pytest.mark.slow
def test_a_forecaster_that_breaks_the_rule_is_refused_with_every_reason(shop, capsys):
    """It is registered and stays no champion; the night goes on with the rule."""
    set_gate(shop, max_ratio_to_rules=0.01)
    code = train_demand.main(argv(shop))
    told = said(capsys)
    registry = demand_registry(shop)
    version = registry.versions(training_cutoff=str(CUTOFF))[0]

    assert code == 4
    assert "version 1 (gru): items/7d: absolute error of p50" in told["message"]
    assert "categories/28d: pinball loss of p90" in told["message"]
    assert (
        f"version 1 (gru): {sum(row['passed'] for row in told['checks'])} of 36 checks hold"
        in (told["message"])
    )
    assert {row["passed"] for row in told["checks"]} == {True, False}
    assert json.loads(version.tags["evaluation"])["checks"] == told["checks"]
    assert version.tags["status"] == "refused"
    assert len(json.loads(version.tags["evaluation"])["reasons"]) >= 4
    assert forecast_demand.champion_of(shop) == MODEL_VERSION


def test_too_short_a_history_is_refused_before_it_is_trained(shop, capsys):
    """And it says how much is needed."""
    written = yaml.safe_load(shop.file.read_text())
    written["demand"]["history_days"] = 100
    shop.file.write_text(yaml.safe_dump(written))
    code = train_demand.main(argv(shop))

    assert code == 2
    assert said(capsys)["message"] == (
        "--cutoff 2017-07-18: found 100 days from the first sale on, expected at least 147. "
        "Choose a later cutoff; until then the nights forecast by weekday means."
    )


@pytest.mark.slow
def test_a_champion_of_another_horizon_is_not_asked(shop, capsys):
    """A night has as many days as the settings say, or none."""
    assert train_demand.main(argv(shop)) == 0
    trained = said(capsys)
    written = yaml.safe_load(shop.file.read_text())
    written["horizons"]["demand_days"] = 14
    shop.file.write_text(yaml.safe_dump(written))
    code = forecast_demand.main(argv(shop))

    assert code == 2
    assert said(capsys)["message"] == (
        f"nightshift-demand/{trained['version']}: found a forecaster of 28 days, expected "
        "horizons.demand_days, 14. Run `nightshift train-demand`, or set horizons.demand_days back."
    )


def test_a_champion_that_knows_the_days_that_judge_is_not_compared(shop, capsys):
    """It would look better than it is; nothing is trained for it."""
    registry = demand_registry(shop)
    registry.client.create_registered_model(registry.model)
    tags = {"encoder": "gru", "training_cutoff": str(CUTOFF + timedelta(days=7))}
    registry.client.create_model_version(registry.model, "file:///none", tags=tags)
    registry.set_alias(CHAMPION, "1")
    code = train_demand.main(argv(shop))

    assert code == 2
    assert said(capsys)["message"] == (
        "--cutoff 2017-07-18: found champion 1, trained at 2017-07-25, which knows what came "
        "true, expected a champion trained at the cutoff or before it. Train at 2017-07-25 or "
        "later, or go back to the champion before with `nightshift rollback --demand`."
    )


@pytest.mark.slow
def test_mlflow_serves_the_forecaster_from_units_by_day(shop, capsys):
    """What it says of the series is what the night's table says."""
    import mlflow

    assert train_demand.main(argv(shop)) == 0
    assert forecast_demand.main(argv(shop)) == 0
    lake, registry = open_lake(shop), demand_registry(shop)
    mlflow.set_tracking_uri(registry.tracking_uri)
    version = registry.resolve(CHAMPION)
    model = mlflow.pyfunc.load_model(f"models:/{version.name}/{version.version}")
    from contracts.tables import SERIES

    series = lake.read_arrow(SERIES, columns=["item_id", "category", "day", "units"]).to_pandas()
    series["day"] = series["day"].astype(str)
    served = model.predict(series, params={"cutoff": str(CUTOFF)})
    night = lake.read_arrow(DEMAND).to_pandas().sort_values(["item_id", "target_date"])
    served = served.sort_values(["item_id", "target_date"])

    np.testing.assert_allclose(served["expected_units"], night["expected_units"], rtol=1e-5)
    np.testing.assert_array_equal(served["units_p90"], night["units_p90"])
