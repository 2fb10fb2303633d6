"""Airflow and MLflow on this machine, with their web pages: `nightshift up` and `nightshift down`.

    nightshift up --airflow-port 8080 --mlflow-port 5000

Airflow's parts are started one by one rather than by ``airflow standalone``, which costs a process
more and leaves its children behind when it is told to end.
"""

import json
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from contracts.errors import BusyError, ConfigError, UnreachableError
from jobs.running.kept_secrets import kept_secret
from jobs.running.mlflow_login import USER as MLFLOW_USER
from jobs.running.mlflow_login import make_password, users_file
from jobs.running.private_files import closed_to_others
from jobs.running.settings import PROJECT, Settings
from jobs.running.steps import environment
from jobs.services.airflow_api import AirflowApi
from jobs.services.pools import MEANING, SLOTS, pool_environment
from jobs.services.processes import listener_of, start_process, started_for, stop_all

USER = "admin"
DAGS = ("score_nightly", "train_weekly")
PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Running:
    """What a person needs to look at what runs here."""

    airflow: str
    mlflow: str
    user: str
    password: str
    mlflow_password: str  # of the same user

    def api(self) -> AirflowApi:
        return AirflowApi(self.airflow, self.user, self.password)

    def said(self) -> dict[str, str]:
        return asdict(self)


@closed_to_others()
def start(settings: Settings, *, airflow_port: int = 8080, mlflow_port: int = 5000) -> Running:
    """Start both, wait until they answer, and say where. What already runs well is left alone."""
    home = settings.home
    addresses = home / "services.json"
    if started_for(home):
        if addresses.exists() and _is_well(found := _read_addresses(addresses)):
            return found
        stop(settings)
    _refuse_taken(airflow_port, flag="--airflow-port")
    _refuse_taken(mlflow_port, flag="--mlflow-port")
    running = Running(
        airflow=f"http://127.0.0.1:{airflow_port}",
        mlflow=f"http://127.0.0.1:{mlflow_port}",
        user=USER,
        password=_password(home / "airflow" / "passwords.json"),
        mlflow_password=make_password(home),
    )
    env = airflow_environment(settings, running)
    try:
        _start_mlflow(settings, mlflow_port, env)
        _prepare_database(home, env)
        _start_airflow(home, airflow_port, env)
        _wait_until_well(running, home)
        running.api().set_pools(SLOTS, meaning=MEANING)
    except BaseException:
        stop(settings)
        raise
    addresses.write_text(json.dumps({"airflow": running.airflow, "mlflow": running.mlflow}))
    return running


def stop(settings: Settings) -> int:
    """Stop all that ``start`` started here. Returns how many processes there were."""
    found = len(started_for(settings.home))
    left = stop_all(settings.home)
    (settings.home / "services.json").unlink(missing_ok=True)
    if left:
        raise BusyError(
            "nightshift down",
            found=f"the processes {', '.join(str(process.pid) for process in left)} still running",
            expected="none",
            do="End them by hand, then run this again.",
        )
    return found


def airflow_environment(settings: Settings, running: Running) -> dict[str, str]:
    """What Airflow, and so each of its tasks, finds around it."""
    home = settings.home
    spark = {"conn_type": "spark", "host": settings.spark.master}
    return {
        **pool_environment(),
        **environment(settings),
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "airflow/passwords.json"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{running.airflow}/execution/",
        "AIRFLOW__API__BASE_URL": running.airflow,
        "AIRFLOW__API_AUTH__JWT_SECRET": _key(home / "airflow" / "jwt_secret"),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps(spark),
        "NIGHTSHIFT_PROJECT": str(PROJECT),
        "NIGHTSHIFT_PYTHON": sys.executable,
        "NIGHTSHIFT_SPARK_DRIVER_MEMORY": settings.spark.driver_memory,
        # Without it, unpausing a DAG would at once run the latest night that has already passed.
        "NIGHTSHIFT_START_DATE": datetime.now(settings.zone).date().isoformat(),
        "NIGHTSHIFT__TIME_ZONE": settings.time_zone,
        "NIGHTSHIFT__MLFLOW__TRACKING_URI": running.mlflow,
    }


def _start_mlflow(settings: Settings, port: int, env: dict[str, str]) -> None:
    home = settings.home
    (home / "mlflow").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--app-name", "basic-auth"]
    # Files go straight to their folder, so that the same runs can be read without a server.
    command += ["--no-serve-artifacts", "--default-artifact-root", settings.artifacts_uri]
    env = {
        **env,
        "MLFLOW_BACKEND_STORE_URI": settings.mlflow.tracking_uri,  # `ps` shows a command line
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes for nothing
        "MLFLOW_AUTH_CONFIG_PATH": str(_write_login_rules(home)),
        "MLFLOW_AUTH_ADMIN_PASSWORD": make_password(home),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": _key(home / "mlflow" / "session_secret"),
    }
    start_process(command, home=home, log=home / "logs" / "mlflow.log", env=env)


def _write_login_rules(home: Path) -> Path:
    """How MLflow asks for a login; the password is not among it."""
    rules = {
        "default_permission": "NO_PERMISSIONS",
        "database_uri": f"sqlite:///{users_file(home)}",
        "admin_username": MLFLOW_USER,
        "auth_cache_ttl_seconds": "60",  # a password is hashed for a tenth of a second
    }
    file = home / "mlflow" / "login.ini"
    lines = [f"{name} = {value}".replace("%", "%%") for name, value in rules.items()]
    file.write_text("\n".join(["[mlflow]", *lines, ""]))
    return file


def _prepare_database(home: Path, env: dict[str, str]) -> None:
    """Bring Airflow's own tables up to date, once for each version of Airflow."""
    done = home / "airflow" / f"migrated-{version('apache-airflow')}"
    if done.exists():
        return
    log = home / "logs" / "airflow-migrate.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    with log.open("w") as said:
        code = subprocess.run(command, env=env, stdout=said, stderr=said, check=False).returncode
    if code:
        raise UnreachableError(
            "Airflow's database",
            address=str(home / "airflow"),
            reason=f"exit code {code} of `airflow db migrate`",
            do=f"Read {log}.",
        )
    done.touch()


def _start_airflow(home: Path, port: int, env: dict[str, str]) -> None:
    api_server = ["api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # The log server of the scheduler listens on every address; here all logs lie on one disk.
    scheduler = ["scheduler", "--skip-serve-logs"]
    for part in (api_server, scheduler, ["dag-processor"]):
        command = [sys.executable, "-m", "airflow", *part]
        start_process(command, home=home, log=home / "logs" / f"airflow-{part[0]}.log", env=env)


def _wait_until_well(running: Running, home: Path) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not _is_well(running):
        alive = {" ".join(process.cmdline()) for process in started_for(home)}
        if time.monotonic() > end or not alive:
            raise UnreachableError(
                "Airflow or MLflow",
                address=f"{running.airflow}, {running.mlflow}",
                reason=f"no healthy answer in {PATIENCE_SECONDS} s" if alive else "all ended",
                do=f"Read {home}/logs/airflow-*.log and mlflow.log.",
            )
        time.sleep(0.5)


def _is_well(running: Running) -> bool:
    """Do both answer, with the scheduler at work and every DAG known?"""
    try:
        with urllib.request.urlopen(f"{running.mlflow}/health", timeout=5):
            pass
        api = running.api()
        health: dict[str, dict[str, Any]] = api.health()
        parts = ("metadatabase", "scheduler", "dag_processor")
        if any(health[part]["status"] != "healthy" for part in parts):
            return False
        return set(DAGS) <= set(api.dags())
    except (OSError, KeyError, TypeError, urllib.error.URLError, UnreachableError):
        return False


def _read_addresses(file: Path) -> Running:
    found = json.loads(file.read_text())
    password = _password(file.parent / "airflow" / "passwords.json")
    mlflow_password = make_password(file.parent)
    return Running(found["airflow"], found["mlflow"], USER, password, mlflow_password)


def _password(file: Path) -> str:
    """The administrator's, in the form in which Airflow reads it."""
    kept = kept_secret(file, lambda: json.dumps({USER: secrets.token_urlsafe(12)}))
    try:
        return str(json.loads(kept)[USER])
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            str(file),
            found="no password",
            expected=f'JSON: {{"{USER}": "…"}}',
            do="Remove the file, and run `nightshift up` again: it makes a new password.",
        ) from None


def _key(file: Path) -> str:
    """By which a service signs what it gives out."""
    return kept_secret(file, lambda: secrets.token_hex(64))


def _refuse_taken(port: int, *, flag: str) -> None:
    if holder := listener_of(port):
        raise BusyError(
            f"port {port}",
            found=holder,
            expected="nobody",
            do=f"Stop it, or choose another port with {flag}.",
        )
