"""Locks on a PostgreSQL server: one publisher at a time, a limit on every wait, holders by name.

The publisher's lock is a lock on a table that only its owner may change. An advisory lock would be
open to every login: a session that may only read could hold it and stop every night. It lasts for a
transaction, so that a connection which finds it free knows that the last publisher's has ended.
https://www.postgresql.org/docs/current/explicit-locking.html
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import adbc_driver_manager

from contracts.errors import BusyError
from contracts.tables import WAREHOUSE
from jobs.warehouse import postgres_sql, sql
from jobs.warehouse.connection import WAITED, execute, first_line, rows_of
from jobs.warehouse.publication import KEPT

LOCK_SECONDS = 10  # the longest wait for any lock: new readers queue behind who waits for a view
# A peer that has vanished without a word is noticed within a minute, on either side.
KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
UNANSWERED_MILLISECONDS = 60_000
MADE_MEANWHILE = ("23505", "42P07")  # by another publisher, in the same instant


def begin_session(connection: Any, name: str = "") -> None:
    """Settings that outlast a transaction; ``name`` is what others see of the session."""
    if name:
        execute(connection, f"SET application_name = {sql.literal(name[:63])}")
    execute(connection, "SET TimeZone = 'UTC'")
    execute(connection, f"SET lock_timeout = '{LOCK_SECONDS}s'")
    for option, value in KEEPALIVES.items():
        execute(connection, f"SET tcp_{option} = {value}")
    execute(connection, f"SET tcp_user_timeout = {UNANSWERED_MILLISECONDS}")
    connection.commit()


def take_lock(connection: Any, address: str) -> None:
    """Hold the publisher's lock until the transaction ends. Raises BusyError, never waits."""
    if not rows_of(connection, postgres_sql.IS_MADE, postgres_sql.LOCK)["is_made"][0].as_py():
        try:
            execute(connection, postgres_sql.CREATE_LOCK)
        except adbc_driver_manager.Error as error:
            if error.sqlstate not in MADE_MEANWHILE:
                raise
            connection.rollback()
    try:
        execute(connection, postgres_sql.TAKE_LOCK)
    except adbc_driver_manager.Error as error:
        if error.sqlstate not in WAITED:
            raise
        connection.rollback()
        sessions = rows_of(connection, postgres_sql.PUBLISHER).to_pylist()
        raise BusyError(
            address,
            found=f"{', '.join(map(_named, sessions)) or 'another run'} publishing",
            expected="no other publisher",
            do=f"{KEPT}Wait for it to end, then run this again.",
        ) from error


@contextmanager
def naming_holders(connection: Any, address: str) -> Iterator[None]:
    """Turn a wait that took too long into a BusyError that names the sessions with the locks."""
    try:
        yield
    except adbc_driver_manager.Error as error:
        if error.sqlstate not in WAITED:
            raise
        sessions: list[dict[str, Any]] = []
        with suppress(adbc_driver_manager.Error):  # the reason matters more than the names
            connection.rollback()
            sessions = rows_of(connection, postgres_sql.HOLDERS).to_pylist()
        raise _held_up(address, first_line(error), sessions) from error


def _held_up(address: str, reason: str, sessions: list[dict[str, Any]]) -> BusyError:
    """Of each session its strongest lock; of plain readers only where nobody holds more."""
    strongest = {one["pid"]: one for one in reversed(sessions) if _is_ours(one["relation"])}
    writers = [one for one in strongest.values() if one["mode"] != "AccessShareLock"]
    holders = writers or [*strongest.values()]
    locks = [f"{_named(one)} with {one['mode']} on {one['relation']}" for one in holders]
    end = " or ".join(f"`SELECT pg_terminate_backend({one['pid']})`" for one in holders)
    return BusyError(
        address,
        found=f"{reason} after {LOCK_SECONDS} s" + (f": {'; '.join(locks)}" if locks else ""),
        expected="no other program with a lock on the tables",
        do=f"{KEPT}Wait for it to end{f', or end it with {end}' if end else ''}, "
        "then run this again.",
    )


def _named(session: dict[str, Any]) -> str:
    """Server process 4711 (login, program); a login without pg_read_all_stats sees no program."""
    names = ", ".join(filter(None, (session["login"], session["program"])))
    return f"server process {session['pid']} ({names})"


def _is_ours(relation: str) -> bool:
    names = (*(table.name for table in WAREHOUSE), *sql.view_columns(), postgres_sql.SETUP)
    return relation.startswith(names)
