"""A table whose newest metadata file is damaged: named, with the way back."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from contracts.errors import ConfigError, DamagedMetadataError
from contracts.tables import QUARANTINE, SERIES, Table
from contracts.windows import one_day
from jobs.cli import app
from jobs.lake.column_types import arrow_schema
from jobs.lake.commits import Staged
from jobs.lake.lake import Lake, open_lake

from .commit_once import DAY


def put(lake: Lake, reason: str) -> None:
    line = {"source": "a", "line": 1, "reason": reason, "raw": b"x", "ingest_date": DAY}
    rows = pa.Table.from_pylist([line], schema=arrow_schema(QUARANTINE))
    paths = [*lake.writer(QUARANTINE, run_key=reason).write(rows)]
    lake.commit(Staged(QUARANTINE, paths, one_day(DAY), reason, 1, reason), reads={})


def reasons(lake: Lake) -> list[str]:
    return list(lake.read_arrow(QUARANTINE, columns=["reason"])["reason"].to_pylist())


def newest(settings, table: Table = QUARANTINE) -> Path:
    return max((settings.home / "lake" / table.name / "metadata").glob("*.metadata.json"))


@pytest.fixture
def lake(settings) -> Lake:
    """Two runs of a day."""
    made = open_lake(settings)
    put(made, "first")
    put(made, "second")
    return made


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("damage", [cut, zero, Path.unlink, lambda file: file.write_bytes(b"")])
def test_a_damaged_metadata_file_is_named_and_the_command_goes_back(settings, lake, damage):
    """The night before is whole: what power or a disk took is the last commit alone."""
    file, before = newest(settings), sorted(newest(settings).parent.glob("*.metadata.json"))[-2]
    damage(file)
    with pytest.raises(DamagedMetadataError) as caught:
        reasons(lake)
    done = CliRunner().invoke(
        app, ["lake", "restore", "quarantine", "--config", str(settings.file), "--json"]
    )

    assert caught.value.exit_code == 3
    assert str(caught.value).startswith("the table quarantine: found a damaged metadata file ")
    assert str(file) in caught.value.found
    assert str(caught.value).endswith(
        "expected the one that its newest commit wrote. The one before it is whole: "
        f"file://{before}. `nightshift lake restore quarantine` goes back to it; then run the job "
        "of the lost commit again."
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[-1])["newest_commit"] == "first"
    assert reasons(lake) == ["first"]
    put(lake, "second")
    assert reasons(lake) == ["second"]


def test_a_whole_table_is_not_gone_back_from(settings, lake):
    """Nobody loses a night to a command typed once too often."""
    with pytest.raises(ConfigError) as caught:
        lake.restore(QUARANTINE)
    with pytest.raises(ConfigError) as never_made:
        lake.restore(SERIES)

    assert str(caught.value) == (
        f"the table quarantine: found whole metadata, file://{newest(settings)}, expected a "
        "damaged metadata file to go back from. Nothing was changed. To undo a commit, run its "
        "job again."
    )
    assert never_made.value.found == "no such table in the catalog"
    assert reasons(lake) == ["second"]


def test_where_nothing_is_whole_a_backup_is_asked_for(settings, lake):
    """The command changes nothing then."""
    for file in sorted(newest(settings).parent.glob("*.metadata.json"))[-2:]:
        cut(file)
    with pytest.raises(DamagedMetadataError) as read:
        reasons(lake)
    with pytest.raises(DamagedMetadataError) as caught:
        lake.restore(QUARANTINE)

    for error in (read, caught):
        assert str(error.value).endswith(
            "Restore the lake's folder and its catalog from a backup of the same moment."
        )


def test_an_unknown_table_is_answered_with_the_known_ones(settings):
    """Exit code 2."""
    done = CliRunner().invoke(app, ["lake", "restore", "event", "--config", str(settings.file)])

    assert done.exit_code == 2
    assert "found the table 'event', expected one of events, quarantine, " in done.output
