"""What the week waits for, and what it does not."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.dag_processing.dagbag import DagBag
from jinja2 import Environment

pytestmark = pytest.mark.airflow

DAG = DagBag(Path(__file__).resolve().parents[2] / "dags").dags["train_weekly"]


def test_demand_learns_after_a_new_plan_and_no_less_without_one():
    """The plan is asked for in the form; a step that is skipped for want of it stops nothing."""
    demand, plan = DAG.get_task("train_demand"), DAG.get_task("build_promotions")

    assert DAG.params["read_promotions"] is False
    assert plan.upstream_task_ids == {"has_plan"}
    assert demand.upstream_task_ids == {"build_promotions"}
    assert demand.trigger_rule == "none_failed"
    assert DAG.get_task("has_plan").ignore_downstream_trigger_rules is False


def test_the_approval_is_of_both_promotions():
    """The forecaster is judged and held: neither champion moves before the answer."""
    review, approve = DAG.get_task("review_promotion"), DAG.get_task("approve")
    promotions = {"promote", "promote_demand"}

    assert "--hold" in DAG.get_task("train_demand").application_args
    assert review.upstream_task_ids == {"evaluate", "train_demand"}
    assert approve.downstream_task_ids == promotions
    assert DAG.get_task("ask").downstream_task_ids == {"approve", *promotions}
    assert "--demand" in DAG.get_task("promote_demand").command
    commands = {task.task_id: getattr(task, "command", []) for task in DAG.tasks}
    assert {name for name, command in commands.items() if "jobs.promote" in command} == promotions


@pytest.mark.parametrize(
    ("is_asked", "changes", "expected"),
    [
        (True, True, ["approve"]),
        (True, False, ["promote", "promote_demand"]),  # nothing to agree to
        (False, True, ["promote", "promote_demand"]),
    ],
)
def test_a_person_is_asked_only_where_something_would_change(is_asked, changes, expected):
    ask = DAG.get_task("ask").python_callable

    assert ask({"require_approval": is_asked}, {"changes": changes}) == expected


def test_who_agreed_is_who_promotes():
    """And the version is the one that the question showed."""
    command = DAG.get_task("promote").command
    render = Environment().from_string
    by, version = (command[command.index(name) + 1] for name in ("--by", "--version"))
    review = {"users": {"version": "7"}}
    answer = {"responded_by_user": {"id": "1", "name": "ada"}}

    def said(text: str, approval: dict | None) -> str:
        told = {"approve": approval, "review_promotion": review}
        ti = SimpleNamespace(xcom_pull=lambda task_ids: told[task_ids])
        return render(text).render(ti=ti, run_id="manual__1")

    assert said(by, answer) == "ada"
    assert said(by, None) == "airflow manual__1"
    assert said(version, answer) == "7"


@pytest.mark.parametrize("review", [{"users": {"version": None}, "demand": {}}, {}, None])
@pytest.mark.parametrize("task_id", ["promote", "promote_demand"])
def test_a_question_that_showed_no_version_promotes_none(task_id, review):
    """An empty version would mean any: one that was judged while the question waited, too."""
    command = DAG.get_task(task_id).command
    version = Environment().from_string(command[command.index("--version") + 1])

    assert version.render(ti=SimpleNamespace(xcom_pull=lambda task_ids: review)) == "none"
    assert "promote" in DAG.get_task("approve").subject.lower()
