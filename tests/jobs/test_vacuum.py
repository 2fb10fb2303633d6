"""Vacuum: what nothing names and is old enough goes, and nothing else, whatever has happened."""

import json
import os
import shutil
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from typer.testing import CliRunner

from contracts.errors import BusyError, ConfigError
from contracts.tables import SERIES
from contracts.windows import one_day
from jobs.cli import app
from jobs.lake.lake import Lake, open_lake
from jobs.running.settings import PostgresWarehouse
from jobs.vacuum import run_vacuum, vacuum
from jobs.warehouse.duckdb_file import DuckDBFile
from jobs.warehouse.warehouse import open_warehouse

from . import nights
from .conftest import settings_in
from .nights import items_of

stage = partial(nights.stage, has_checksum=True)
write_file = partial(nights.write_file, has_checksum=True)

CUTOFF = date(2017, 1, 5)
HOURS = 72
NOT_OURS = [
    "notes.txt",
    "data/notes.parquet",
    "data/run=abc/notes.txt",
    "data/run=abc/partition=2017-01-05/rows.parquet",
    "data/other/part-00000-1.c000.zstd.parquet",
    "metadata/README.md",
    "metadata/version-hint.text",
    "metadata/stats.avro",
]
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class KilledError(BaseException):
    """What a kill looks like from inside: nothing after it is run, no handler catches it."""


def folder_of(settings) -> Path:
    return settings.home / "lake" / SERIES.name


def files_of(settings) -> dict[Path, int]:
    return {file: file.stat().st_size for file in folder_of(settings).rglob("*") if file.is_file()}


def grow_old(settings, *files: Path) -> None:
    for file in files or files_of(settings):
        os.utime(file, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))


class LakeWithKilledRuns(RuleBasedStateMachine):
    """Commits, runs killed at any point, lost races, strangers' files, hours, vacuums.

    The model keeps three sets of files, by what made them and not by what names them.
    """

    @initialize()
    def begin(self) -> None:
        self.folder = Path(os.environ["VACUUM_TEST_FOLDER"]) / os.urandom(8).hex()
        self.folder.mkdir()
        self.settings = settings_in(self.folder)
        self.lake = open_lake(self.settings)
        self.now, self.num = datetime(2030, 1, 1, tzinfo=UTC), 0
        self.live: set[Path] = set()
        self.strangers: set[Path] = set()
        self.left: dict[Path, datetime] = {}  # file → when its run last wrote
        self.nights: dict[int, list[str]] = {}  # snapshot → items of all cutoffs in it
        self.rows: dict[date, list[str]] = {}
        self.known: set[Path] = set()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def new_files(self) -> set[Path]:
        """The files that came since; they are as old as the model's clock says."""
        found = {*files_of(self.settings)}
        new, self.known = found - self.known, found
        for file in new:
            os.utime(file, (self.now.timestamp(), self.now.timestamp()))
        return new

    def next_key(self) -> str:
        self.num += 1
        return f"build_series-{CUTOFF}-{self.num:08x}"

    @rule(day=st.integers(0, 2), items=st.lists(st.sampled_from("abcd"), max_size=3))
    def commit(self, day: int, items: list[str]) -> None:
        cutoff = CUTOFF + timedelta(days=day)
        landed = self.lake.commit(stage(self.lake, cutoff, items, self.next_key()), reads={})
        self.rows[cutoff] = items
        self.nights[landed.snapshot_id] = sorted(
            item for night in self.rows.values() for item in night
        )
        self.live |= self.new_files()

    @rule(is_whole=st.booleans())
    def killed_while_writing(self, is_whole: bool) -> None:
        key = self.next_key()
        write_file(self.lake, CUTOFF, ["x"], key, inside="_temporary/0/task_1/")
        if is_whole:
            stage(self.lake, CUTOFF, ["x"], key)
        self.left |= dict.fromkeys(self.new_files(), self.now)

    @precondition(lambda self: self.nights)
    @rule(has_metadata=st.sampled_from(["none", "half", "whole"]))
    def killed_while_committing(self, has_metadata: str) -> None:
        staged = stage(self.lake, CUTOFF, ["x"], self.next_key())
        catalog = self.lake._catalog
        write = catalog._write_metadata

        def die(*args, **options):
            if has_metadata != "none":
                write(*args, **options)
            raise KilledError

        catalog._write_metadata = die
        try:
            with pytest.raises(KilledError):
                self.lake.commit(staged, reads={})
        finally:
            del catalog._write_metadata
        new = self.new_files()
        for file in new:
            if has_metadata == "half" and file.name.endswith(".metadata.json"):
                file.write_text(file.read_text()[:100])
                os.utime(file, (self.now.timestamp(), self.now.timestamp()))
        self.left |= dict.fromkeys(new, self.now)

    @precondition(lambda self: self.nights)
    @rule()
    def lost_race(self) -> None:
        slow = stage(self.lake, CUTOFF, ["slow"], self.next_key())
        left = self.new_files()
        seen = self.lake._find(SERIES)
        self.commit(0, ["fast"])
        loser = Lake(self.lake._catalog, self.lake._location)
        loser._create = lambda table: seen
        with pytest.raises(BusyError):
            loser.commit(slow, reads={})
        self.left |= dict.fromkeys(left | self.new_files(), self.now)

    @rule(name=st.sampled_from(NOT_OURS))
    def stranger(self, name: str) -> None:
        file = folder_of(self.settings) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
        self.new_files()
        self.strangers.add(file)

    @rule(hours=st.integers(1, 100))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @precondition(lambda self: any(_run(file) for file in self.left))
    @rule(data=st.data())
    def a_run_goes_on_writing(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(sorted({run for file in self.left if (run := _run(file))})))
        key = run.name.removeprefix("run=")
        uri = write_file(self.lake, CUTOFF, [str(self.now)], key, inside="_temporary/0/task_2/")
        self.new_files()
        # It may have been there: who writes twice within an hour writes the same file again.
        os.utime(uri.removeprefix("file://"), (self.now.timestamp(), self.now.timestamp()))
        for file in run.rglob("*"):
            if file.is_file() and file not in self.live:
                self.left[file] = self.now

    @rule(is_dry_run=st.booleans())
    def vacuum(self, is_dry_run: bool) -> None:
        before, limit = files_of(self.settings), self.now - timedelta(hours=HOURS)
        said = vacuum(self.settings, older_than=limit, is_dry_run=is_dry_run)
        after = files_of(self.settings)
        due = {file for file, wrote in self.left.items() if wrote < limit}

        assert (said["files"], said["bytes"]) == (len(due), sum(before[file] for file in due))
        assert after == (before if is_dry_run else _without(before, due))
        if is_dry_run:
            assert {Path(uri.removeprefix("file://")) for uri in said["would_remove"]} == due
        else:
            self.left = {file: at for file, at in self.left.items() if file not in due}
            self.known -= due

    @invariant()
    def every_snapshot_answers_as_it_did(self) -> None:
        if not hasattr(self, "nights"):
            return
        for snapshot_id, items in self.nights.items():
            assert items_of(self.lake, snapshot_id=snapshot_id) == items
        assert self.strangers <= {*files_of(self.settings)}


def _run(file: Path) -> Path | None:
    return next((folder for folder in file.parents if folder.name.startswith("run=")), None)


def _without(files: dict[Path, int], gone: set[Path]) -> dict[Path, int]:
    return {file: size for file, size in files.items() if file not in gone}


@pytest.mark.parametrize(
    "histories", [12, pytest.param(300, marks=[pytest.mark.chaos, pytest.mark.timeout(3000)])]
)
def test_vacuum_removes_what_is_left_over_and_nothing_else(histories, tmp_path, monkeypatch):
    """Random histories: every snapshot still answers, and the files add up, one by one."""
    monkeypatch.setenv("VACUUM_TEST_FOLDER", str(tmp_path))
    run_state_machine_as_test(
        LakeWithKilledRuns,
        settings=examples(
            max_examples=histories,
            stateful_step_count=14,
            deadline=None,
            phases=[Phase.generate],  # a history of some steps is read sooner than shortened
            suppress_health_check=[*HealthCheck],
        ),
    )


@pytest.fixture
def lake(settings) -> Lake:
    lake = open_lake(settings)
    lake.commit(stage(lake, CUTOFF, ["a"], "kept"), reads={})
    return lake


def test_a_run_that_is_still_writing_keeps_its_oldest_file(settings, lake):
    """A bulk load may take longer than the limit: its newest file says that it lives."""
    write_file(lake, CUTOFF, ["first"], "long-load")
    grow_old(settings)
    write_file(lake, CUTOFF, ["second"], "long-load")

    assert run_vacuum(settings, hours=HOURS, is_dry_run=False)["files"] == 0


def test_a_first_run_that_was_killed_is_cleared_away_with_its_folders(settings):
    """No table exists yet, and what the run has left is known by its place and its name."""
    lake = open_lake(settings)
    write_file(lake, CUTOFF, ["a"], "killed", inside="_temporary/0/task_1/")
    grow_old(settings)
    said = run_vacuum(settings, hours=None, is_dry_run=False)

    assert said["tables"] == {"series": {"files": 2, "bytes": said["bytes"]}}
    assert [*(folder_of(settings) / "data").iterdir()] == []


def test_what_a_past_night_read_stays(settings, lake):
    """No snapshot is expired here, however old: each of them can be replayed."""
    first = lake.snapshot_id(SERIES)
    lake.commit(stage(lake, CUTOFF, ["b"], "second"), reads={})
    grow_old(settings)
    said = run_vacuum(settings, hours=HOURS, is_dry_run=False)

    assert said["files"] == 0
    assert items_of(lake, snapshot_id=first) == ["a"]


def test_what_another_program_has_expired_goes_and_what_it_kept_stays(settings, lake):
    """The live snapshots decide, not their number or age."""
    second = lake.commit(stage(lake, CUTOFF, ["b"], "second"), reads={})
    third = lake.commit(stage(lake, CUTOFF, ["c"], "third"), reads={})
    lake._find(SERIES).maintenance.expire_snapshots().by_id(second.snapshot_id).commit()
    grow_old(settings)
    said = run_vacuum(settings, hours=HOURS, is_dry_run=False)
    runs = {folder.name for folder in (folder_of(settings) / "data").iterdir()}

    assert said["files"] > 2
    assert runs == {"run=kept", "run=third"}
    assert items_of(lake, snapshot_id=third.snapshot_id) == ["c"]


def test_a_copied_lake_is_left_alone(settings, lake):
    """Its catalog speaks of the old place, so that every file of the new one looks left over."""
    grow_old(settings)
    copy = settings.lake.model_copy(update={"location": "copy"})
    shutil.copytree(settings.home / "lake", settings.home / "copy")
    with pytest.raises(ConfigError) as refused:
        run_vacuum(settings.model_copy(update={"lake": copy}), hours=HOURS, is_dry_run=False)

    assert str(refused.value) == (
        f"file://{settings.home}/copy/series: found a table whose catalog says that it lies in "
        f"file://{settings.home}/lake/series, expected the folder that the configuration names. "
        "Nothing was removed here. Correct lake.location or lake.catalog: "
        "a moved or copied lake needs a catalog that knows its new place."
    )


def test_tables_of_another_catalog_are_left_alone(settings, lake):
    """Two catalogs over one folder: the files of one look left over to the other."""
    grow_old(settings)
    (settings.home / "catalog.db").rename(settings.home / "other.db")
    catalog = {**settings.lake.catalog, "uri": f"sqlite:///{settings.home}/new.db"}
    elsewhere = settings.lake.model_copy(update={"catalog": catalog})
    shutil.move(settings.home / "lake", settings.home / "away")
    other = settings.model_copy(update={"lake": elsewhere})
    open_lake(other)
    shutil.copytree(settings.home / "away", settings.home / "lake", dirs_exist_ok=True)
    with pytest.raises(ConfigError) as refused:
        run_vacuum(other, hours=HOURS, is_dry_run=False)

    assert "found the metadata of a table that the catalog does not know" in str(refused.value)
    assert {*files_of(settings)}


def test_a_killed_publish_leaves_a_copy_that_vacuum_removes(settings):
    """But not while somebody publishes: then the copy may be his."""
    warehouse = open_warehouse(settings)
    assert isinstance(warehouse, DuckDBFile)
    settings.home.mkdir(exist_ok=True)
    warehouse.file.write_bytes(b"the night before")
    copy = settings.home / "warehouse.duckdb.publish-2017-01-05-0a.run"
    copy.write_bytes(b"half")
    grow_old(settings, copy, warehouse.file)
    with warehouse._lock("publish-2017-01-05-0b"):
        busy = run_vacuum(settings, hours=HOURS, is_dry_run=False)
    removed = run_vacuum(settings, hours=HOURS, is_dry_run=False)

    assert (busy["warehouse"], busy["files"]) == ("left alone: a run is publishing", 0)
    assert removed["warehouse"] == {"files": 1, "bytes": 4}
    assert not copy.exists()
    assert warehouse.file.exists()


def test_a_server_has_no_leftovers(settings, postgres_uri):
    """What a killed publish had written, it has rolled back: vacuum minds the lake alone."""
    chosen = PostgresWarehouse(uri=postgres_uri, keep_nights=9, reader_role="reader")
    said = run_vacuum(
        settings.model_copy(update={"warehouse": chosen}), hours=HOURS, is_dry_run=False
    )

    assert said["warehouse"] == {"files": 0, "bytes": 0}


def test_the_command_lists_before_it_removes(settings, lake):
    """`--dry-run` names each file; the limit is the configuration's unless it is given."""
    write_file(lake, CUTOFF, ["x"], "killed")
    grow_old(settings)
    options = ["--config", str(settings.file), "--json"]
    listed = CliRunner().invoke(app, ["vacuum", "--dry-run", *options])
    removed = CliRunner().invoke(app, ["vacuum", "--older-than-hours", "1", *options])
    would, did = json.loads(listed.stdout), json.loads(removed.stdout)

    assert (listed.exit_code, removed.exit_code) == (0, 0)
    assert len(would["would_remove"]) == would["files"] == did["files"] == 2
    assert would["bytes"] == did["bytes"] > 0
    assert items_of(lake, window=one_day(CUTOFF)) == ["a"]
