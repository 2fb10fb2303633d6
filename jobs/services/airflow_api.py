"""Airflow's REST API, as far as the demo and the tests need it. Standard library only."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from contracts.errors import UnreachableError

FINAL = {"success", "failed"}


@dataclass
class AirflowApi:
    """One user's view of one Airflow."""

    url: str  # http://127.0.0.1:8080
    user: str
    password: str
    _token: str = ""

    def health(self) -> dict[str, Any]:
        """Component -> ``{"status": "healthy", …}``. Raises UnreachableError."""
        return self._call("GET", "/api/v2/monitor/health", signed=False)

    def dags(self) -> dict[str, bool]:
        """DAG -> is it paused?"""
        found = self._call("GET", "/api/v2/dags?limit=100")
        return {dag["dag_id"]: dag["is_paused"] for dag in found["dags"]}

    def import_errors(self) -> list[str]:
        """What kept a DAG file from being read."""
        found = self._call("GET", "/api/v2/importErrors")
        return [error["stack_trace"] for error in found["import_errors"]]

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run with these Params, and return its id."""
        asked = {"logical_date": None, "conf": conf}
        return str(self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", asked)["dag_run_id"])

    def set_pools(self, slots: Mapping[str, int], *, meaning: Mapping[str, str]) -> None:
        """Make these pools, or give those that are there so many slots."""
        entities = [
            {"name": name, "slots": count, "description": meaning[name]}
            for name, count in slots.items()
        ]
        action = {"action": "create", "action_on_existence": "overwrite", "entities": entities}
        self._call("PATCH", "/api/v2/pools", {"actions": [action]})

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Have one task of a run done again, and no other."""
        asked = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [task_id],
            "only_failed": False,
            "include_downstream": False,
            "reset_dag_runs": True,
        }
        self._call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", asked)

    def question(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """What a task asks a person: subject, body, options, and by whom it was answered."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{_quote(run_id)}/taskInstances/{task_id}/-1"
        return self._call("GET", f"{path}/hitlDetails")

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str) -> None:
        """Choose for a task that waits for a person, as *Required Actions* does."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{_quote(run_id)}/taskInstances/{task_id}/-1"
        self._call("PATCH", f"{path}/hitlDetails", {"chosen_options": [option]})

    def run_state(self, dag_id: str, run_id: str) -> str:
        return str(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{_quote(run_id)}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Task -> its instance in this run: state, try_number, start_date, duration, …

        A task that was mapped over a list is there once for each: ``train[0]``, ``train[1]``.
        """
        path = f"/api/v2/dags/{dag_id}/dagRuns/{_quote(run_id)}/taskInstances"
        return {_name(each): each for each in self._call("GET", path)["task_instances"]}

    def log_of(self, dag_id: str, run_id: str, task: dict[str, Any]) -> list[str]:
        """The events of the log of a task instance's latest try, oldest first."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{_quote(run_id)}/taskInstances/{task['task_id']}"
        asked = f"full_content=true&map_index={task['map_index']}"
        found = self._call("GET", f"{path}/logs/{max(1, int(task['try_number']))}?{asked}")
        return [_event(line) for line in found.get("content", [])]

    def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, signed: bool = True
    ) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if signed:
            headers["Authorization"] = f"Bearer {self._sign_in()}"
        try:
            return _send(method, self.url + path, body, headers)
        except urllib.error.HTTPError as error:
            if error.code == 401 and signed and self._token:  # the token grew old
                self._token = ""
                return self._call(method, path, body)
            reason = f"HTTP {error.code}: {error.read().decode(errors='replace')[:500]}"
        except (OSError, json.JSONDecodeError) as error:
            reason = str(error)
        raise UnreachableError(
            "Airflow", address=self.url + path, reason=reason, do="Start it with `nightshift up`."
        )

    def _sign_in(self) -> str:
        if not self._token:
            asked = {"username": self.user, "password": self.password}
            found = self._call("POST", "/auth/token", asked, signed=False)
            self._token = str(found["access_token"])
        return self._token


def _send(
    method: str, url: str, body: dict[str, Any] | None, headers: dict[str, str]
) -> dict[str, Any]:
    """One request, tried again where the server was only busy for a moment."""
    data = None if body is None else json.dumps(body).encode()
    for patience in (0.5, 1.0, 2.0, None):
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return dict(json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            if error.code < 500 or patience is None or method != "GET":
                raise
        except OSError:
            if patience is None or method != "GET":
                raise
        time.sleep(patience)
    raise AssertionError("unreachable: the last attempt returns or raises")


def seconds_of(task: dict[str, Any]) -> float:
    """How long a task instance has run, or ran."""
    if task.get("duration") is not None:
        return float(task["duration"])
    if not task.get("start_date"):
        return 0.0
    begun = datetime.fromisoformat(task["start_date"].replace("Z", "+00:00"))
    return max(0.0, (datetime.now(UTC) - begun).total_seconds())


def _name(task: dict[str, Any]) -> str:
    mapped = f"[{task['map_index']}]" if task["map_index"] >= 0 else ""
    return f"{task['task_id']}{mapped}"


def _event(line: Any) -> str:
    """A line of a log, with the exception that it tells of."""
    if not isinstance(line, dict):
        return str(line)
    raised = [str(each.get("exc_value")) for each in line.get("error_detail") or []]
    return "\n".join([str(line.get("event", "")), *raised])


def _quote(run_id: str) -> str:
    return urllib.parse.quote(run_id, safe="")
