"""A newcomer's way, on a slice of the real logs: history, training, gate, a night in Airflow.

One story in order: each test goes on where the one before has ended.
"""

import json
import os
import stat
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from contracts import night
from contracts.errors import NoChampionError
from contracts.tables import NIGHTLY
from jobs.cli import app
from jobs.running.mlflow_login import USER as MLFLOW_USER
from jobs.running.mlflow_login import password_file
from jobs.services.airflow_run import follow, watch
from jobs.services.processes import started_for
from jobs.services.services import Running, start, stop
from jobs.warehouse.warehouse import open_warehouse
from models.registry.registry import Registry
from tests.jobs.admitted import make_champion

from .browser import open_page
from .conftest import FIRST, TONIGHT, TRAINING, Deployment, free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.airflow,
    pytest.mark.spark,
    pytest.mark.torch,
    pytest.mark.timeout(900),
]
CUTOFF = ["--cutoff", str(TRAINING)]


def registry_of(deployment: Deployment) -> Registry:
    settings = deployment.settings
    return Registry(settings.mlflow.tracking_uri, settings.mlflow.model, settings.artifacts_uri)


def test_history_becomes_sequences(deployment):
    """Raw logs in bulk, through every data job."""
    since = ["--since", str(FIRST)]
    deployment.must(night.INGEST, *CUTOFF, *since)
    deployment.must(night.SESSIONS, *CUTOFF, *since)
    sequences = deployment.must(night.SEQUENCES, *CUTOFF)
    deployment.must(night.SERIES, *CUTOFF)

    assert sequences["rows"] > 100


def test_a_small_model_is_trained_and_judged_and_not_promoted(deployment):
    """An epoch on a few households beats nobody, and the gate says so and by how much."""
    deployment.must(night.TRAIN, *CUTOFF, "--encoder", "lstm", "--epochs", "1")
    verdict = deployment.must(night.EVALUATE, *CUTOFF)
    refused = deployment.run(night.PROMOTE, *CUTOFF)

    assert verdict["versions"] == 1
    assert verdict["admitted"] == 0
    assert refused.exit_code == 4
    assert refused.summary["error"] == "PromotionRefusedError"


def test_nothing_is_scored_without_a_champion(deployment):
    """The gate is never bent: the scorer stops, and says what to do."""
    refused = deployment.run(night.SCORE, *CUTOFF)

    assert refused.exit_code == 4
    assert refused.summary["error"] == "NoChampionError"


@pytest.fixture(scope="module")
def running(deployment: Deployment) -> Iterator[Running]:
    """Airflow and MLflow. The test signs a verdict of its own, as who holds the key may."""
    make_champion(deployment.settings, registry_of(deployment), "1")
    os.environ["NIGHTSHIFT_RETRIES"] = "0"
    try:
        yield start(deployment.settings, airflow_port=free_port(), mlflow_port=free_port())
    finally:
        stop(deployment.settings)
        del os.environ["NIGHTSHIFT_RETRIES"]
        assert started_for(deployment.settings.home) == []


RUN: dict[str, str] = {}  # the run of each DAG, for the tests after it


def test_a_night_in_airflow_is_green(deployment, running):
    """The real scheduler, the real programs, started from the form's cutoff."""
    heard: list[tuple[str, str]] = []
    run = follow(
        running.api(),
        "score_nightly",
        {"cutoff": str(TONIGHT)},
        say=lambda task, state, _: heard.append((task, state)),
    )
    RUN["score_nightly"] = run.run_id

    assert run.reasons == {}
    assert run.state == "success"
    assert {task for task, state in heard if state == "success"} == {
        step.program.name for step in night.NIGHT
    }


def test_every_door_is_open_to_this_machine_alone(deployment, running):
    """Pages, executors, logs: nothing listens where another machine could knock."""
    doors = {
        door.laddr.ip
        for process in started_for(deployment.settings.home)
        for door in process.net_connections(kind="inet")
        if door.status == "LISTEN"
    }

    assert doors <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert doors


def test_nothing_that_was_written_or_is_running_shows_a_secret(deployment, running):
    """Logs, databases, summaries, reports, command lines: only the files made for them hold any."""
    home = deployment.settings.home
    keepers = [home / "airflow" / name for name in ("passwords.json", "jwt_secret")]
    secrets = [running.password, keepers[1].read_text()]
    shown = [
        str(file)
        for file in home.rglob("*")
        if file.is_file() and file not in keepers
        for content in [file.read_bytes()]
        if any(secret.encode() in content for secret in secrets)
    ]
    commands = [" ".join(process.cmdline()) for process in started_for(home)]

    assert shown == []
    assert not [command for command in commands for secret in secrets if secret in command]
    assert {stat.S_IMODE(file.stat().st_mode) for file in keepers} == {0o600}


def test_what_programs_make_is_closed_to_other_accounts(deployment, running):
    """The lake, the warehouse, logs, reports, Airflow's and MLflow's files: nobody else's to read.

    The home folder itself and the raw logs were there before, made by the test.
    """
    home = deployment.settings.home
    made = {path.name: path.stat().st_mode & 0o007 for path in home.iterdir()}
    del made[deployment.settings.raw_folder.name]

    assert {"lake", "catalog.db", "warehouse.duckdb", "logs", "reports", "airflow", "mlflow"} <= {
        *made
    }
    assert {name for name, mode in made.items() if mode} == set()


def test_mlflow_asks_for_a_login_that_only_its_file_holds(deployment, running):
    """The night above went through it; no command line, log or other file tells the password."""
    home, password = deployment.settings.home, running.mlflow_password
    address = f"{running.mlflow}/api/2.0/mlflow/experiments/search?max_results=1"
    login = b64encode(f"{MLFLOW_USER}:{password}".encode()).decode()
    answers = []
    for headers in ({}, {"Authorization": f"Basic {login}"}):
        try:
            with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:
                answers.append(answer.status)
        except urllib.error.HTTPError as error:
            answers.append(error.code)
    told = [file for file in home.rglob("*") if file.is_file() and holds(file, password)]
    commands = [" ".join(process.cmdline()) for process in started_for(home)]

    assert answers == [401, 200]
    assert told == [password_file(home)]
    assert [command for command in commands if password in command] == []


def holds(file: Path, text: str) -> bool:
    return text.encode() in file.read_bytes()


def test_the_night_starts_from_a_form_that_asks_for_its_cutoff(running):
    """What an operator sees in Airflow: signed in, the DAG's page, Trigger, the Params."""
    with open_page() as page:
        page.goto(running.airflow)
        page.fill("input[name=username]", running.user)
        page.fill("input[name=password]", running.password)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{running.airflow}/")
        page.goto(f"{running.airflow}/dags/score_nightly")
        page.get_by_role("button", name="Trigger").first.click()
        form = page.get_by_role("dialog")
        form.get_by_text("First day that the night may not see").wait_for()

        assert form.locator("input[type=date]").count() == 1


def test_the_page_of_the_night_draws_whole(deployment):
    """Every plot is there, no part is missing, and the browser has nothing to complain of."""
    file = deployment.settings.reports_folder / str(TONIGHT) / "index.html"
    complaints: list[str] = []
    with open_page() as page:
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(file.as_uri())
        plots = page.locator("svg, img").evaluate_all(
            "all => all.map(one => one.getBoundingClientRect().width)"
        )

        assert page.get_by_text("Not shown").all_inner_texts() == []
    assert complaints == []
    assert len(plots) > 20
    assert min(plots) > 100


def test_every_household_has_one_row_and_every_probability_is_one(deployment):
    """All that were seen before the cutoff, in the warehouse."""
    warehouse = open_warehouse(deployment.settings)
    raw = f"{deployment.settings.raw_folder}/*/*.jsonl.gz"
    seen = warehouse.query(
        f"SELECT count(DISTINCT household_id) AS n FROM read_json('{raw}', hive_partitioning=true) "
        f"WHERE ingest_date < DATE '{TONIGHT}'"
    ).to_pylist()[0]["n"]
    found = warehouse.query(
        "SELECT count(*) AS rows, count(DISTINCT user_id) AS users, "
        "count(*) FILTER (WHERE purchase_probability_7d BETWEEN 0 AND 1) AS purchase, "
        "count(*) FILTER (WHERE churn_probability_28d BETWEEN 0 AND 1 "
        "OR churn_probability_28d IS NULL AND last_event_date < cutoff - 60) AS churn, "
        "count(*) FILTER (WHERE expected_spend_28d >= 0) AS spend "
        f"FROM user_scores WHERE cutoff = DATE '{TONIGHT}'"
    ).to_pylist()[0]

    assert seen > 100
    assert found == dict.fromkeys(("rows", "users", "purchase", "churn", "spend"), seen)


def test_the_same_night_again_leaves_the_same_rows(deployment):
    """Without Airflow this time: the ledger's hashes are equal."""
    ledger = (
        "SELECT table_name, num_rows, content_hash FROM publish_ledger "
        f"WHERE cutoff = DATE '{TONIGHT}' ORDER BY published_at"
    )
    before = {
        row["table_name"]: {"rows": row["num_rows"], "content_hash": row["content_hash"]}
        for row in open_warehouse(deployment.settings).query(ledger).to_pylist()
    }
    config = str(deployment.settings.file)
    said = CliRunner().invoke(
        app, ["night", "--cutoff", str(TONIGHT), "--config", config, "--json"]
    )
    tables = json.loads(said.stdout)["tables"]
    names = [table.name for table in NIGHTLY]

    assert said.exit_code == 0
    assert {name: tables[name] for name in names} == {name: before[name] for name in names}


def test_a_weekly_training_waits_for_a_person_and_then_for_the_rule(deployment, running):
    """Who agrees to a promotion does not overrule the gate: the weak candidate stays out.

    The question is of both models; until it is answered neither champion has moved.
    """
    api, settings = running.api(), deployment.settings
    forecasters = Registry(
        settings.mlflow.tracking_uri, settings.demand.model, settings.artifacts_uri
    )
    skipped, asked = set[str](), list[dict[str, Any]]()

    def agree(task: str, state: str, _: float) -> None:
        if (task, state) == ("train[0]", "running"):  # for the test after this one
            api.clear("score_nightly", RUN["score_nightly"], night.SERIES.name)
        if state == "skipped":
            skipped.add(task)
        if (task, state) == ("approve", "awaiting_input"):
            asked.append(api.question("train_weekly", run_id, task))
            assert forecasters.versions()[-1].tags["status"] == "challenger"
            with pytest.raises(NoChampionError):
                forecasters.resolve("champion")
            time.sleep(5)  # as a person would: Airflow fails a task answered while it still pauses
            api.answer("train_weekly", run_id, task, "Approve")

    conf = {"encoders": ["gru"], "epochs": 1, "require_approval": True}
    RUN["train_weekly"] = run_id = api.trigger("train_weekly", {"cutoff": str(TRAINING), **conf})
    run = watch(api, "train_weekly", run_id, say=agree, patience_seconds=600)

    tasks = {"choose", "train[0]", "evaluate", "train_demand", "review_promotion", "ask"}
    more = {"approve", "promote", "promote_demand", "has_plan", "build_promotions"}
    assert {*run.seconds} == {*tasks, *more}
    assert skipped == {"build_promotions"}  # and demand was trained all the same
    assert [*run.reasons] == ["promote"]
    assert "PromotionRefusedError" in run.reasons["promote"]
    assert registry_of(deployment).resolve("champion").version == "1"
    assert forecasters.resolve("champion").tags["promoted_by"] == "admin"
    question = asked[-1]
    assert question["subject"] == "Promote nightshift-demand version 1?"
    assert "## nightshift: nothing changes" in question["body"]
    assert "## nightshift-demand: version 1 (lstm) instead of no version" in question["body"]
    assert "| items/28d absolute error of p50 |" in question["body"]
    assert f"({running.mlflow}/#/models/nightshift-demand/versions/1)" in question["body"]


def test_a_step_of_a_night_does_not_wait_for_a_training(running):
    """Asked for while a training ran, it begins before that is over; none of them is red.

    A task's token is made when it is queued. In one queue with the training it would grow as old as
    that is long, and above Airflow's limit the task is red, with an empty log. So who has to wait
    waits before: nobody is queued for as long as half of a training, however slow the machine.
    """
    api = running.api()
    nights, weeks = (api.tasks(dag, RUN[dag]) for dag in ("score_nightly", "train_weekly"))
    series, training = nights[night.SERIES.name], weeks["train[0]"]
    ran = [task for task in (series, *weeks.values()) if task["state"] != "skipped"]
    waits = {task["task_id"]: seconds_between(task, "scheduled_when", "start_date") for task in ran}
    queued = {task["task_id"]: seconds_between(task, "queued_when", "start_date") for task in ran}

    assert series["state"] == "success"
    assert training["start_date"] < series["start_date"] < training["end_date"]
    assert max(waits.values()) > 0.4 * training["duration"]  # another step waited for the training
    assert max(queued.values()) < 0.5 * training["duration"], queued


def seconds_between(task: dict[str, Any], start: str, end: str) -> float:
    first, last = (datetime.fromisoformat(task[name]) for name in (start, end))
    return (last - first).total_seconds()


def redo(running: Running, task: str) -> str:
    """Do one task of the night again, which has to fail. Returns why it did.

    A task waits for those before it, so the tests break the night from its end to its beginning.
    """
    api = running.api()
    api.clear("score_nightly", RUN["score_nightly"], task)
    run = watch(
        api, "score_nightly", RUN["score_nightly"], say=lambda *_: None, patience_seconds=300
    )

    assert task in run.reasons  # the run itself is as its last task is: done before
    return run.reasons[task]


def test_an_unreachable_catalog_turns_its_reader_red(deployment, running):
    """The message names the catalog."""
    file = deployment.settings.home / "catalog.db"
    away = file.rename(file.with_name("away.db"))
    file.mkdir()
    try:
        reason = redo(running, night.SERIES.name)
    finally:
        file.rmdir()
        away.rename(file)

    assert "UnreachableError" in reason
    assert "catalog" in reason


def test_an_unreachable_mlflow_turns_scoring_red(deployment, running):
    """The message names the server; what was published still answers."""
    for process in started_for(deployment.settings.home):
        if "mlflow" in " ".join(process.cmdline()):
            process.kill()
    reason = redo(running, night.SCORE.name)
    rows = open_warehouse(deployment.settings).query("SELECT count(*) AS n FROM user_scores_latest")

    assert "UnreachableError" in reason
    assert running.mlflow in reason
    assert rows.to_pylist()[0]["n"] > 0


def test_an_unreachable_raw_folder_turns_ingestion_red(deployment, running):
    """The message names the folder."""
    folder = deployment.settings.raw_folder
    away = folder.rename(folder.with_name("away"))
    try:
        reason = redo(running, night.INGEST.name)
    finally:
        away.rename(folder)

    assert "UnreachableError" in reason
    assert str(folder) in reason


def test_a_day_without_raw_logs_is_refused_without_another_try(deployment, running):
    """A refusal of the data is final: one try, and nothing of the night is visible."""
    tomorrow = TONIGHT + timedelta(days=400)
    conf = {"cutoff": str(tomorrow)}
    run = follow(running.api(), "score_nightly", conf, say=lambda *_: None)

    assert run.state == "failed"
    assert [*run.reasons] == ["ingest_events"]
    assert "MissingRawError" in run.reasons["ingest_events"]
