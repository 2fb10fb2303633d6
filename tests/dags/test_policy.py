"""What every DAG promises, checked on every DAG."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import CronDataIntervalTimetable

from dags.programs import TIME_ZONE

pytestmark = pytest.mark.airflow

PROJECT = Path(__file__).resolve().parents[2]
BAG = DagBag(PROJECT / "dags")
DAGS = sorted(BAG.dags.values(), key=lambda dag: dag.dag_id)
TASKS = [(dag, task) for dag in DAGS for task in dag.tasks]


def name(value):
    return getattr(value, "dag_id", None) or getattr(value, "task_id", None)


def test_all_dag_files_can_be_read():
    """Every DAG file gives the DAG that it is named after, and this fails when there is none."""
    files = {file.stem for file in (PROJECT / "dags").glob("*_*.py")} - {"__init__"}

    assert BAG.import_errors == {}
    assert {dag.dag_id for dag in DAGS} == files == {"score_nightly", "train_weekly"}


@pytest.mark.parametrize("dag", DAGS, ids=name)
def test_a_dag_says_what_it_does_and_when(dag):
    """Docs for whoever is woken, and an interval chosen in words."""
    assert dag.doc_md is not None
    assert f"docs/runbooks/{dag.dag_id}.md" in dag.doc_md
    assert (PROJECT / "docs" / "runbooks" / f"{dag.dag_id}.md").exists()
    assert isinstance(dag.timetable, CronDataIntervalTimetable)
    assert str(getattr(dag.timetable.timezone, "name", dag.timetable.timezone)) == TIME_ZONE
    assert dag.tags


@pytest.mark.parametrize("dag", DAGS, ids=name)
def test_a_dag_never_runs_twice_at_once_nor_catches_up(dag):
    """A backlog of nights is started by a person, never by unpausing."""
    assert dag.catchup is False
    assert dag.max_active_runs == 1


@pytest.mark.parametrize(("dag", "task"), TASKS, ids=name)
def test_a_task_has_an_owner_a_limit_and_tries_again_with_patience(dag, task):
    """Infrastructure fails at night; it must neither hang nor give up at once."""
    assert task.owner == "ml-platform"
    assert task.retries >= 1
    assert task.retry_exponential_backoff
    assert task.max_retry_delay <= timedelta(minutes=15)
    assert task.execution_timeout or task.response_timeout


@pytest.mark.parametrize(("dag", "task"), TASKS, ids=name)
def test_a_refusal_is_final_for_every_task(dag, task):
    """What the data or the gate refused is not tried again."""
    assert type(task.retry_policy).__name__ == "RefusalsAreFinal"


POOLS = """
from airflow.dag_processing.dagbag import DagBag
for dag in DagBag("dags").dags.values():
    for task in dag.tasks:
        print(dag.dag_id, task.pool, task.priority_weight)
"""


def test_every_task_has_the_pool_of_its_dag_and_a_night_comes_first():
    """Told by the environment; an Airflow without these pools keeps to its default one."""
    pools = {"NIGHTSHIFT_NIGHT_POOL": "n", "NIGHTSHIFT_TRAINING_POOL": "t"}
    command = [sys.executable, "-c", POOLS]
    said = subprocess.run(
        command, cwd=PROJECT, env={**os.environ, **pools}, capture_output=True, text=True
    )
    rows = [line.split() for line in said.stdout.splitlines() if len(line.split()) == 3]
    found = {(dag, pool) for dag, pool, _ in rows if dag in {dag.dag_id for dag in DAGS}}
    weights = {dag: [int(weight) for name, _, weight in rows if name == dag] for dag, _ in found}

    assert found == {("score_nightly", "n"), ("train_weekly", "t")}
    assert len(weights["score_nightly"]) + len(weights["train_weekly"]) == len(TASKS)
    assert min(weights["score_nightly"]) > 20 * max(weights["train_weekly"])
    assert {task.pool for _, task in TASKS} == {"default_pool"}


@pytest.mark.parametrize("dag", DAGS, ids=name)
def test_the_form_explains_each_field_and_takes_a_cutoff(dag):
    """A person starts any cutoff from the page."""
    assert dag.params["cutoff"] is None
    for field in dag.params:
        assert dag.params.get_param(field).description


def test_parsing_dags_loads_no_framework_and_no_program():
    """A scheduler parses them all day: neither torch nor Spark nor our programs come with it."""
    code = (
        "import sys\n"
        "from airflow.dag_processing.dagbag import DagBag\n"
        "bag = DagBag('dags')\n"
        "assert len(bag.dags) == 2, bag.import_errors\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "print(*sorted(loaded & {'torch', 'lightning', 'pyspark', 'pandas', 'jobs', 'models'}))"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)

    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[-1].strip() == ""
