"""Start a program of `jobs/` and kill it, as `kill -9` does, when it comes to a named point.

    python tests/jobs/killed_at.py half_way jobs.build_series --cutoff 2017-07-04

The points are put in from here: the programs know nothing of them. The whole process group dies at
once, Spark's Java process too, as when a machine goes down.
"""

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pyiceberg.catalog.sql import SqlCatalog

import jobs.build_sequences
import jobs.build_sessions
import jobs.lake.lake
import jobs.running.program
import jobs.score


def die(*args: Any, **options: Any) -> NoReturn:
    os.killpg(0, signal.SIGKILL)
    raise AssertionError("nobody survives that")


def then_die(call: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any, **options: Any) -> NoReturn:
        call(*args, **options)
        die()

    return called


def die_at_the_first_file(folder: str) -> None:
    """Die as soon as a file of the run is begun."""
    run = Path(folder.removeprefix("file://"))

    def watch() -> None:
        while not any(run.rglob("*.parquet")):
            time.sleep(0.001)
        die()

    threading.Thread(target=watch, daemon=True).start()


def die_half_way(frame: Any, table: Any, folder: str) -> None:
    die_at_the_first_file(folder)
    write_files(frame, table, folder)
    time.sleep(60)  # the watcher is late, not the writer early


def die_while_executors_write(write: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any, **options: Any) -> None:
        writers = args[-1] if isinstance(args[-1], tuple) else (args[-1],)
        die_at_the_first_file(writers[0].folder)
        write(*args, **options)
        time.sleep(60)

    return called


def die_before_switch(catalog: SqlCatalog, *args: Any, **options: Any) -> Any:
    """Die when the new metadata is written whole, and the catalog does not know of it yet."""
    catalog._write_metadata = then_die(catalog._write_metadata)  # type: ignore[method-assign]
    return commit_table(catalog, *args, **options)


write_files, commit_table = jobs.lake.lake.write_files, SqlCatalog.commit_table
write_sessions = jobs.build_sessions.write_sessions
write_sequences = jobs.build_sequences.write_sequences
write_scores = jobs.score.write_scores
# What is put where: Spark writes the files of most tables, executors histories and scores.
POINTS: dict[str, list[tuple[Any, str, Any]]] = {
    "before_write": [
        (jobs.lake.lake, "write_files", die),
        (jobs.build_sessions, "write_sessions", die),
        (jobs.build_sequences, "write_sequences", die),
        (jobs.score, "write_scores", die),
    ],
    "half_way": [
        (jobs.lake.lake, "write_files", die_half_way),
        (jobs.build_sessions, "write_sessions", die_while_executors_write(write_sessions)),
        (jobs.build_sequences, "write_sequences", die_while_executors_write(write_sequences)),
        (jobs.score, "write_scores", die_while_executors_write(write_scores)),
    ],
    "written": [(jobs.lake.lake.Lake, "stage_files", die)],
    "before_commit": [(jobs.lake.lake.Lake, "commit", die)],
    "before_switch": [(SqlCatalog, "commit_table", die_before_switch)],
    "between_tables": [(jobs.lake.lake.Lake, "commit", then_die(jobs.lake.lake.Lake.commit))],
    "committed": [(jobs.running.program, "_logger", die)],
}

if __name__ == "__main__":
    point, program, *arguments = sys.argv[1:]
    for place, name, put_in in POINTS[point]:
        setattr(place, name, put_in)
    sys.exit(importlib.import_module(program).main(arguments))
