"""Rebuild a past night from the snapshots that it read, and prove it equal to what it committed.

reads   events, sequences, series   at the snapshots that the night's commits recorded
        the registry                the versions that scored the night and forecast its demand
writes  nothing: rows are counted and hashed where they are made

    spark-submit jobs/replay.py --cutoff 2017-11-29

For each table of the night its newest run counts, with the settings that it recorded. Three hashes
have to be equal: the one in the commit, that of the rows as they lie there, that of the rows made
anew. Where they are not, the run says which rows and columns differ, and ends with exit code 3.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from contracts.errors import NightshiftError, ReplayError
from contracts.tables import (
    DEMAND,
    DEMAND_BY_CATEGORY,
    EVENTS,
    SCORES,
    SEQUENCES,
    SERIES,
    SESSION_EVENTS,
    SESSIONS,
    Table,
)
from contracts.windows import Window, one_day
from jobs import build_sequences, build_series, build_sessions, forecast_demand, score
from jobs.demand.weekday_mean import MODEL_VERSION
from jobs.histories.read_sequences import SINCE
from jobs.lake.commits import Commit
from jobs.lake.lake import Lake, content_of, new_run_key, open_lake
from jobs.lake.row_differences import say_differences
from jobs.registries import open_registry
from jobs.running.program import run
from jobs.running.settings import REMEMBERED, Settings, recalled
from jobs.running.spark import open_spark

JOB = "replay"
Rebuild = Callable[..., DataFrame]


def _forecast(*args: Any, table: Table, **options: Any) -> DataFrame:
    """One table of a forecast, which makes two at once."""
    return forecast_demand.rows_from(*args, **options)[table]


REBUILD: Mapping[Table, Rebuild] = {
    SESSIONS: partial(build_sessions.rows_from, table=SESSIONS),
    SESSION_EVENTS: partial(build_sessions.rows_from, table=SESSION_EVENTS),
    SEQUENCES: build_sequences.rows_from,
    SERIES: build_series.rows_from,
    DEMAND: partial(_forecast, table=DEMAND),
    DEMAND_BY_CATEGORY: partial(_forecast, table=DEMAND_BY_CATEGORY),
    SCORES: score.rows_from,
}
READS = (EVENTS, *REBUILD)


def commit_of_night(lake: Lake, table: Table, cutoff: date) -> Commit | None:
    """The newest commit of a run with this cutoff; None where there was no such run.

    Raises ReplayError where its rows are there and its commit is not.
    """
    by_day = table in (SESSIONS, SESSION_EVENTS)
    day = cutoff - timedelta(days=1) if by_day else cutoff
    is_known = False
    for commit in lake.commits(table):
        if commit.window.end == day + timedelta(days=1):
            return commit
        is_known = is_known or commit.window.start <= day < commit.window.end
    if not is_known and lake.has(table, one_day(day)):
        raise ReplayError(
            f"{table.name}/{table.partition}={day}",
            found="rows, and no commit that says what they were made from",
            expected="the commit of the run that made them",
            do="Another program has expired its snapshot: the night cannot be proved any more.",
        )
    return None


def replay_table(
    table: Table, commit: Commit, *, stored: DataFrame, rebuilt: DataFrame
) -> dict[str, Any]:
    """What became of one table: equal, or how it differs."""
    said = {
        "run_key": commit.run_key,
        "snapshot_id": commit.snapshot_id,
        "reads": commit.reads,
        "settings": "recorded" if REMEMBERED in commit.facts else "those of today",
        "recorded": commit.content_hash,
        "stored": content_of(stored, table)[1],
        "rebuilt": content_of(rebuilt, table)[1],
    }
    is_equal = len({said["recorded"], said["stored"], said["rebuilt"]}) == 1
    if not is_equal:
        said["differences"] = say_differences(stored, rebuilt, table)
    return {"is_equal": is_equal, **said}


def replay(spark: SparkSession, lake: Lake, settings: Settings, cutoff: date) -> dict[str, Any]:
    """Replay every table of the night. Raises MissingSnapshotError, ReplayError."""
    commits = {
        table: commit
        for table in REBUILD
        if (commit := commit_of_night(lake, table, cutoff)) is not None
    }
    if not commits:
        raise ReplayError(
            f"the night {cutoff}",
            found="no commit of it in the lake",
            expected="a night that was run here",
            do="Choose one that `nightshift status` names.",
        )
    found = {}
    for table, commit in commits.items():
        then = recalled(settings, commit.facts)
        with _explained(lake, table, commit), _rebuilder(table, commit, then) as rebuild:
            window, reads = commit.window, commit.reads
            found[table.name] = replay_table(
                table,
                commit,
                stored=lake.read(spark, table, window=window, snapshot_id=commit.snapshot_id),
                rebuilt=rebuild(spark, lake, then, window=window, reads=reads),
            )
    return found


def refuse_differences(found: Mapping[str, Any], cutoff: date) -> None:
    """Raise ReplayError, with all that was found, unless every table is equal."""
    unequal = {name: table for name, table in found.items() if not table["is_equal"]}
    if not unequal:
        return
    raise ReplayError(
        f"the night {cutoff}",
        found="; ".join(_say(name, table) for name, table in unequal.items()),
        expected="the rows that were committed",
        do="If stored and recorded differ, files were changed: restore them. "
        "If rebuilt differs, code, packages or settings have changed since.",
        details={"cutoff": cutoff, "tables": found},
    )


def _say(name: str, table: Mapping[str, Any]) -> str:
    hashes = ", ".join(f"{key} {table[key]}" for key in ("recorded", "stored", "rebuilt"))
    said = f"{name} ({hashes}; {table['differences']['said']}"
    return f"{said}; made with settings of today)" if "today" in table["settings"] else f"{said})"


@contextmanager
def _explained(lake: Lake, table: Table, commit: Commit) -> Iterator[None]:
    """Where a file is gone, say so in our words. Raises MissingSnapshotError."""
    try:
        yield
    except NightshiftError:
        raise
    except Exception:  # Spark has a tree of errors of its own
        by_name = {known.name: known for known in READS}
        read = {table.name: commit.snapshot_id, **commit.reads}
        for name, snapshot_id in read.items():
            window = Window(date.min, commit.window.end)
            lake.require_files(by_name[name], window=window, snapshot_id=snapshot_id)
        raise


@contextmanager
def _rebuilder(table: Table, commit: Commit, settings: Settings) -> Iterator[Rebuild]:
    """How the table is made; a night as one, scores and demand by the versions of then."""
    if table is SEQUENCES:
        yield partial(REBUILD[table], is_night=SINCE in commit.facts)
        return
    if table in (DEMAND, DEMAND_BY_CATEGORY):
        said = commit.facts.get(forecast_demand.VERSION, MODEL_VERSION)
        with forecast_demand.asked(settings, said, key=None) as forecaster:
            yield partial(REBUILD[table], forecaster=forecaster, model_version=said)
        return
    if table is not SCORES:
        yield REBUILD[table]
        return
    registry = open_registry(settings)
    version = registry.resolve(commit.facts[score.MODEL_VERSION])
    run_key = new_run_key(JOB, commit.window.start)
    with score.fetched(registry, version, run_key, key=None) as model:
        yield partial(REBUILD[table], version=version, model=model)


def main(argv: Sequence[str] | None = None) -> int:
    return run(JOB, _body, argv, description=__doc__.splitlines()[0])


def _body(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    lake = open_lake(settings)
    found = replay(open_spark(settings, JOB), lake, settings, options.cutoff)
    refuse_differences(found, options.cutoff)
    said = {table.name: "equal" if table.name in found else "not run" for table in REBUILD}
    return {**said, "tables": found}


if __name__ == "__main__":
    sys.exit(main())
