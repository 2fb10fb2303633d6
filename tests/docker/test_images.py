"""The images and the compose file: linted and checked against the specification, not built."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from jobs.running.settings import PostgresWarehouse, load_settings
from jobs.services.pools import LONGEST_WAIT_SECONDS, SLOTS

FOLDER = Path(__file__).resolve().parents[2] / "docker"
DOCKERFILES = sorted(FOLDER.glob("*.Dockerfile"))
PINNED = re.compile(r"[a-z0-9./-]+:(?=[^:]*[0-9])[A-Za-z0-9._-]+")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / "compose.yaml").read_text()))


def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    assert compose["services"]
    return dict(compose["services"])


def test_there_are_two_dockerfiles():
    """The tests below look at every Dockerfile; this one fails when they find none."""
    assert [file.name for file in DOCKERFILES] == ["airflow.Dockerfile", "jobs.Dockerfile"]


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_a_dockerfile_has_nothing_that_the_linter_finds(file):
    """hadolint, at its strictest level."""
    linter = Path(sys.executable).parent / "hadolint"
    said = subprocess.run([linter, file], capture_output=True, text=True)

    assert said.stdout + said.stderr == ""


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_an_image_is_pinned_and_runs_as_nobody_special(file):
    """Every outside base has an exact tag, and the last user of every stage is not root."""
    text = file.read_text()
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", text, re.M)
    names = {name for _, name in stages}
    parts = re.split(r"^FROM ", text, flags=re.M)[1:]

    assert all(PINNED.fullmatch(base) or base in names for base, _ in stages)
    assert all(re.findall(r"^USER (\S+)$", part, re.M)[-1] == "50000" for part in parts)


def test_what_a_dockerfile_copies_is_there():
    """A COPY of a folder that was renamed would only fail in production."""
    copied = [
        source
        for file in DOCKERFILES
        for line in re.findall(r"^COPY (.+) \S+$", file.read_text(), re.M)
        for source in line.split()
    ]

    assert copied
    assert [source for source in copied if not (FOLDER.parent / source).exists()] == []


def test_the_jobs_image_knows_its_version(tmp_path):
    """No package is installed in it and no checkout is there: a training could not say its code."""
    copied = re.findall(r"^COPY (\S+) \1$", (FOLDER / "jobs.Dockerfile").read_text(), re.M)
    for name in copied:
        source = FOLDER.parent / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    project = tmp_path / "pyproject.toml"
    project.write_text(re.sub(r'(?m)^version = ".*"', 'version = "9.8.7"', project.read_text()))
    asked = [sys.executable, "-c"]
    from_code = "from jobs.running.code_version import code_version; print(code_version())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    answers = [
        subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout
        for command in ([*asked, from_code], [sys.executable, "-m", "jobs.cli", "--version"])
    ]

    assert answers == ["9.8.7\n", "nightshift 9.8.7\n"]


def test_the_airflow_image_holds_no_program():
    """It knows when things run, not how."""
    copied = re.findall(r"^COPY (\S+) \S+$", (FOLDER / "airflow.Dockerfile").read_text(), re.M)

    assert copied == ["contracts", "dags"]


@pytest.mark.parametrize("extra", ["airflow", "jobs"])
def test_an_extra_becomes_requirements(extra):
    """What the images install is what the extra of pyproject.toml says."""
    command = [sys.executable, FOLDER / "requirements_of.py", "pyproject.toml", extra]
    said = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True)

    assert said.returncode == 0
    assert {"airflow": "apache-airflow==", "jobs": "torch=="}[extra] in said.stdout


def test_the_compose_file_keeps_to_the_specification(compose):
    """An unknown key or a value of the wrong kind is an error of the specification's parser."""
    parsed = PyCompose.from_yaml(yaml.safe_dump(compose))
    parsed.validate()

    assert {*parsed.service_names()} == {*compose["services"]}


def test_a_misspelt_key_would_be_found(compose):
    """The check above can fail."""
    compose = yaml.safe_load(yaml.safe_dump(compose))
    compose["services"]["mlflow"]["helthcheck"] = {}

    with pytest.raises(ValueError, match="helthcheck"):
        PyCompose.from_yaml(yaml.safe_dump(compose))


def test_every_service_has_a_pinned_image(compose):
    """No `latest`, and nothing without a tag."""
    images = {name: service["image"] for name, service in services(compose).items()}

    assert {name: image for name, image in images.items() if not PINNED.fullmatch(image)} == {}


def test_what_a_service_waits_for_can_come_true(compose):
    """It waits for services that are there, and for health only where health is looked at."""
    found = services(compose)
    for name, service in found.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in found, f"{name} waits for {other}"
            if how["condition"] == "service_healthy":
                assert "healthcheck" in found[other], f"{name} waits for the health of {other}"


def test_every_volume_and_file_that_is_mounted_is_there(compose):
    """Named volumes are declared; files come from the repository."""
    for service in services(compose).values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert source in ("../data", "../data/mlflow") or (FOLDER / source).exists(), source
            else:
                assert source in compose["volumes"], source


def test_every_build_names_a_dockerfile_and_a_stage_that_are_there(compose):
    """A target that was renamed would only fail in production."""
    for service in services(compose).values():
        if "build" not in service:
            continue
        file = FOLDER / service["build"]["context"] / service["build"]["dockerfile"]
        assert file.exists()
        if "target" in service["build"]:
            assert f" AS {service['build']['target']}\n" in file.read_text()


def test_every_secret_is_asked_for_and_none_is_written_down(compose):
    """Each ${NAME} is in .env.example, without a value, and compose refuses to start without."""
    text = (FOLDER / "compose.yaml").read_text()
    wanted = {*re.findall(r"(?<!\$)\$\{([A-Z_]+)", text)}
    offered = dict(
        line.split("=", 1)
        for line in (FOLDER / ".env.example").read_text().splitlines()
        if line and not line.startswith("#")
    )

    assert wanted == {*offered}
    assert {*offered.values()} == {""}
    assert len(re.findall(r"(?<!\$)\$\{", text)) == len(re.findall(r"(?<!\$)\$\{[A-Z_]+:\?", text))


def test_pages_are_open_to_this_computer_only(compose):
    """A published port is bound to 127.0.0.1."""
    ports = [port for service in services(compose).values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_schedule_and_the_programs_mean_the_same_midnight(compose):
    """Airflow cannot read the settings: it is told the time zone that the programs are told."""
    environments = [
        service.get("environment", {})
        for service in services(compose).values()
        if "airflow" in service.get("command", [])
    ]

    assert environments
    for environment in environments:
        assert environment["NIGHTSHIFT__TIME_ZONE"] == load_settings().time_zone


def test_a_night_waits_for_no_training_in_the_compose_file_either(compose):
    """Pools apart, a worker for each of their slots, and tokens that outlive a training."""
    init = services(compose)["init"]["command"][-1]
    slots = {name: int(count) for name, count in re.findall(r"airflow pools set (\w+) (\d+)", init)}
    told = compose["x-airflow-environment"]

    assert [told["NIGHTSHIFT_NIGHT_POOL"], told["NIGHTSHIFT_TRAINING_POOL"]] == [*slots] == [*SLOTS]
    assert int(told["AIRFLOW__CORE__PARALLELISM"]) == sum(slots.values())
    for name in (
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT",
        "AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME",
    ):
        assert told[name] == str(LONGEST_WAIT_SECONDS)


def test_mlflow_asks_for_a_login_and_holds_no_key(compose):
    """The programs have it from the environment; the folder with the keys is not mounted."""
    mlflow = services(compose)["mlflow"]
    mounted = [volume.split(":")[0] for volume in mlflow["volumes"]]

    assert "--app-name basic-auth" in mlflow["command"][-1]
    assert (
        compose["x-jobs-environment"]["MLFLOW_TRACKING_PASSWORD"]
        == (mlflow["environment"]["MLFLOW_AUTH_ADMIN_PASSWORD"])
    )
    assert mounted == ["../data/mlflow", "./mlflow-login.ini"]


def test_a_folder_that_docker_makes_belongs_to_who_writes_there(compose):
    """Docker makes a mounted folder that is not there for root, and the programs are not root."""
    named = services(compose)
    init = named["init"]
    mounts = {
        name: {mount for mount in service.get("volumes", []) if mount.startswith("../data")}
        for name, service in named.items()
    }
    targets = {mount.split(":")[1] for mount in set().union(*mounts.values())}
    (line,) = re.findall(r"^find (.*?) -maxdepth 0 -user root", init["command"][-1], re.M)
    early = [name for name in ("mlflow", "scheduler") if mounts[name]]

    assert init["user"] == "root"
    assert {*line.split()} == targets
    assert mounts["init"] == set().union(*mounts.values())
    assert early == ["mlflow", "scheduler"]
    for name in early:
        waits = named[name]["depends_on"]["init"]["condition"]
        assert waits == "service_completed_successfully"


def test_the_programs_publish_to_the_warehouse_that_is_started(compose, monkeypatch):
    """The scheduler's environment is a configuration that loads, and names the compose's server."""
    for name, value in compose["x-jobs-environment"].items():
        if name.startswith("NIGHTSHIFT__"):
            monkeypatch.setenv(name, re.sub(r"\$\{\w+:\?[^}]*\}", "word", value))
    warehouse = load_settings().warehouse
    server = services(compose)["warehouse"]["environment"]

    assert isinstance(warehouse, PostgresWarehouse)
    assert warehouse.uri == (
        f"postgresql://{server['POSTGRES_USER']}:word@warehouse/{server['POSTGRES_DB']}"
    )
