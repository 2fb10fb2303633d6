"""The login of the MLflow that runs here: made once, read from its file, told to nobody else."""

import os
import stat

import pytest

from jobs.running.mlflow_login import (
    PASSWORD_VARIABLE,
    USER_VARIABLE,
    make_password,
    password_file,
    sign_in,
    users_file,
)


@pytest.fixture(autouse=True)
def no_login(monkeypatch) -> None:
    """What a test puts into the environment goes with it."""
    for name in (USER_VARIABLE, PASSWORD_VARIABLE):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def at(settings, address: str):
    return settings.model_copy(
        update={"mlflow": settings.mlflow.model_copy(update={"tracking_uri": address})}
    )


def test_the_password_is_made_once_for_its_owner_alone(settings):
    """A new one makes MLflow's users of before void: they knew the old one."""
    first = make_password(settings.home)
    users_file(settings.home).touch()

    assert len(first) >= 20
    assert make_password(settings.home) == first
    assert users_file(settings.home).exists()
    assert stat.S_IMODE(password_file(settings.home).stat().st_mode) == 0o600
    password_file(settings.home).unlink()
    assert make_password(settings.home) != first
    assert not users_file(settings.home).exists()


def test_an_empty_file_is_no_password(settings):
    """What a full disk or a kill left of one: the users who knew the empty one go."""
    password_file(settings.home).parent.mkdir(parents=True, exist_ok=True)
    password_file(settings.home).write_text("\n")
    users_file(settings.home).touch()
    sign_in(at(settings, "http://127.0.0.1:5000"))

    assert PASSWORD_VARIABLE not in os.environ
    assert len(make_password(settings.home)) >= 20
    assert not users_file(settings.home).exists()
    assert stat.S_IMODE(password_file(settings.home).stat().st_mode) == 0o600


def test_a_program_signs_in_to_the_server_of_its_own_machine(settings):
    password = make_password(settings.home)
    sign_in(at(settings, "http://127.0.0.1:5000"))

    assert os.environ[USER_VARIABLE] == "admin"
    assert os.environ[PASSWORD_VARIABLE] == password


@pytest.mark.parametrize(
    "address", ["http://mlflow.example.org", "sqlite:////tmp/mlflow.db", "databricks"]
)
def test_another_server_is_told_no_password(settings, address):
    make_password(settings.home)
    sign_in(at(settings, address))

    assert PASSWORD_VARIABLE not in os.environ


def test_a_login_that_was_given_stays(settings, monkeypatch):
    make_password(settings.home)
    monkeypatch.setenv(USER_VARIABLE, "ada")
    sign_in(at(settings, "http://localhost:5000"))

    assert os.environ[USER_VARIABLE] == "ada"
    assert PASSWORD_VARIABLE not in os.environ
