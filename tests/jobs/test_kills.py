"""kill -9 at each point of a run: run again, it leaves the rows of an undisturbed night.

Meanwhile readers ask without a pause, and never see a part of a night.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cache
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest

import jobs.lake.lake
from contracts.errors import BusyError
from contracts.tables import (
    DEMAND,
    DEMAND_BY_CATEGORY,
    EVENTS,
    LAKE,
    QUARANTINE,
    RAW_FILES,
    SCORES,
    SEQUENCES,
    SERIES,
    SESSION_EVENTS,
    SESSIONS,
    Table,
)
from contracts.windows import one_day
from jobs import (
    build_sequences,
    build_series,
    build_sessions,
    forecast_demand,
    ingest_events,
    score,
)
from jobs.lake.lake import Lake, _files, open_lake
from jobs.running.settings import PROJECT, Settings
from jobs.running.steps import environment
from jobs.vacuum import run_vacuum
from models.registry.registry import Registry

from .admitted import make_champion
from .conftest import settings_in
from .nights import items_of, stage
from .shop import SHOP, drop, line, use
from .test_score import save_model

pytestmark = [pytest.mark.spark, pytest.mark.torch]

DAY = date(2017, 7, 4)
CUTOFF = DAY + timedelta(days=1)
WRITES = {
    ingest_events: (QUARANTINE, RAW_FILES, EVENTS),
    build_sessions: (SESSION_EVENTS, SESSIONS),
    build_sequences: (SEQUENCES,),
    build_series: (SERIES,),
    forecast_demand: (DEMAND_BY_CATEGORY, DEMAND),
    score: (SCORES,),
}
POINTS = (
    "before_write",
    "half_way",
    "written",
    "before_commit",
    "before_switch",
    "between_tables",
    "committed",
)
QUICK = ("half_way", "before_commit", "between_tables", "committed")  # the others: `make chaos`
EVERYWHERE = [
    (program, point)
    for program, tables in WRITES.items()
    for point in POINTS
    if point != "between_tables" or len(tables) > 1
]
IN_SUITE = [(ingest_events, point) for point in QUICK]


@pytest.fixture(scope="module")
def champion(empty_mlflow, tmp_path_factory) -> Path:
    """A registry with a champion, for all deployments: a score names the run that trained it."""
    folder = tmp_path_factory.mktemp("champion")
    file = shutil.copy(empty_mlflow, folder / "mlflow.db")
    registry = Registry(f"sqlite:///{file}", "nightshift", folder.as_uri())
    settings = settings_in(folder)
    run_id = registry.start_run("tests", name="gru", params={}, tags={})
    version = registry.register(save_model(folder / "model"), run_id, DAY, "gru")
    make_champion(settings, registry, version.version)
    shutil.copytree(settings.home / "keys", folder / "keys")
    return folder / "mlflow.db"


def deployment(
    folder: Path, patch: pytest.MonkeyPatch, champion: Path, *, until: ModuleType
) -> Settings:
    """A day of raw logs with duplicates and bad lines, and what is made of it before a program."""
    settings = use(settings_in(folder), SHOP, patch)
    registry = settings.home / "mlflow" / "mlflow.db"
    registry.parent.mkdir(parents=True)
    shutil.copy(champion, registry)
    shutil.copytree(champion.with_name("keys"), settings.home / "keys")
    lines = [line(item=f"item {n % 37}", basket=n // 3) for n in range(300)]
    drop(settings, *lines, *lines[:5], day=DAY)
    patch.setenv("NIGHTSHIFT__INGEST__MAX_BAD_FRACTION", "0.5")
    drop(settings, line(user=None), "{half", day=DAY, name="part-1.jsonl.gz")
    for program in takewhile(lambda program: program is not until, WRITES):
        assert program.main(arguments(settings)) == 0
    return settings


def arguments(settings: Settings) -> list[str]:
    return ["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json"]


def hashes(settings: Settings, tables: Sequence[Table]) -> dict[str, str]:
    lake = open_lake(settings)
    return {table.name: next(lake.commits(table)).content_hash for table in tables}


@pytest.fixture(scope="module")
def undisturbed(spark, tmp_path_factory, champion) -> Callable[[ModuleType], dict[str, str]]:
    """The content hashes of a program that nobody killed; made once for each."""

    @cache
    def run(program: ModuleType) -> dict[str, str]:
        with pytest.MonkeyPatch.context() as patch:
            calm = tmp_path_factory.mktemp("calm")
            settings = deployment(calm, patch, champion, until=program)
            assert program.main(arguments(settings)) == 0
        return hashes(settings, WRITES[program])

    return run


def killed(point: str, program: ModuleType, settings: Settings) -> None:
    script = PROJECT / "tests" / "jobs" / "killed_at.py"
    run = subprocess.run(
        [sys.executable, str(script), point, f"jobs.{program.JOB}", *arguments(settings)],
        env=environment(settings),
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr


def keys_of(settings: Settings, table: Table) -> tuple:
    """What a reader sees of a table."""
    found = open_lake(settings).read_arrow(table, columns=list(table.key))
    return tuple(sorted(tuple(row.values()) for row in found.to_pylist()))


@contextmanager
def reader(look: Callable[[], Any], *, pause_seconds: float = 0.05) -> Iterator[list[Any]]:
    """Ask again and again in a thread of its own; what was seen, and what went wrong, is kept."""
    seen: list[Any] = []
    is_over = threading.Event()

    def loop() -> None:
        while not is_over.wait(pause_seconds):
            try:
                seen.append(look())
            except Exception as error:
                seen.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "point"),
    [
        pytest.param(*case, marks=[] if case in IN_SUITE else [pytest.mark.chaos])
        for case in EVERYWHERE
    ],
    ids=lambda value: getattr(value, "JOB", value),
)
def test_a_run_killed_anywhere_and_run_again_is_an_undisturbed_run(
    program, point, spark, tmp_path, monkeypatch, champion, undisturbed
):
    """The same content hashes, no part of a night on the way, nothing left after a vacuum."""
    expected, tables = undisturbed(program), WRITES[program]
    settings = deployment(tmp_path, monkeypatch, champion, until=program)
    with reader(lambda: keys_of(settings, tables[-1])) as seen:
        killed(point, program, settings)
        there = [table.name for table in tables if keys_of(settings, table)]
        assert program.main(arguments(settings)) == 0
        whole = keys_of(settings, tables[-1])

    assert there == {"committed": [*expected], "between_tables": [tables[0].name]}.get(point, [])
    assert hashes(settings, tables) == expected
    assert seen
    assert {*seen} <= {(), whole}
    for file in settings.home.rglob("lake/**/*"):
        os.utime(file, (0, 0))
    run_vacuum(settings, hours=1, is_dry_run=False)
    assert keys_of(settings, tables[-1]) == whole
    assert unnamed_files(settings) == []


def unnamed_files(settings: Settings) -> list[Path]:
    """Parquet files that no snapshot names."""
    lake = open_lake(settings)
    named = {
        file.file_path.removeprefix("file://")
        for table in LAKE
        for commit in lake.commits(table)
        for file in _files(lake._find(table), None, commit.snapshot_id)
    }
    found = settings.home.rglob("lake/**/*.parquet")
    return [file for file in found if str(file) not in named]


def test_readers_in_a_loop_see_whole_nights_only(spark, settings):
    """Through pyiceberg, through DuckDB, through Spark, while a night is replaced again and again.

    Each asks of its own opening of the lake. A night is one letter, over and over.
    """
    nights = [[letter] * size for letter, size in zip("abcdef", (3, 50, 1, 7, 20, 11), strict=True)]
    writer = open_lake(settings)
    writer.commit(stage(writer, CUTOFF, nights[0], "first"), reads={})

    def by_duckdb() -> list[str]:
        files = [file.file_path for file in _files(open_lake(settings)._find(SERIES), None, None)]
        found = duckdb.connect().execute("SELECT item_id FROM read_parquet(?)", [files])
        return [row[0] for row in found.fetchall()]

    def by_spark() -> list[str]:
        return [row["item_id"] for row in open_lake(settings).read(spark, SERIES).collect()]

    with (
        reader(lambda: items_of(open_lake(settings)), pause_seconds=0) as of_pyiceberg,
        reader(by_duckdb, pause_seconds=0) as of_duckdb,
        reader(by_spark, pause_seconds=0) as of_spark,
    ):
        for n in range(40):
            night = nights[n % len(nights)]
            writer.commit(stage(writer, CUTOFF, night, f"run-{n}"), reads={})

    for seen in (of_pyiceberg, of_duckdb, of_spark):
        assert [look for look in seen if look not in nights] == []
        assert len({len(look) for look in seen}) > 1, "the readers were never overtaken"


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "replaced"])
def test_of_two_runs_of_a_night_at_once_one_wins_and_the_other_says_so(settings, is_new):
    """Both begin to commit at the same moment, time after time, the table's first time included."""
    num_refused = 0
    for n in range(8):
        cutoff = CUTOFF + timedelta(days=n if is_new else 0)
        start = threading.Barrier(2)
        ends: dict[str, object] = {}

        def commit(name: str, cutoff=cutoff, start=start, ends=ends, n=n) -> None:
            try:
                lake = open_lake(settings)
                staged = stage(lake, cutoff, [name], f"{name}-{n}")
                start.wait(timeout=60)
                ends[name] = lake.commit(staged, reads={}).run_key
            except Exception as error:
                ends[name] = error

        both = [threading.Thread(target=commit, args=(name,)) for name in ("left", "right")]
        for one in both:
            one.start()
        for one in both:
            one.join()
        rows = items_of(open_lake(settings), window=one_day(cutoff))

        won = [name for name, end in ends.items() if end == f"{name}-{n}"]
        num_refused += sum(isinstance(end, BusyError) for end in ends.values())
        assert {type(end) for end in ends.values()} <= {str, BusyError}, ends
        assert rows in [[name] for name in won]  # both, where one was over before the other
    assert num_refused > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "program",
    [build_series, pytest.param(build_sequences, marks=pytest.mark.chaos)],
    ids=["Spark writes", "executors write"],
)
def test_of_two_programs_of_a_night_at_once_one_wins_and_the_other_says_so(
    program, spark, tmp_path, monkeypatch, champion, undisturbed
):
    """Two processes that have written all their files meet at the commit."""
    expected, (table,) = undisturbed(program), WRITES[program]
    settings = deployment(tmp_path, monkeypatch, champion, until=program)
    script = PROJECT / "tests" / "jobs" / "commit_together.py"
    command = [sys.executable, str(script), str(tmp_path / "meeting"), "2", f"jobs.{program.JOB}"]
    both = [
        subprocess.Popen(
            [*command, *arguments(settings)],
            env=environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=400) for process in both]
    ends = sorted(
        (process.returncode, json.loads(said.splitlines()[-1]))
        for process, (said, _) in zip(both, outputs, strict=True)
    )
    (won, winner), (lost, loser) = ends
    commits = [*open_lake(settings).commits(table)]

    assert (won, lost, loser["error"]) == (0, BusyError.exit_code, "BusyError"), outputs
    assert loser["message"] == (
        f"{table.name}/{table.partition}={CUTOFF}: found another run that committed the same days "
        "meanwhile, expected one run at a time. "
        "Its rows stand, this run's are not visible. Run this again if it has to win."
    )
    assert [commit.run_key for commit in commits] == [winner["run_key"]]
    assert hashes(settings, [table]) == expected
    assert len(keys_of(settings, table)) == commits[0].num_rows


def test_a_new_lake_can_be_opened_by_many_at_once(tmp_path):
    """The first steps of a night start together: none may fail over who makes the catalog."""
    found: list[object] = []
    for n in range(20):
        (tmp_path / str(n)).mkdir()
        settings = settings_in(tmp_path / str(n))
        start = threading.Barrier(4)

        def look(settings=settings, start=start) -> None:
            start.wait()
            try:
                found.append(open_lake(settings).partitions(SERIES))
            except Exception as error:
                found.append(error)

        many = [threading.Thread(target=look) for _ in range(4)]
        for one in many:
            one.start()
        for one in many:
            one.join()

    assert found == [[]] * 80


def test_files_of_an_executor_that_was_given_up_are_no_part_of_a_run(spark, settings, monkeypatch):
    """Spark's scratch folder may come to life again after the job is done."""
    write = jobs.lake.lake.write_files

    def write_and_haunt(frame, table, folder) -> None:
        write(frame, table, folder)
        whole = next(Path(folder.removeprefix("file://")).rglob("*.parquet"))
        ghost = Path(folder.removeprefix("file://")) / "_temporary/0/task_1/partition=2017-07-05"
        ghost.mkdir(parents=True)
        (ghost / whole.name).write_bytes(whole.read_bytes())

    monkeypatch.setattr(jobs.lake.lake, "write_files", write_and_haunt)
    lake: Lake = open_lake(settings)
    frame = spark.createDataFrame(
        [("a", None, DAY, 1.0, 2.0, CUTOFF)],
        "item_id string, category string, day date, units double, revenue double, cutoff date",
    )
    commit = lake.replace(frame, SERIES, window=one_day(CUTOFF), run_key="haunted", reads={})

    assert commit.num_rows == 1
    assert items_of(lake) == ["a"]
