"""Publishing: the lake's night as its readers see it, audited, and nothing when it is not whole."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from contracts.errors import (
    AuditError,
    MissingPartitionError,
    NotAdmittedError,
    UnreachableError,
    VanishedWarehouseError,
)
from contracts.exclusions import NOTHING
from contracts.tables import (
    DEMAND,
    DEMAND_BY_CATEGORY,
    NIGHTLY,
    SCORES,
    SEQUENCES,
    USER_SCORES,
)
from contracts.windows import one_day
from jobs import publish
from jobs.lake.column_types import arrow_schema, spark_schema
from jobs.lake.lake import Lake, open_lake
from jobs.published_models import Catalogue, by_head, model_row
from jobs.running.settings import PROJECT, Settings, load_settings
from jobs.warehouse.audit import DECILES, audit
from jobs.warehouse.drift import distributions
from jobs.warehouse.night_rows import user_recommendations, user_scores
from jobs.warehouse.warehouse import open_warehouse
from models.registry.registry import DATA, ModelVersion, Registry
from models.sequences.vocabulary import Vocabulary

from .admitted import make_champion

CUTOFF = date(2017, 11, 29)
NOON = datetime(2017, 11, 29, 12, tzinfo=UTC)
USERS = ["O'Brien", "🛒 Zoë", *(f"user-{n:02d}" for n in range(21))]
DAYS = 28
ACTIVE_DAYS = 60
CATALOGUE = ["milk", "bread", "eggs", "tea"]


def scores(users: list[str] = USERS, *, share: float | None = None) -> pa.Table:
    """Users' scores, highest last; with ``share`` given, all the same."""
    rows = [
        {
            "user_id": user,
            "purchase_probability_7d": (n + 1) / 100 if share is None else share,
            "churn_probability_28d": 1 - (n + 1) / 100 if share is None else share,
            "last_event_date": CUTOFF - timedelta(days=ACTIVE_DAYS),
            "expected_spend_28d": 10.0 * n,
            "recommended_item_ids": ["milk", "bread", "eggs"][: 1 + n % 3],
            "recommended_scores": [0.5, 0.25, 0.125][: 1 + n % 3],
            "embedding": [0.0, 1.0],
            "model_name": "nightshift",
            "model_version": "1",
            "run_id": "abc",
            "cutoff": CUTOFF,
        }
        for n, user in enumerate(users)
    ]
    return pa.Table.from_pylist(rows, schema=arrow_schema(SCORES))


def demand(p10: float = 1.0) -> pa.Table:
    rows = [
        {
            "item_id": item,
            "category": category,
            "target_date": CUTOFF + timedelta(days=n),
            "units_p10": p10,
            "units_p50": 2.0,
            "units_p90": 3.0,
            "expected_units": 2.0,
            "model_version": "weekday-mean-8w",
            "cutoff": CUTOFF,
        }
        for item, category in (("milk", "dairy"), ("bread", ""))
        for n in range(DAYS)
    ]
    return pa.Table.from_pylist(rows, schema=arrow_schema(DEMAND))


def by_category() -> pa.Table:
    """With one item in each category, what is said of the items."""
    return demand().drop("item_id")


def night_in_lake() -> publish.NightInLake:
    return publish.NightInLake(
        scores(), demand(), by_category(), scores()["user_id"], NOON, ACTIVE_DAYS, {}
    )


# ---- the rows ------------------------------------------------------------------------------------


def test_the_tenth_decile_holds_the_highest_tenth():
    """Deciles are equal groups by value, and each value has its own."""
    rows = user_scores(scores(), scored_at=NOON).sort_by("purchase_probability_7d").to_pylist()
    by_purchase = [row["purchase_decile"] for row in rows]
    sizes = [by_purchase.count(decile) for decile in range(1, 11)]

    assert by_purchase == sorted(by_purchase)
    assert (by_purchase[0], by_purchase[-1]) == (1, 10)
    assert sorted(set(sizes)) == [2, 3]
    assert (rows[0]["churn_decile"], rows[-1]["churn_decile"]) == (10, 1)
    assert (rows[0]["spend_decile"], rows[-1]["spend_decile"]) == (1, 10)


def test_equal_values_are_told_apart_by_user_id():
    """Users the model cannot tell apart still make equal groups, the same on every run."""
    forward = user_scores(scores(share=0.5), scored_at=NOON)
    backward = user_scores(scores(share=0.5).take(list(range(len(USERS)))[::-1]), scored_at=NOON)
    ordered = forward.sort_by("user_id")["purchase_decile"].to_pylist()

    assert ordered == sorted(ordered)
    assert forward.sort_by("user_id") == backward.sort_by("user_id")


def test_a_decile_of_churn_is_a_tenth_of_the_users_who_are_asked():
    """Who left long ago has neither probability nor decile, and takes no place of the others'."""
    asked = [n % 2 == 0 for n in range(len(USERS))]
    lake = scores().to_pylist()
    for row, is_asked in zip(lake, asked, strict=True):
        if not is_asked:
            row["churn_probability_28d"] = None
            row["last_event_date"] = CUTOFF - timedelta(days=ACTIVE_DAYS + 1)
    of_lake = pa.Table.from_pylist(lake, schema=arrow_schema(SCORES))
    rows = user_scores(of_lake, scored_at=NOON)
    found = [row for row in rows.to_pylist() if row["churn_probability_28d"] is not None]
    sizes = [sum(row["churn_decile"] == decile for row in found) for decile in range(1, 11)]

    assert len(found) == sum(asked) == 12
    assert sorted(sizes) == [*[1] * 8, 2, 2]
    assert rows["churn_decile"].null_count == len(USERS) - 12
    assert rows["purchase_decile"].null_count == rows["spend_decile"].null_count == 0
    night = replace(night_in_lake(), scores=of_lake)
    expected = publish.expectations(
        night,
        CUTOFF,
        demand_days=DAYS,
        catalogue=Catalogue(pa.array(CATALOGUE), pa.array([], pa.string())),
        exclusions=NOTHING,
        before={},
        max_psi=0.25,
    )
    audit(publish.nightly_rows(night), expected)


def test_a_night_in_which_nobody_is_asked_about_churn_has_no_churn():
    """A shop that was shut for longer than the days of `churn_active_days`."""
    lake = [
        {**row, "churn_probability_28d": None, "last_event_date": date(2017, 1, 1)}
        for row in scores().to_pylist()
    ]
    night = replace(night_in_lake(), scores=pa.Table.from_pylist(lake, schema=arrow_schema(SCORES)))
    rows = publish.nightly_rows(night)
    counts = distributions(USER_SCORES, rows[USER_SCORES])
    expected = publish.expectations(
        night,
        CUTOFF,
        demand_days=DAYS,
        catalogue=Catalogue(pa.array(CATALOGUE), pa.array([], pa.string())),
        exclusions=NOTHING,
        before=counts,
        max_psi=0.25,
    )

    audit(rows, expected)
    assert rows[USER_SCORES]["churn_decile"].null_count == len(USERS)


def test_recommendations_are_ranked_from_one():
    """One row for each user and item, user by user, in the model's order, all that it gave."""
    rows = user_recommendations(scores(USERS[:3])).to_pylist()

    assert [(row["user_id"], row["rank"], row["item_id"], row["score"]) for row in rows] == [
        ("O'Brien", 1, "milk", 0.5),
        ("user-00", 1, "milk", 0.5),
        ("user-00", 2, "bread", 0.25),
        ("user-00", 3, "eggs", 0.125),
        ("🛒 Zoë", 1, "milk", 0.5),
        ("🛒 Zoë", 2, "bread", 0.25),
    ]


def test_a_night_of_the_lake_passes_its_own_audit():
    """What publish makes of sound rows is sound: every decile, rank and hash."""
    night = night_in_lake()
    rows = publish.nightly_rows(night)

    expected = publish.expectations(
        night,
        CUTOFF,
        demand_days=DAYS,
        catalogue=Catalogue(pa.array(CATALOGUE), pa.array([], pa.string())),
        exclusions=NOTHING,
        before={},
        max_psi=0.25,
    )
    audit(rows, expected)
    assert set(DECILES) < set(rows[USER_SCORES].column_names)


def test_only_test_metrics_reach_the_readers():
    """Curves of training say nothing of matured nights; baselines are not the model."""
    metrics = {
        "test/purchase/auroc": 0.8,
        "test/purchase/ece": 0.01,
        "test/next_item/ndcg_at_10": 0.1,
        "val/purchase/auroc": 0.9,
        "lightgbm/purchase/auroc": 0.7,
        "test/loss": 1.0,
    }

    assert by_head(metrics) == {
        "purchase": {"auroc": 0.8, "ece": 0.01},
        "next_item": {"ndcg_at_10": 0.1},
    }


def test_a_model_tells_who_promoted_it_and_when():
    """A version that scored before anybody promoted it by name has empty fields, not a guess."""
    tags = {"promoted_at": "2017-11-28T12:00:00+00:00", "promoted_by": "Ada"}
    promoted = ModelVersion("nightshift", "1", "abc", "gru", CUTOFF, tags)
    unnamed = ModelVersion("nightshift", "1", "abc", "gru", CUTOFF, {})

    row = model_row(promoted, NOON.timestamp(), {})
    assert (row["promoted_at"], row["promoted_by"]) == (NOON - timedelta(days=1), "Ada")
    assert row["trained_at"] == NOON
    row = model_row(unnamed, NOON.timestamp(), {})
    assert (row["promoted_at"], row["promoted_by"]) == (None, None)


# ---- the program ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("publish")
    values = yaml.safe_load((PROJECT / "configs" / "nightshift.yaml").read_text())
    values["home"] = str(folder / "home")
    values["horizons"]["demand_days"] = DAYS
    file = folder / "nightshift.yaml"
    file.write_text(yaml.safe_dump(values))
    return load_settings(file)


@pytest.fixture(scope="module")
def lake(settings, spark) -> Lake:
    """A night in the lake as the jobs before leave it, and the version that made it."""
    lake = open_lake(settings)
    users = [
        {
            **dict.fromkeys(SEQUENCES.column_names),
            **{c.name: [] for c in SEQUENCES.columns if c.type.startswith("list")},
            "user_id": user,
            "lifetime_events": 0,
            "lifetime_spend": 0.0,
            "first_event_time": NOON,
            "last_event_time": NOON,
            "cutoff": CUTOFF,
        }
        for user in USERS
    ]

    def commit(table, rows, run_key, **options):
        frame = spark.createDataFrame(rows, spark_schema(table))
        return lake.replace(frame, table, window=one_day(CUTOFF), run_key=run_key, **options)

    sequences = commit(SEQUENCES, users, "sequences-1", reads={})
    commit(DEMAND_BY_CATEGORY, by_category().to_pylist(), "demand-1", reads={})
    commit(DEMAND, demand().to_pylist(), "demand-1", reads={})
    commit(
        SCORES,
        scores().to_pylist(),
        "score-1",
        reads={"sequences": sequences.snapshot_id},
        facts={"scored_at": NOON.isoformat(), "churn_active_days": str(ACTIVE_DAYS)},
    )
    mlflow = settings.mlflow
    registry = Registry(mlflow.tracking_uri, mlflow.model, settings.artifacts_uri)
    run_id = registry.start_run("tests", name="gru", params={}, tags={})
    registry.log_metrics(run_id, {"test/purchase/auroc": 0.75})
    registry.end_run(run_id)
    registry.client.create_registered_model(registry.model)
    tags = {"encoder": "gru", "training_cutoff": "2017-11-28", "promoted_by": "the written rule"}
    version = settings.home / "version"
    held = version / DATA / "model"
    held.mkdir(parents=True)
    (held / "manifest.json").write_text("{}")
    Vocabulary(tuple(CATALOGUE), (0,) * 4, (), (), (), (), 0).save(held)
    registry.client.create_model_version(registry.model, version.as_uri(), run_id, tags=tags)
    make_champion(settings, registry, "1")
    return lake


def run_publish(
    settings: Settings, capsys: pytest.CaptureFixture[str], cutoff: date, *more: str
) -> dict:
    capsys.readouterr()
    code = publish.main(["--cutoff", str(cutoff), "--config", str(settings.file), "--json", *more])
    return {**json.loads(capsys.readouterr().out.splitlines()[-1]), "code": code}


@pytest.mark.spark
def test_a_night_is_published_with_its_ledger_and_its_model(settings, lake, capsys):
    """Tables, ledger and model row appear together, and say where they come from."""
    summary = run_publish(settings, capsys, CUTOFF)
    warehouse = open_warehouse(settings)
    ledger = warehouse.query("SELECT * FROM publish_ledger").to_pylist()
    (model,) = warehouse.query("SELECT * FROM models").to_pylist()
    ids = {name: lake.snapshot_id(table) for name, table in TABLES_READ.items()}

    assert summary["code"] == 0
    assert {name: table["rows"] for name, table in summary["tables"].items()} == {
        "user_scores": 23,
        "user_recommendations": 45,
        "item_demand": 56,
        "category_demand": 56,
    }
    assert {row["table_name"]: row["content_hash"] for row in ledger} == {
        name: table["content_hash"] for name, table in summary["tables"].items()
    }
    assert {row["run_key"] for row in ledger} == {summary["run_key"]}
    assert [json.loads(row["snapshot_ids"]) for row in ledger] == [ids] * 4
    assert (model["version"], model["encoder"], json.loads(model["metrics"])) == (
        "1",
        "gru",
        {"purchase": {"auroc": 0.75}},
    )
    users = warehouse.query("SELECT user_id, scored_at FROM user_scores_latest").to_pylist()
    assert {row["user_id"] for row in users} == set(USERS)
    assert {row["scored_at"].astimezone(UTC) for row in users} == {NOON}


TABLES_READ = {
    "scores": SCORES,
    "demand": DEMAND,
    "demand_by_category": DEMAND_BY_CATEGORY,
    "sequences": SEQUENCES,
}


@pytest.mark.spark
def test_the_forecaster_is_among_the_models_of_its_night(settings, lake):
    """A forecast by a version names it; one by a rule names no model."""
    mlflow = settings.mlflow
    users, forecasters = (
        Registry(mlflow.tracking_uri, name, settings.artifacts_uri)
        for name in (mlflow.model, settings.demand.model)
    )
    run_id = forecasters.start_run("tests", name="demand", params={}, tags={})
    forecasters.log_metrics(run_id, {"test/items/7d/wape": 0.5})
    forecasters.end_run(run_id)
    forecasters.client.create_registered_model(forecasters.model)
    tags = {"encoder": "gru", "training_cutoff": "2017-11-28"}
    folder = settings.home / "forecaster"
    (folder / DATA / "model").mkdir(parents=True)
    (folder / DATA / "model" / "manifest.json").write_text("{}")
    forecasters.client.create_model_version(forecasters.model, folder.as_uri(), run_id, tags=tags)
    by_version = demand().set_column(
        demand().schema.get_field_index("model_version"),
        "model_version",
        pa.array(["nightshift-demand/1"] * len(demand())),
    )
    with pytest.raises(NotAdmittedError, match="nightshift-demand version 1: found no admission"):
        publish.models_of(settings, users, ["1"], by_version)
    make_champion(settings, forecasters, "1")
    found = publish.models_of(settings, users, ["1"], by_version).to_pylist()

    assert [(row["name"], row["version"]) for row in found] == [
        ("nightshift", "1"),
        ("nightshift-demand", "1"),
    ]
    assert json.loads(found[1]["metrics"]) == {"items": {"7d/wape": 0.5}}
    assert len(publish.models_of(settings, users, ["1"], demand())) == 1


@pytest.mark.spark
def test_a_second_publish_has_the_same_hashes(settings, lake, capsys):
    """The same night twice: the same rows, and one more entry of history in the ledger."""
    first = run_publish(settings, capsys, CUTOFF)
    second = run_publish(settings, capsys, CUTOFF)
    warehouse = open_warehouse(settings)

    assert first["tables"] == second["tables"]
    assert first["run_key"] != second["run_key"]
    assert warehouse.query("SELECT * FROM user_scores").num_rows == 23


@pytest.fixture
def broken_demand(lake, spark) -> Iterator[None]:
    """For one test, the lake's newest forecast is one whose quantiles cross."""

    def commit(rows: pa.Table, run_key: str) -> None:
        for table, of in ((DEMAND_BY_CATEGORY, rows.drop("item_id")), (DEMAND, rows)):
            frame = spark.createDataFrame(of.to_pylist(), spark_schema(table))
            lake.replace(frame, table, window=one_day(CUTOFF), run_key=run_key, reads={})

    commit(demand(p10=9.0), "demand-broken")
    yield
    commit(demand(), "demand-mended")


@pytest.mark.spark
def test_a_red_audit_ends_with_3_and_leaves_the_night_before(settings, lake, capsys, broken_demand):
    """Nothing of the night is published; screen, ledger and page say why."""
    run_publish(settings, capsys, CUTOFF - timedelta(days=1))
    warehouse = open_warehouse(settings)
    before = {table: warehouse.query(f"SELECT * FROM {table.name}") for table in NIGHTLY}
    summary = run_publish(settings, capsys, CUTOFF)
    reasons = warehouse.query(
        "SELECT DISTINCT reason FROM publish_ledger WHERE outcome = 'refused' AND cutoff = $1",
        CUTOFF,
    )
    page = Path(summary["report"]).read_text()

    assert (summary["code"], summary["error"]) == (3, AuditError.__name__)
    assert "item_demand: 56 rows whose quantiles cross" in summary["message"]
    assert reasons["reason"].to_pylist() == [summary["message"]]
    assert "item_demand: 56 rows whose quantiles cross" in page
    assert before == {table: warehouse.query(f"SELECT * FROM {table.name}") for table in NIGHTLY}


@pytest.mark.spark
def test_categories_are_those_of_the_run_that_made_the_items(settings, lake, spark, capsys):
    """A forecast killed between its two commits is not mixed with the one before."""
    whole = run_publish(settings, capsys, CUTOFF)
    frame = spark.createDataFrame(
        demand(p10=0.5).drop("item_id").to_pylist(), spark_schema(DEMAND_BY_CATEGORY)
    )
    lake.replace(frame, DEMAND_BY_CATEGORY, window=one_day(CUTOFF), run_key="killed", reads={})
    again = run_publish(settings, capsys, CUTOFF)

    assert (again["code"], again["tables"]) == (0, whole["tables"])


@pytest.mark.spark
def test_a_server_is_published_to_by_configuration_alone(
    settings, lake, capsys, monkeypatch, postgres_uri
):
    """The same night, the same hashes: only `warehouse.uri` and the readers' role differ."""
    in_file = run_publish(settings, capsys, CUTOFF)
    monkeypatch.setenv("NIGHTSHIFT__WAREHOUSE__URI", postgres_uri)
    monkeypatch.setenv("NIGHTSHIFT__WAREHOUSE__READER_ROLE", "nightshift_reader")
    on_server = run_publish(settings, capsys, CUTOFF)
    warehouse = open_warehouse(load_settings(settings.file))

    assert (on_server["code"], on_server["warehouse"]) == (0, postgres_uri)
    assert on_server["tables"] == in_file["tables"]
    assert warehouse.query("SELECT * FROM user_scores_latest").num_rows == 23


@pytest.mark.spark
def test_a_warehouse_that_is_gone_is_made_anew_only_when_asked(settings, lake, capsys):
    """Tonight alone would answer as if it were all that there ever was."""
    run_publish(settings, capsys, CUTOFF)
    (settings.home / settings.warehouse.uri).unlink()
    refused = run_publish(settings, capsys, CUTOFF)
    begun = run_publish(settings, capsys, CUTOFF, "--new-warehouse")

    assert (refused["code"], refused["error"]) == (3, VanishedWarehouseError.__name__)
    assert begun["code"] == 0


@pytest.mark.spark
def test_the_night_before_is_what_the_ledger_says_of_it(settings, lake, capsys):
    """Its counts are read from the ledger; a night of long ago, or of later, is none."""
    run_publish(settings, capsys, CUTOFF)
    warehouse = open_warehouse(settings)
    before = publish.read_before(warehouse, CUTOFF + timedelta(days=1))

    assert before == distributions(USER_SCORES, user_scores(scores(), scored_at=NOON))
    assert publish.read_before(warehouse, CUTOFF + timedelta(days=8)) == {}
    assert publish.read_before(warehouse, CUTOFF) == {}


@pytest.mark.spark
def test_a_night_without_scores_says_what_to_run(settings, lake, capsys):
    """A stage that has not committed is named with its command."""
    summary = run_publish(settings, capsys, CUTOFF + timedelta(days=1))

    assert (summary["code"], summary["error"]) == (3, MissingPartitionError.__name__)
    assert summary["message"] == (
        "scores/cutoff=2017-11-30: found no committed partition, expected one, committed whole. "
        "Run `nightshift score --cutoff 2017-11-30` first, then run this again."
    )


@pytest.mark.spark
def test_an_unreachable_registry_publishes_nothing(settings, lake, capsys, monkeypatch):
    """Without the registry the rows could not say what made them."""
    monkeypatch.setenv("NIGHTSHIFT__MLFLOW__TRACKING_URI", "http://127.0.0.1:9")
    summary = run_publish(settings, capsys, CUTOFF)

    assert (summary["code"], summary["error"]) == (1, UnreachableError.__name__)
    assert "MLflow at http://127.0.0.1:9" in summary["message"]


def test_every_table_that_a_night_replaces_is_published():
    """A nightly table of the contract that publish forgets would go stale in silence."""
    assert set(publish.nightly_rows(night_in_lake())) == set(NIGHTLY)
