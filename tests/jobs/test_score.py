"""Scoring: one row for every user, from the champion, the same on every run."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from contracts.errors import AuditError, MissingPartitionError, NoChampionError, UnreachableError
from contracts.tables import SCORES, SEQUENCES
from contracts.windows import one_day
from jobs import rollback, score, score_batches
from jobs.lake.column_types import arrow_schema, spark_schema
from jobs.lake.lake import Lake, open_lake
from jobs.running.settings import PROJECT, Settings, load_settings, recalled
from models.config import GRUConfig, LabelHorizons, load_train_config
from models.networks.network import Network
from models.registry.artifact import Manifest, save_artifact
from models.registry.predict import Predictor
from models.registry.registry import Registry
from models.sequences.history import Histories
from models.sequences.vocabulary import Vocabulary
from models.training.calibration import IDENTITY, BaseRates, Calibration

from .admitted import make_champion

pytestmark = [pytest.mark.spark, pytest.mark.torch]

CUTOFF = date(2017, 11, 29)
NIGHT_BEFORE = CUTOFF - timedelta(days=1)
LEFT = ("user-3", "user-8")
USERS = ['O\'Brien "the" \\ hat', "🛒 Zoë", "x" * 500, *(f"user-{n}" for n in range(17))]
ITEMS = ["milk", "bread", "eggs", "apples"]


FACTS = {"money": "net"}  # how lifetime_spend is counted


def sequence_rows(cutoff: date, users: list[str]) -> pa.Table:
    """User n bought n + 1 things, one a day, the last on the day before the cutoff.

    The users of `LEFT` bought the last of theirs longer ago than churn is asked about.
    """
    rows = []
    for n, user in enumerate(users):
        ago = 61 if user in LEFT else 1
        last = datetime(cutoff.year, cutoff.month, cutoff.day, 12, tzinfo=UTC) - timedelta(days=ago)
        times = [last - timedelta(days=n - place) for place in range(n + 1)]
        items = [ITEMS[(n + place) % len(ITEMS)] for place in range(n + 1)]
        rows.append(
            {
                "user_id": user,
                "event_times": times,
                "event_ids": [f"{n}-{place}" for place in range(n + 1)],
                "item_ids": items,
                "event_types": ["purchase"] * (n + 1),
                "categories": ["FOOD"] * (n + 1),
                "quantities": [1.0] * (n + 1),
                "amounts": [2.5] * (n + 1),
                "session_starts": [True] * (n + 1),
                "lifetime_events": n + 1,
                "lifetime_spend": 2.5 * (n + 1),
                "first_event_time": times[0],
                "last_event_time": times[-1],
                "cutoff": cutoff,
            }
        )
    return pa.Table.from_pylist(rows, schema=arrow_schema(SEQUENCES))


def save_model(folder: Path) -> Path:
    """A GRU with random weights: it has learnt nothing, and answers like any other."""
    torch.manual_seed(0)
    encoder = GRUConfig(max_length=16, dim=8, num_layers=1, dropout=0.0)
    config = load_train_config(
        PROJECT / "configs" / "models" / "gru.yaml", encoder=encoder.model_dump()
    )
    vocabulary = Vocabulary.of(Histories.from_arrow(sequence_rows(CUTOFF, USERS)), min_item_count=1)
    manifest = Manifest(
        config=config,
        horizons=LabelHorizons(
            money="net",
            purchase_days=7,
            churn_days=28,
            churn_active_days=60,
            spend_days=28,
            items_days=7,
        ),
        time_zone="America/New_York",
        training_cutoff=NIGHT_BEFORE,
        label_limit=date(2017, 10, 1),
        snapshot_ids={},
        session_gap_minutes=30,
        max_events=2048,
        base_rates=BaseRates(purchase=0.5, churn=0.1, spend=10.0),
        calibration=Calibration(purchase=IDENTITY, churn=IDENTITY, spend=1.0),
        metrics={},
    )
    save_artifact(folder, manifest, vocabulary, Network(encoder, vocabulary).state_dict())
    return folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One home for the file's tests: a lake with a night's sequences, and a champion."""
    folder = tmp_path_factory.mktemp("score")
    values = yaml.safe_load((PROJECT / "configs" / "nightshift.yaml").read_text())
    values["home"] = str(folder / "home")
    values["spark"] = {"master": "local[1]", "driver_memory": "1g", "partitions": 2}
    values["recommendations"] = {"top_k": 3}
    file = folder / "nightshift.yaml"
    file.write_text(yaml.safe_dump(values))
    return load_settings(file)


@pytest.fixture(scope="module")
def lake(settings, spark) -> Lake:
    lake = open_lake(settings)
    frame = spark.createDataFrame(sequence_rows(CUTOFF, USERS).to_pylist(), spark_schema(SEQUENCES))
    lake.replace(
        frame, SEQUENCES, window=one_day(CUTOFF), run_key="sequences-1", reads={}, facts=FACTS
    )
    return lake


@pytest.fixture(scope="module")
def registry(settings, tmp_path_factory) -> Registry:
    mlflow = settings.mlflow
    registry = Registry(mlflow.tracking_uri, mlflow.model, settings.artifacts_uri)
    run_id = registry.start_run("tests", name="gru", params={}, tags={})
    folder = save_model(tmp_path_factory.mktemp("model"))
    version = registry.register(folder, run_id, NIGHT_BEFORE, "gru")
    make_champion(settings, registry, version.version)
    return registry


def run_score(settings: Settings, capsys: pytest.CaptureFixture[str], cutoff: date) -> dict:
    capsys.readouterr()
    code = score.main(["--cutoff", str(cutoff), "--config", str(settings.file), "--json"])
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    return {**summary, "code": code}


def rows_at(lake: Lake, cutoff: date) -> pa.Table:
    return lake.read_arrow(SCORES, window=one_day(cutoff)).sort_by("user_id")


def test_every_user_gets_one_row_of_the_champion(settings, lake, registry, capsys):
    """As many rows as users, whatever their ids look like, complete and in range."""
    summary = run_score(settings, capsys, CUTOFF)
    rows = rows_at(lake, CUTOFF)
    commit = lake.require(SCORES, CUTOFF, producer="nightshift score")

    assert summary["code"] == 0
    assert (summary["users"], summary["model_version"], summary["is_hindsight"]) == (20, "1", False)
    assert rows["user_id"].to_pylist() == sorted(USERS, key=str.encode)
    assert rows.column_names == SCORES.column_names
    assert {name: rows[name].null_count for name in rows.column_names if rows[name].null_count} == {
        "churn_probability_28d": len(LEFT)
    }
    for row in rows.to_pylist():
        ago = 61 if row["user_id"] in LEFT else 1
        assert row["last_event_date"] == CUTOFF - timedelta(days=ago)
        assert (row["churn_probability_28d"] is None) == (row["user_id"] in LEFT)
    assert commit.facts["churn_active_days"] == "60"
    for name in ("purchase_probability_7d", "churn_probability_28d"):
        assert 0 <= pc.min(rows[name]).as_py() <= pc.max(rows[name]).as_py() <= 1
    assert pc.unique(pc.list_value_length(rows["recommended_item_ids"])).to_pylist() == [3]
    assert pc.unique(rows["run_id"]).to_pylist() == [registry.resolve("champion").run_id]
    assert commit.reads == {"sequences": lake.require(SEQUENCES, CUTOFF, producer="").snapshot_id}
    assert commit.content_hash == summary["content_hash"]
    assert datetime.fromisoformat(commit.facts["scored_at"]).tzinfo == UTC


def test_spark_says_what_the_model_says_of_each_user_alone(settings, lake, registry, tmp_path):
    """Neither the other users of a batch nor the way through Arrow and Parquet changes a score."""
    rows = rows_at(lake, CUTOFF).to_pylist()
    predictor = Predictor.load(registry.download(registry.resolve("champion"), tmp_path))
    sequences = {row["user_id"]: row for row in sequence_rows(CUTOFF, USERS).to_pylist()}

    assert len({row["purchase_probability_7d"] for row in rows}) > 10
    for row in rows:
        alone = pa.Table.from_pylist([sequences[row["user_id"]]], schema=arrow_schema(SEQUENCES))
        found = predictor.predict(alone, cutoff=CUTOFF, top_k=3)
        assert row["purchase_probability_7d"] == pytest.approx(found.purchase[0], abs=1e-5)
        asked = row["churn_probability_28d"] is not None
        assert asked == found.is_active[0]
        assert not asked or row["churn_probability_28d"] == pytest.approx(found.churn[0], abs=1e-5)
        assert row["expected_spend_28d"] == pytest.approx(found.spend[0], abs=0.01)
        assert row["recommended_item_ids"] == found.item_ids[0].tolist()
        assert row["embedding"] == pytest.approx(found.embeddings[0].tolist(), abs=1e-4)


def test_the_registered_version_says_of_raw_events_what_the_night_said(settings, lake, registry):
    """`mlflow.pyfunc.load_model` needs neither lake nor Spark, and answers to 1e-5."""
    night = {row["user_id"]: row for row in rows_at(lake, CUTOFF).to_pylist()}
    events = raw_events(sequence_rows(CUTOFF, USERS))
    mlflow.set_tracking_uri(registry.tracking_uri)

    served = mlflow.pyfunc.load_model(f"models:/{registry.model}@champion")
    answer = served.predict(events, params={"cutoff": str(CUTOFF), "top_k": 3})

    assert sorted(answer["user_id"]) == sorted(night)
    for _, said in answer.iterrows():
        row = night[said["user_id"]]
        assert said["purchase_probability_7d"] == pytest.approx(
            row["purchase_probability_7d"], abs=1e-5
        )
        churn = said["churn_probability_28d"]
        assert (None if churn is None else pytest.approx(churn, abs=1e-5)) == (
            row["churn_probability_28d"]
        )
        assert said["last_event_date"] == str(row["last_event_date"])
        assert said["expected_spend_28d"] == pytest.approx(row["expected_spend_28d"], abs=0.01)
        assert said["recommended_item_ids"] == row["recommended_item_ids"]
        assert said["recommended_scores"] == pytest.approx(row["recommended_scores"], abs=1e-5)


def raw_events(sequences: pa.Table) -> pd.DataFrame:
    """The events that the rows are made of, shuffled, as a caller would send them."""
    names = {
        "item_id": "item_ids",
        "event_type": "event_types",
        "event_time": "event_times",
        "category": "categories",
        "amount": "amounts",
        "quantity": "quantities",
    }
    events = [
        {"user_id": row["user_id"], **{one: row[many][n] for one, many in names.items()}}
        for row in sequences.to_pylist()
        for n in range(len(row["event_times"]))
    ]
    frame = pd.DataFrame(events).sample(frac=1.0, random_state=0)
    return frame.assign(event_time=frame["event_time"].map(lambda time: time.isoformat()))


def test_numbers_are_rounded_to_what_the_contract_can_keep(settings, lake, registry):
    """Six decimals of a probability, two of money, five of a state."""
    rows = rows_at(lake, CUTOFF)

    for name, decimals in [
        ("purchase_probability_7d", 6),
        ("churn_probability_28d", 6),
        ("expected_spend_28d", 2),
    ]:
        assert rows[name].equals(pc.round(rows[name], ndigits=decimals))
    for name, decimals in [("recommended_scores", 6), ("embedding", 5)]:
        values = pc.list_flatten(rows[name])
        assert values.equals(pc.round(values, ndigits=decimals))


def test_what_the_configuration_excludes_is_recommended_to_nobody(
    settings, lake, registry, capsys, monkeypatch
):
    """What a user has bought, what is out of stock or excluded; who is left with none has a row.

    The commit remembers each of them, for the replay of a night whose configuration has changed.
    """
    (settings.home / f"gone-{CUTOFF}.txt").write_text("eggs\n")
    monkeypatch.setenv("NIGHTSHIFT__RECOMMENDATIONS__EXCLUDE_BOUGHT", "true")
    monkeypatch.setenv("NIGHTSHIFT__RECOMMENDATIONS__EXCLUDE_ITEMS_FILE", "'gone-{cutoff}.txt'")
    monkeypatch.setenv("NIGHTSHIFT__EXCLUSIONS__ITEM_PATTERNS", "['bre*']")
    try:
        summary = run_score(settings, capsys, CUTOFF)
        rows = {row["user_id"]: row for row in rows_at(lake, CUTOFF).to_pylist()}
        facts = lake.require(SCORES, CUTOFF, producer="nightshift score").facts
    finally:
        monkeypatch.undo()
        run_score(settings, capsys, CUTOFF)

    assert (summary["code"], summary["users"]) == (0, 20)
    for n, user in enumerate(USERS):
        had = {ITEMS[(n + place) % len(ITEMS)] for place in range(n + 1)}
        assert {*rows[user]["recommended_item_ids"]} == {*ITEMS} - had - {"eggs", "bread"}
        assert len(rows[user]["recommended_scores"]) == len(rows[user]["recommended_item_ids"])
    assert recalled(settings, facts).exclusions.item_patterns == ("bre*",)
    assert recalled(settings, facts).recommendations.exclude_bought is True


def test_whoever_the_user_is_there_is_a_row(settings, lake, registry, capsys, spark):
    """No event before the cutoff, only items that nobody has seen, ten thousand events."""
    night = CUTOFF + timedelta(days=2)
    later, unseen, busy = sequence_rows(night, ["later", "unseen", "busy"]).to_pylist()
    later["event_times"] = [datetime(2017, 12, 24, tzinfo=UTC)]
    unseen["item_ids"] = ['never "seen" 🛒', "nor 'this'"]
    times = [busy["event_times"][0] - timedelta(minutes=n) for n in range(10_000)]
    same = {name: [busy[name][0]] * len(times) for name in busy if isinstance(busy[name], list)}
    busy |= {**same, "event_times": times[::-1], "lifetime_events": len(times)}
    frame = spark.createDataFrame([later, unseen, busy], spark_schema(SEQUENCES))
    lake.replace(frame, SEQUENCES, window=one_day(night), run_key="edges", reads={}, facts=FACTS)

    summary = run_score(settings, capsys, night)
    rows = {row["user_id"]: row for row in rows_at(lake, night).to_pylist()}

    assert (summary["code"], sorted(rows)) == (0, ["busy", "later", "unseen"])
    assert rows["later"]["purchase_probability_7d"] == 0.5  # the base rate
    assert not any(rows["later"]["embedding"])
    for name in ("unseen", "busy"):
        assert any(rows[name]["embedding"])
        assert rows[name]["purchase_probability_7d"] != 0.5
    assert all(len(row["recommended_item_ids"]) == 3 for row in rows.values())


def test_a_second_run_writes_the_same_rows(settings, lake, registry, capsys):
    """Equal content hash, one partition; and a model that knew what came later is called hindsight.

    Rows of a backfill may be made by a later model; an evaluation must not read them.
    """
    first = lake.require(SCORES, CUTOFF, producer="nightshift score")
    registry.set_tags("1", {"training_cutoff": str(CUTOFF + timedelta(days=1))})
    try:
        second = run_score(settings, capsys, CUTOFF)
    finally:
        registry.set_tags("1", {"training_cutoff": NIGHT_BEFORE.isoformat()})

    assert second["is_hindsight"] is True
    assert first.content_hash == second["content_hash"]
    assert first.snapshot_id != second["snapshot_id"]
    assert rows_at(lake, CUTOFF).num_rows == len(USERS)


def test_a_missing_user_stops_the_night_before_anyone_sees_it(
    settings, lake, registry, capsys, monkeypatch
):
    """The count is checked before the commit: the scores of the run before stay."""
    before = lake.snapshot_id(SCORES)
    whole = score.write_scores

    def lose_one(*args: Any) -> list[str]:
        first, *others = whole(*args)
        file = first.removeprefix("file://")
        pq.write_table(pq.read_table(file, partitioning=None).slice(1), file)
        return [first, *others]

    monkeypatch.setattr(score, "write_scores", lose_one)
    summary = run_score(settings, capsys, CUTOFF)

    assert (summary["code"], summary["error"]) == (3, AuditError.__name__)
    assert summary["message"] == (
        "scores/cutoff=2017-11-29: found 19 rows, expected 20, one for each user in sequences. "
        "Nothing was committed. Run `nightshift sequences --cutoff 2017-11-29` again, "
        "then score again."
    )
    assert lake.snapshot_id(SCORES) == before


def test_without_sequences_scoring_says_what_to_run(settings, lake, registry, capsys):
    """A night whose users are not known yet has no scores, not an empty table."""
    summary = run_score(settings, capsys, date(2017, 11, 30))

    assert (summary["code"], summary["error"]) == (3, MissingPartitionError.__name__)
    assert "Run `nightshift sequences --cutoff 2017-11-30` first" in summary["message"]


def test_after_a_rollback_the_next_night_asks_the_version_before(
    settings, lake, registry, capsys, tmp_path
):
    """One command, and nothing else to set back."""
    run_id = registry.start_run("tests", name="later", params={}, tags={})
    second = registry.register(save_model(tmp_path / "later"), run_id, NIGHT_BEFORE, "gru")
    make_champion(settings, registry, second.version)
    registry.set_tags(str(second.version), {"previous_champion": "1"})
    with_second = run_score(settings, capsys, CUTOFF)

    code = rollback.main(["--config", str(settings.file)])
    after = run_score(settings, capsys, CUTOFF)

    assert with_second["model_version"] == str(second.version)
    assert (code, after["model_version"]) == (0, "1")
    assert {*rows_at(lake, CUTOFF)["model_version"].to_pylist()} == {"1"}


def test_a_version_that_the_gate_did_not_admit_scores_nothing(
    settings, lake, registry, capsys, tmp_path
):
    """Whoever moved the alias: exit code 4, and the rows of before stay as they are."""
    before = run_score(settings, capsys, CUTOFF)["content_hash"]
    run_id = registry.start_run("tests", name="bad", params={}, tags={})
    bad = registry.register(save_model(tmp_path / "bad"), run_id, NIGHT_BEFORE, "gru")
    registry.set_alias("champion", bad.version)
    try:
        summary = run_score(settings, capsys, CUTOFF)
    finally:
        registry.set_alias("champion", "1")

    assert (summary["code"], summary["error"]) == (4, "NotAdmittedError")
    assert summary["message"].startswith(f"nightshift version {bad.version}: found no admission,")
    assert run_score(settings, capsys, CUTOFF)["content_hash"] == before


def test_files_that_were_changed_after_the_verdict_score_nothing(
    settings, lake, registry, capsys, tmp_path
):
    """Weights of another training under the champion's name: exit code 3, before any is read."""
    run_id = registry.start_run("tests", name="later", params={}, tags={})
    later = registry.register(save_model(tmp_path / "later"), run_id, NIGHT_BEFORE, "gru")
    make_champion(settings, registry, later.version)
    source = registry.client.get_model_version("nightshift", later.version).source
    model = registry.client.get_logged_model(source.removeprefix("models:/"))
    folder = Path(model.artifact_location.removeprefix("file://"))
    (file,) = folder.glob("data/*/weights.safetensors")
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\xc0\x7f")  # the last number is none
    try:
        summary = run_score(settings, capsys, CUTOFF)
    finally:
        registry.set_alias("champion", "1")

    assert (summary["code"], summary["error"]) == (3, "DamagedModelError")
    assert "weights.safetensors changed" in summary["message"]


def test_a_version_that_counts_money_otherwise_is_not_asked(
    settings, lake, registry, capsys, monkeypatch, spark
):
    """Its spend would be gross in a column that is net: nothing is written."""
    monkeypatch.setenv("NIGHTSHIFT__MONEY", "gross")
    sequences = run_score(settings, capsys, CUTOFF)
    rows = sequence_rows(CUTOFF, USERS).to_pylist()
    night = CUTOFF + timedelta(days=30)
    frame = spark.createDataFrame(
        [row | {"cutoff": night} for row in rows], spark_schema(SEQUENCES)
    )
    facts = {"money": "gross"}
    lake.replace(frame, SEQUENCES, window=one_day(night), run_key="gross", reads={}, facts=facts)
    version = run_score(settings, capsys, night)

    assert (sequences["code"], sequences["error"]) == (2, "OtherMoneyError")
    assert f"nightshift sequences --cutoff {CUTOFF} --full" in sequences["message"]
    assert (version["code"], version["error"]) == (2, "OtherMoneyError")
    assert version["message"].startswith("nightshift version 1: found spend counted net")


def test_without_a_champion_nothing_is_scored(settings, lake, registry, capsys):
    """The gate's message, with its exit code: never some other version in its place."""
    registry.client.delete_registered_model_alias(registry.model, "champion")
    try:
        summary = run_score(settings, capsys, CUTOFF)
    finally:
        registry.set_alias("champion", "1")

    assert (summary["code"], summary["error"]) == (4, NoChampionError.__name__)


def test_an_unreachable_registry_is_named(settings, lake, capsys, monkeypatch):
    """MLflow down is a red task that says so, within seconds."""
    monkeypatch.setenv("NIGHTSHIFT__MLFLOW__TRACKING_URI", "http://127.0.0.1:9")
    summary = run_score(settings, capsys, CUTOFF)

    assert (summary["code"], summary["error"]) == (1, UnreachableError.__name__)
    assert "MLflow at http://127.0.0.1:9" in summary["message"]


def test_a_process_loads_the_model_once_and_uses_one_thread(tmp_path):
    """Tasks of one executor share the model; threads of one task never fight with another's."""
    folder = str(save_model(tmp_path / "model"))
    threads = torch.get_num_threads()
    try:
        first = score_batches.load_once(folder, 1)

        assert score_batches.load_once(folder, 1) is first
        assert score_batches.load_once(folder, 2) is not first
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)


def test_answers_out_of_order_are_refused(tmp_path):
    """A score must never be written beside another user's id."""
    predictor = Predictor.load(save_model(tmp_path / "model"))
    batch = sequence_rows(CUTOFF, USERS[:2]).to_batches()[0]
    answer = predictor.predict(batch, cutoff=CUTOFF, top_k=3)
    answer.user_ids.reverse()
    stamp = score_batches.Stamp("nightshift", "1", "abc", CUTOFF)
    request = score_batches.Request("model", stamp, top_k=3)

    class Confused(Predictor):
        def __init__(self) -> None:
            pass

        def predict(self, *args: object, **options: object):
            return answer

    with pytest.raises(AuditError) as caught:
        score_batches.score_batch(Confused(), batch, request)

    assert str(caught.value) == (
        "model nightshift version 1: found 2 answers, "
        "expected one for each of 2 users, in their order. "
        "Nothing was committed. Mend models/registry/predict.py."
    )
