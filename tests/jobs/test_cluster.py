"""A real standalone cluster: one master, two workers, one of which dies at work."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psutil
import pyspark
import pytest

from contracts.tables import EVENTS, SEQUENCES, SERIES, SESSION_EVENTS
from contracts.windows import Window
from jobs import build_sequences, build_series, build_sessions
from jobs.lake.lake import open_lake
from jobs.running.settings import PROJECT, Settings
from jobs.running.steps import environment

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(1200)]

CUTOFF = date(2017, 7, 4)
SPARK_CLASS = Path(pyspark.__file__).parent / "bin" / "spark-class"
DEPLOY = "org.apache.spark.deploy"
DDL = (
    "event_id string, user_id string, item_id string, event_type string, event_time timestamp, "
    "category string, price double, quantity double, amount double, session_hint string, "
    "text string, properties map<string,string>, ingest_date date"
)


def put_events(spark, settings: Settings) -> None:
    """Two thousand sales of forty items in the week before the cutoff."""
    start, end = CUTOFF - timedelta(days=7), CUTOFF
    first = datetime(start.year, start.month, start.day, 12, tzinfo=UTC)
    rows = []
    for n in range(2000):
        time = first + timedelta(minutes=n * 4)
        item = f"item {n * 7 % 40}"
        rows.append(
            (
                f"e{n}",
                f"u{n % 50}",
                item,
                "purchase",
                time,
                "c",
                None,
                1.0,
                n / 7,
                None,
                None,
                {},
                time.date(),
            )
        )
    frame = spark.createDataFrame(rows, DDL)
    window = Window(start, end)
    open_lake(settings).replace(frame, EVENTS, window=window, run_key="events", reads={})


@pytest.fixture
def cluster(settings: Settings, tmp_path: Path) -> Iterator[tuple[str, list[psutil.Process]]]:
    """The master's address and the two workers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    host, port = address.split(":")
    env = {**environment(settings), "SPARK_LOCAL_IP": host, "SPARK_NO_DAEMONIZE": "1"}
    started: list[psutil.Process] = []

    def start(kind: str, *arguments: str) -> psutil.Process:
        log = (tmp_path / f"{len(started)}.log").open("w")
        command = [str(SPARK_CLASS), f"{DEPLOY}.{kind}", "--host", host, "--webui-port", "0"]
        process = subprocess.Popen([*command, *arguments], env=env, stdout=log, stderr=log)
        started.append(psutil.Process(process.pid))
        return started[-1]

    try:
        start("master.Master", "--port", port)
        wait_for(lambda: answers(host, int(port)))
        workers = [
            start(
                "worker.Worker",
                *("--cores", "1", "--memory", "1g"),
                *("--work-dir", str(tmp_path / name), f"spark://{address}"),
            )
            for name in ("left", "right")
        ]
        yield f"spark://{address}", workers
    finally:
        for process in started:
            kill(process)


def answers(host: str, port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0


def wait_for(is_so: Callable[[], bool], *, seconds: float = 400) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def kill(process: psutil.Process) -> None:
    """With SIGKILL, and all that it has started."""
    if not process.is_running():
        return
    family = [*process.children(recursive=True), process]
    for one in family:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=10)


def tasks_of(marks: Path, worker: psutil.Process) -> set[str]:
    """The tasks that ran under this worker."""
    found = (mark.name.split("-") for mark in marks.glob("*-*"))
    return {task for pid, task in found if int(pid) == worker.pid}


@pytest.mark.parametrize(
    ("program", "table"),
    [
        (build_sessions, SESSION_EVENTS),  # the executors write its files themselves
        pytest.param(build_sequences, SEQUENCES, marks=pytest.mark.chaos),
        pytest.param(build_series, SERIES, marks=pytest.mark.chaos),
    ],
    ids=["sessions", "sequences", "series"],
)
def test_a_worker_killed_at_work_does_not_change_the_result(
    spark, settings, cluster, tmp_path, capsys, program, table
):
    """Its tasks and the shuffle files that it held are made again on the other worker."""
    put_events(spark, settings)
    master, (left, right) = cluster
    arguments = ["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json"]
    arguments += ["--since", str(CUTOFF - timedelta(days=7))] if program is build_sessions else []
    assert program.main(arguments) == 0
    alone = json.loads(capsys.readouterr().out)

    script, marks = PROJECT / "tests" / "jobs" / "slow_run.py", tmp_path / "marks"
    command = [sys.executable, str(script), str(marks), f"jobs.{program.JOB}", *arguments]
    env = {
        **environment(settings),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "NIGHTSHIFT__SPARK__MASTER": master,
        "NIGHTSHIFT__SPARK__PARTITIONS": "8",
    }
    log = tmp_path / "run.log"
    with (
        log.open("w") as said,
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=said, text=True) as run,
    ):
        wait_for(lambda: bool(tasks_of(marks, left)) or run.poll() is not None)
        kill(left)
        answer, _ = run.communicate(timeout=400)
    of_cluster = json.loads(answer.splitlines()[-1])

    assert run.returncode == 0, log.read_text()
    assert tasks_of(marks, left)
    assert tasks_of(marks, right)
    assert contents(of_cluster) == contents(alone)
    assert open_lake(settings).read_arrow(table).num_rows == alone["tables"][table.name]["rows"] > 0


def contents(said: dict) -> dict[str, str]:
    """Table → content hash."""
    return {name: table["content_hash"] for name, table in said["tables"].items()}
