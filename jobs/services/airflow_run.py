"""One run of a DAG, started through Airflow's REST API and followed to its end."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jobs.services.airflow_api import FINAL, AirflowApi, seconds_of

POLL_SECONDS = 1.0
SHOWN = {
    "running", "awaiting_input", "up_for_retry", "success", "failed", "upstream_failed", "skipped"
}  # fmt: skip


@dataclass
class DagRun:
    """How a run ended."""

    dag_id: str
    run_id: str
    state: str
    seconds: dict[str, float] = field(default_factory=dict)  # of each task
    reasons: dict[str, str] = field(default_factory=dict)  # of each task that failed


def follow(
    api: AirflowApi,
    dag_id: str,
    conf: dict[str, Any],
    *,
    say: Callable[[str, str, float], None],
    patience_seconds: float = 3600,
) -> DagRun:
    """Trigger a run, and watch it to its end."""
    return watch(api, dag_id, api.trigger(dag_id, conf), say=say, patience_seconds=patience_seconds)


def watch(
    api: AirflowApi,
    dag_id: str,
    run_id: str,
    *,
    say: Callable[[str, str, float], None],
    patience_seconds: float = 3600,
) -> DagRun:
    """Wait for the end of a run; ``say(task, state, seconds)`` hears of every change."""
    known: dict[str, str] = {}
    end = time.monotonic() + patience_seconds
    while True:
        state = api.run_state(dag_id, run_id)
        tasks = api.tasks(dag_id, run_id)
        for name, task in sorted(tasks.items(), key=lambda each: str(each[1].get("start_date"))):
            now = str(task.get("state"))
            if now in SHOWN and known.get(name) != now:
                known[name] = now
                say(name, now, seconds_of(task))
        if state in FINAL or time.monotonic() > end:
            break
        time.sleep(POLL_SECONDS)
    return DagRun(
        dag_id,
        run_id,
        state,
        seconds={name: round(seconds_of(task), 1) for name, task in tasks.items()},
        reasons={
            name: reason_of(api, dag_id, run_id, task)
            for name, task in tasks.items()
            if task.get("state") == "failed"
        },
    )


def reason_of(api: AirflowApi, dag_id: str, run_id: str, task: dict[str, Any]) -> str:
    """What the program said last, as the task's log has it."""
    said = api.log_of(dag_id, run_id, task)
    own = [line for line in said if line.startswith(f"{task['task_id']}: ")]
    return "\n".join(own or said[-5:])
