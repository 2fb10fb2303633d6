"""Publish one night in a process of its own, which dies, as `kill -9` does, at a named point.

    python tests/jobs/warehouse/publish_one.py URI CUTOFF RUN_KEY SHARE POINT

The points are put in from here: the warehouse knows nothing of them.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import adbc_driver_manager.dbapi
import one_night

import jobs.warehouse.duckdb_file
import jobs.warehouse.postgres
from jobs.warehouse import connection


def die(*args: Any, **options: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def then_die(call: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any, **options: Any) -> None:
        call(*args, **options)
        die()

    return called


def wait(*args: Any) -> None:
    print("ready", flush=True)
    time.sleep(60)


def at_the_night(do: Callable[..., Any]) -> Callable[..., Any]:
    """Commits of definitions and locks go through; the one after the ledger's entry does ``do``."""

    def entered(*args: Any, **options: Any) -> Any:
        rows = ledger_rows(*args, **options)
        adbc_driver_manager.dbapi.Connection.commit = do
        return rows

    return entered


ledger_rows = jobs.warehouse.postgres.ledger_rows
commit = adbc_driver_manager.dbapi.Connection.commit
BOTH = (jobs.warehouse.duckdb_file, jobs.warehouse.postgres)
POINTS: dict[str, list[tuple[Any, str, Any]]] = {
    "never": [],
    "staging": [(place, "append", then_die(connection.append)) for place in BOTH],
    "auditing": [(one_night, "accept", die)],
    "comparing": [(place, "check_staged", die) for place in BOTH],
    "before_commit": [(place, "ledger_rows", at_the_night(die)) for place in BOTH],
    "reply_lost": [(place, "ledger_rows", at_the_night(then_die(commit))) for place in BOTH],
    "before_rename": [(os, "replace", die)],
    "after_rename": [(os, "replace", then_die(os.replace))],
    "waits": [(one_night, "accept", wait)],
}

if __name__ == "__main__":
    uri, cutoff, run_key, share, point = sys.argv[1:]
    for place, name, put_in in POINTS[point]:
        setattr(place, name, put_in)
    warehouse = one_night.open_at(uri)
    one_night.publish(warehouse, date.fromisoformat(cutoff), run_key, float(share))
