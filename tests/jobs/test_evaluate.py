"""Evaluation of real versions in a real registry, on sequences of a real lake."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from contracts.errors import CutoffError, NoChampionError
from contracts.tables import SEQUENCES
from contracts.windows import one_day
from jobs import evaluate
from jobs.histories.read_sequences import sequences_as_of
from jobs.lake.column_types import arrow_schema, spark_schema
from jobs.lake.lake import open_lake
from jobs.registries import verdict_key
from jobs.running.settings import PROJECT, Settings
from models.config import GRUConfig, LabelHorizons, load_train_config
from models.registry.admission import evaluation_of
from models.registry.artifact import Manifest, save_artifact
from models.registry.registry import ModelVersion, Registry
from models.sequences.drawn import is_drawn
from models.sequences.history import Histories
from models.sequences.vocabulary import Vocabulary
from models.training.calibration import IDENTITY, BaseRates, Calibration
from tests.models.behaving_network import network_that_behaves

pytestmark = [pytest.mark.spark, pytest.mark.torch, pytest.mark.slow]

CUTOFF = date(2017, 11, 28)
NUM_USERS = 24
FACTS = {"money": "net"}  # how lifetime_spend is counted
ITEMS = ("milk", "bread", "eggs", "apples", "cheese")


def sequence_rows() -> pa.Table:
    """User n buys two things every n + 2 days from February on; every third stops in October."""
    rows = []
    for n in range(NUM_USERS):
        end = datetime(2017, 10, 5 if n % 3 == 0 else 27, 17, tzinfo=UTC)
        start = datetime(2017, 2, 1, 17, tzinfo=UTC)
        days = range(0, (end - start).days + 31, n + 2)
        times = [start + timedelta(days=day) for day in days for _ in range(2)]
        times = [time for time in times if time < datetime(2017, 11, 28, 5, tzinfo=UTC)]
        size = len(times)
        rows.append(
            {
                "user_id": f"user-{n:02d}",
                "event_times": times,
                "event_ids": [f"{n}-{place}" for place in range(size)],
                "item_ids": [ITEMS[(n + place) % len(ITEMS)] for place in range(size)],
                "event_types": ["purchase"] * size,
                "categories": ["FOOD"] * size,
                "quantities": [1.0] * size,
                "amounts": [2.0 + n] * size,
                "session_starts": [place % 2 == 0 for place in range(size)],
                "lifetime_events": size,
                "lifetime_spend": (2.0 + n) * size,
                "first_event_time": times[0],
                "last_event_time": times[-1],
                "cutoff": CUTOFF,
            }
        )
    return pa.Table.from_pylist(rows, schema=arrow_schema(SEQUENCES))


def register(registry: Registry, folder: Path, *, money: str = "net") -> ModelVersion:
    """A GRU as a candidate that has learnt nothing, and behaves."""
    encoder = GRUConfig(max_length=16, dim=8, num_layers=1, dropout=0.0)
    config = load_train_config(
        PROJECT / "configs" / "models" / "gru.yaml", encoder=encoder.model_dump()
    )
    vocabulary = Vocabulary.of(Histories.from_arrow(sequence_rows()), min_item_count=1)
    manifest = Manifest(
        config=config,
        horizons=LabelHorizons(
            money=money,
            purchase_days=7,
            churn_days=28,
            churn_active_days=60,
            spend_days=28,
            items_days=7,
        ),
        time_zone="America/New_York",
        training_cutoff=CUTOFF,
        label_limit=CUTOFF - timedelta(days=56),
        snapshot_ids={},
        session_gap_minutes=30,
        max_events=2048,
        base_rates=BaseRates(purchase=0.5, churn=0.1, spend=20.0),
        calibration=Calibration(purchase=IDENTITY, churn=IDENTITY, spend=1.0),
        metrics={},
    )
    save_artifact(
        folder, manifest, vocabulary, network_that_behaves(encoder, vocabulary).state_dict()
    )
    run_id = registry.start_run("nightshift", name="gru", params={}, tags={})
    version = registry.register(folder, run_id, CUTOFF, "gru")
    registry.end_run(run_id)
    return version


def fill_lake(settings: Settings, spark) -> None:
    rows = sequence_rows()
    frame = spark.createDataFrame(rows.to_pylist(), schema=spark_schema(SEQUENCES))
    open_lake(settings).replace(
        frame, SEQUENCES, window=one_day(CUTOFF), run_key="test-2017-11-28-0", reads={}, facts=FACTS
    )


def run(settings: Settings, *more: str) -> int:
    return evaluate.main(["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json", *more])


def test_a_candidate_that_knows_nothing_is_refused_and_all_is_written_down(
    settings, registry, spark, tmp_path, capsys
):
    """The verdict is on the version, the numbers and plots on its run, the tables in a file."""
    fill_lake(settings, spark)
    candidate = register(registry, tmp_path / "model")

    code = run(settings)
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    version = registry.resolve("1")
    logged = registry.client.get_run(candidate.run_id).data.metrics
    files = registry.client.list_artifacts(candidate.run_id, f"evaluation/{CUTOFF}")
    document = json.loads((settings.reports_folder / f"evaluation-{CUTOFF}.json").read_text())

    assert code == 0
    assert (summary["versions"], summary["admitted"]) == (1, 0)
    assert (version.tags["status"], version.tags["verdict"]) == ("challenger", "refused")
    assert version.tags["evaluated_cutoff"] == str(CUTOFF)
    said = json.loads(version.tags["evaluation"])
    assert said["reasons"] == summary["verdicts"]["1"]["reasons"]
    assert (said["rule"], said["snapshot_ids"]) == (document["rule"], summary["snapshot_ids"])
    assert evaluation_of(version, verdict_key(settings)) == said
    assert {file.rpartition("/")[2] for file in said["files"] if file.startswith("data/")} == {
        "weights.safetensors",
        "manifest.json",
        "item_index.json",
    }
    assert {"test/purchase/auroc", "test/next_item/ndcg_at_10", "lightgbm/spend/mae"} <= set(logged)
    assert {
        "verdict.json",
        "measures.csv",
        "model_card.md",
        "purchase_roc.png",
        "churn_gains.png",
    } <= {file.path.split("/")[-1] for file in files}
    card = Path(registry.client.download_artifacts(candidate.run_id, "model_card.md", tmp_path))
    assert "Refused by the gate." in card.read_text()
    assert [row["head"] for row in document["table"] if row["decides"]] == list(
        settings.gate.by_head
    )
    failed = [check["name"] for check in document["checks"]["1"] if not check["passed"]]
    assert failed == []  # the measures alone refuse it
    with pytest.raises(NoChampionError):
        registry.resolve("champion")

    # Again, now as champion: it is judged by the same rule, and keeps its status.
    registry.set_tags("1", {"status": "champion"})
    registry.set_alias("champion", "1")
    first = {key: document[key] for key in ("table", "curves")}

    assert run(settings) == 0
    again = json.loads((settings.reports_folder / f"evaluation-{CUTOFF}.json").read_text())
    champion = registry.resolve("champion")

    assert {key: again[key] for key in first} == first
    assert again["champion"] == champion.version == "1"
    assert (champion.tags["status"], champion.tags["verdict"]) == ("champion", "refused")


def test_a_champion_that_counts_money_otherwise_keeps_nobody_from_being_judged(
    settings, registry, spark, tmp_path, capsys
):
    """Else the setting could never change; the verdict says that nobody was compared with it."""
    fill_lake(settings, spark)
    champion = register(registry, tmp_path / "gross", money="gross")
    registry.set_alias("champion", champion.version)
    alone = run(settings), json.loads(capsys.readouterr().out.splitlines()[-1])
    candidate = register(registry, tmp_path / "net")
    registry.set_tags(champion.version, {"status": "retired"})
    code = run(settings)
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    said = json.loads(registry.resolve(candidate.version).tags["evaluation"])

    assert (alone[0], alone[1]["error"]) == (2, "OtherMoneyError")
    assert (code, [*summary["verdicts"]]) == (0, [candidate.version])
    assert said["champion"] == champion.version  # so that it may take its place
    assert said["notes"] == [
        f"champion {champion.version} was not compared: it has spend counted gross"
    ]
    card = registry.client.download_artifacts(candidate.run_id, "model_card.md", tmp_path)
    assert f"Champion {champion.version} was not compared" in Path(card).read_text()


@pytest.mark.parametrize("judged_users", [8, NUM_USERS, 200_000])
def test_about_as_many_users_are_judged_as_are_wanted(
    judged_users, settings, registry, spark, tmp_path
):
    """The rest is never in memory together; of fewer users than are wanted it is everyone."""
    values = yaml.safe_load(settings.file.read_text())
    values["gate"]["judged_users"] = judged_users
    settings.file.write_text(yaml.safe_dump(values))
    fill_lake(settings, spark)
    register(registry, tmp_path / "model")
    names = sequence_rows()["user_id"].to_pylist()
    drawn = is_drawn(names, judged_users / NUM_USERS, purpose="judging")

    assert run(settings) == 0
    document = json.loads((settings.reports_folder / f"evaluation-{CUTOFF}.json").read_text())

    rows = evaluate.judged_sequences(sequences_as_of(open_lake(settings), CUTOFF), judged_users)
    assert 0 < drawn.sum() < NUM_USERS or judged_users >= NUM_USERS
    assert sorted(rows["user_id"].to_pylist()) == [
        n for n, d in zip(names, drawn, strict=True) if d
    ]
    assert document["users"] == {
        "judged": drawn.sum(),
        "known": NUM_USERS,
        "passed_over": 0,
        "passed_over_spend_share": 0.0,
    }
    judged = [part["users"] for part in document["slices"] if part["head"] == "purchase"]
    assert 0 < max(judged) <= drawn.sum()


def bare(registry: Registry, trained: str, status: str = "candidate") -> str:
    if not registry._is_registered():
        registry.client.create_registered_model(registry.model)
    tags = {"encoder": "gru", "training_cutoff": trained, "status": status}
    made = registry.client.create_model_version(registry.model, "file:///none", tags=tags)
    return str(made.version)


def test_only_versions_trained_at_the_cutoff_are_judged_beside_the_champion(registry):
    """Last week's candidates are not this week's; who was set aside stays so unless asked for."""
    old, retired = bare(registry, "2017-11-21"), bare(registry, "2017-11-28", "retired")
    fresh = bare(registry, "2017-11-28")
    registry.set_alias("champion", old)
    champion = registry.resolve("champion")

    def chosen(*asked: str) -> list[str]:
        found = evaluate.choose_versions(registry, CUTOFF, champion=champion, asked=asked)
        return [version.version for version in found]

    assert chosen() == [fresh, old]
    assert chosen(retired) == [retired, old]


def test_a_cutoff_without_a_candidate_says_so(registry):
    """There is nothing to judge."""
    bare(registry, "2017-11-21")

    with pytest.raises(CutoffError) as refused:
        evaluate.choose_versions(registry, CUTOFF, champion=None, asked=[])

    assert str(refused.value) == (
        "--cutoff 2017-11-28: found no candidate that was trained at it, expected at least one. "
        "Run `nightshift train --cutoff 2017-11-28` first, then run this again."
    )


def test_a_version_that_knows_what_came_true_is_not_judged(registry):
    """Trained later, it has learnt from the weeks that it would be tested on."""
    later = bare(registry, "2017-12-05")

    with pytest.raises(CutoffError) as refused:
        evaluate.choose_versions(registry, CUTOFF, champion=None, asked=[later])

    assert str(refused.value) == (
        "--cutoff 2017-11-28: found version 1, trained at 2017-12-05, which knows what came true, "
        "expected versions trained at the cutoff or before it. Evaluate at 2017-12-05 or later."
    )


def test_a_missing_partition_ends_with_3(settings, registry, capsys):
    """The data is missing, and the message says who makes it."""
    bare(registry, "2017-11-28")

    assert run(settings) == 3
    assert "nightshift sequences --cutoff 2017-11-28" in capsys.readouterr().err
