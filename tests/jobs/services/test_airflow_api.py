"""Airflow's REST API, where it does not answer and what its logs hold. (It is really asked in
`tests/end_to_end`.)"""

from typing import Any

import pytest

from contracts.errors import UnreachableError
from jobs.services.airflow_api import AirflowApi, _event, seconds_of
from jobs.services.airflow_run import reason_of


def test_an_airflow_that_is_not_there_is_named_with_what_to_do():
    """Nobody has to read a traceback of urllib."""
    api = AirflowApi("http://127.0.0.1:9", "admin", "secret")

    with pytest.raises(UnreachableError) as raised:
        api.trigger("score_nightly", {})

    assert str(raised.value) == (
        "Airflow at http://127.0.0.1:9/auth/token: "
        "found <urlopen error [Errno 111] Connection refused>, expected an answer. "
        "Start it with `nightshift up`."
    )


def test_a_line_of_a_log_holds_the_exception_that_it_tells_of():
    """The reason of a red task is in the line's details, not in its text."""
    line = {
        "event": "Task failed with exception",
        "error_detail": [{"exc_type": "AirflowException", "exc_value": "x (exit code 3)"}],
    }

    assert _event(line) == "Task failed with exception\nx (exit code 3)"
    assert _event("plain") == "plain"


class OneLog(AirflowApi):
    """An Airflow with one log."""

    def log_of(self, dag_id: str, run_id: str, task: dict[str, Any]) -> list[str]:
        return [
            "Output:",
            "publish: AuditError: 3 rows",
            "publish: because: x",
            "Task failed with exception",
        ]


def test_the_reason_of_a_red_task_is_what_its_program_said():
    """Its own lines, not the operator's around them."""
    api = OneLog("http://127.0.0.1:9", "admin", "secret")

    assert reason_of(api, "score_nightly", "r", {"task_id": "publish"}) == (
        "publish: AuditError: 3 rows\npublish: because: x"
    )


def test_a_task_that_has_not_begun_has_taken_no_time():
    """Airflow gives no duration before the end, and no start before the start."""
    assert seconds_of({"duration": None, "start_date": None}) == 0
    assert seconds_of({"duration": 3.5, "start_date": "2026-01-01T00:00:00Z"}) == 3.5
    assert seconds_of({"duration": None, "start_date": "2026-01-01T00:00:00Z"}) > 0
