"""What the week waits for, and what it does not."""

from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

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
