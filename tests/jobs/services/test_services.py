"""Airflow and MLflow: how they are configured, and whom a taken port belongs to.

That they start, answer and leave nothing behind is shown in `tests/end_to_end`.
"""

import json
import socket
import stat

import pytest

from contracts.errors import BusyError, ConfigError
from jobs.services import services
from jobs.services.pools import SLOTS
from jobs.services.services import Running, _password, airflow_environment, start, stop

RUNNING = Running("http://127.0.0.1:1", "http://127.0.0.1:2", "admin", "secret", "other")


def test_airflows_tasks_find_this_deployment(settings):
    """The same configuration, MLflow by its server, Spark by its connection."""
    found = airflow_environment(settings, RUNNING)

    assert found["NIGHTSHIFT_CONFIG"] == str(settings.file)
    assert found["NIGHTSHIFT__TIME_ZONE"] == settings.time_zone == "America/New_York"
    assert found["NIGHTSHIFT__MLFLOW__TRACKING_URI"] == "http://127.0.0.1:2"
    assert json.loads(found["AIRFLOW_CONN_SPARK_DEFAULT"]) == {
        "conn_type": "spark",
        "host": "local[1]",
    }


def test_no_task_waits_inside_the_executor(settings):
    """A worker for each slot of the pools: a night's step waits where it has no token yet."""
    found = airflow_environment(settings, RUNNING)

    assert int(found["AIRFLOW__CORE__PARALLELISM"]) == sum(SLOTS.values())
    assert {found["NIGHTSHIFT_NIGHT_POOL"], found["NIGHTSHIFT_TRAINING_POOL"]} == {*SLOTS}
    assert SLOTS["night"] >= 2
    assert SLOTS["training"] >= 1


def test_a_queued_tasks_token_outlives_the_longest_training(settings):
    """Airflow's own 600 s are less than a training takes; a week may hold four of twelve hours."""
    found = airflow_environment(settings, RUNNING)

    assert float(found["AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT"]) >= 4 * 12 * 3600
    assert float(found["AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME"]) >= 12 * 3600


def test_another_port_is_told_to_every_part_of_airflow(settings):
    """A task reports to the server's address: both names of it move together."""
    found = airflow_environment(settings, RUNNING)

    assert found["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:1"
    assert found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:1/execution/"


def test_a_taken_port_says_who_holds_it_and_which_flag_to_give(settings):
    """Nothing was started."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(BusyError) as raised:
            start(settings, airflow_port=port, mlflow_port=2)

    assert str(raised.value).startswith(f"port {port}: found process ")
    assert str(raised.value).endswith(
        ", expected nobody. Stop it, or choose another port with --airflow-port."
    )


def test_the_password_is_made_once_and_readable_by_its_owner_only(tmp_path):
    """The login that was printed goes on working."""
    file = tmp_path / "airflow" / "passwords.json"
    first = _password(file)

    assert len(first) >= 16
    assert _password(file) == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == {"admin": first}


@pytest.mark.parametrize("name", ["jwt_secret", "session_secret"])
def test_an_empty_file_is_no_key(settings, monkeypatch, name):
    """A full disk left it: whoever took it would sign with a key that everybody knows."""
    started: dict[str, str] = {}
    monkeypatch.setattr(services, "start_process", lambda *args, env, **more: started.update(env))
    folder, variable = {
        "jwt_secret": ("airflow", "AIRFLOW__API_AUTH__JWT_SECRET"),
        "session_secret": ("mlflow", "MLFLOW_FLASK_SERVER_SECRET_KEY"),
    }[name]
    file = settings.home / folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("")
    found = airflow_environment(settings, RUNNING)
    services._start_mlflow(settings, 1, found)

    assert len((found | started)[variable]) == 128
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert airflow_environment(settings, RUNNING) == found


def test_a_file_without_a_password_is_made_anew_or_refused(tmp_path):
    """Anew where nothing is lost by it; Airflow itself would take an empty one for no users."""
    file = tmp_path / "passwords.json"
    file.write_text("")
    assert len(_password(file)) >= 16
    file.write_text('{"adm')
    with pytest.raises(ConfigError) as raised:
        _password(file)

    assert str(raised.value) == (
        f'{file}: found no password, expected JSON: {{"admin": "…"}}. Remove the file, and run '
        "`nightshift up` again: it makes a new password."
    )


def test_stopping_what_was_never_started_is_no_error(settings):
    """A second `nightshift down` is fine."""
    assert stop(settings) == 0
    assert stop(settings) == 0
