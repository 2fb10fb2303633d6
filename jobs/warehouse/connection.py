"""What every ADBC connection to a warehouse is asked: to do, to tell, to take rows."""

import re
from typing import Any

import pyarrow as pa

from contracts.addresses import without_password_of
from contracts.errors import (
    AuditError,
    BusyError,
    ConfigError,
    NightshiftError,
    UnreachableError,
)
from contracts.tables import Table
from jobs.warehouse import sql as sql
from jobs.warehouse.publication import KEPT, Published

CANNOT_HOLD = "22"  # SQLSTATE classes: values
GONE = ("08", "25P03", "57", "53", "58", "XX")  # the link, the server, its disk and memory
ABSENT = ("42P01", "42703")  # a table, a column
DEPENDED_UPON = ("2BP01",)  # by what we did not make
WAITED = ("55P03",)  # for a lock, longer than allowed


def execute(connection: Any, statement: str, *values: object) -> None:
    """``$1``, ``$2``, … of the statement are bound to the values."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)


def rows_of(connection: Any, statement: str, *values: object) -> pa.Table:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        rows: pa.Table = cursor.fetch_arrow_table()
        return rows


def append(connection: Any, target: str, rows: pa.Table) -> None:
    """Bulk ingest, whatever the order of the target's columns."""
    with connection.cursor() as cursor:
        cursor.adbc_ingest(target, rows.select(_order(connection, target)), mode="append")


def upsert(connection: Any, table: Table, rows: pa.Table) -> None:
    """Put rows in place of those with the same key."""
    staging = f"staged_{table.name}"
    with connection.cursor() as cursor:
        cursor.adbc_ingest(staging, rows.select(table.column_names), mode="create", temporary=True)
    execute(connection, sql.delete_staged_keys(table, staging))
    execute(connection, sql.insert_from(table, staging))
    execute(connection, f"DROP TABLE {sql.quoted(staging)}")


def published_by(connection: Any, run_key: str) -> dict[str, Published]:
    """What the ledger says that a run has published: nothing, or the whole of its night."""
    found = rows_of(
        connection,
        f"SELECT table_name, num_rows, content_hash, distributions FROM {sql.LEDGER} "
        f"WHERE run_key = $1 AND {sql.IS_PUBLISHED}",
        run_key,
    )
    return {
        row["table_name"]: Published(row["num_rows"], row["content_hash"], row["distributions"])
        for row in found.to_pylist()
    }


def bring_up_to_date(connection: Any, table: Table, where: str) -> None:
    """Give a table of an earlier version what it may lack; its rows stay as they are.

    Raises ConfigError where it differs otherwise: then it is not altered.
    """
    for statement in sql.upgrades(table, _columns_of(connection, table)):
        execute(connection, statement)
    said = sql.differences(table, _columns_of(connection, table))
    if said:
        raise ConfigError(
            f"{where}: table {table.name}",
            found=", ".join(said),
            expected="the columns of contracts/tables.py",
            do=f"{KEPT}Alter or rename the table, or name another warehouse in warehouse.uri, "
            "then publish again.",
        )


def _columns_of(connection: Any, table: Table) -> list[tuple[str, str, bool]]:
    """Name, type, and whether it may be empty, of each column that is there."""
    rows = rows_of(
        connection,
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position",
        table.name,
    ).to_pylist()
    return [(row["column_name"], row["data_type"], row["is_nullable"] == "YES") for row in rows]


def our_error(
    error: Exception, *, address: str, do: str, uri: str | None = None
) -> NightshiftError:
    """What an error of the driver or of the system means to whoever started the program.

    Where the address has a password, ``uri`` is the whole of it: no reason quotes the password.
    """
    if isinstance(error, NightshiftError):
        return error
    reason = without_password_of(uri or "", first_line(error))
    state = getattr(error, "sqlstate", None) or ""
    if state.startswith(CANNOT_HOLD):
        return AuditError(
            f"the warehouse at {address}",
            found=reason,
            expected="rows that the database can hold",
            do=f"{KEPT}Correct what made these rows, then publish again.",
        )
    if state in WAITED:
        return BusyError(
            address,
            found=reason,
            expected="no other program with a lock on the tables",
            do=f"{KEPT}Wait for it to end, then run this again.",
        )
    if state in DEPENDED_UPON:
        return ConfigError(
            f"the warehouse at {address}",
            found=_detail(error) or reason,
            expected="nothing that depends on a view whose columns change",
            do=f"{KEPT}Drop what depends on it, publish, and make it again.",
        )
    if state in ABSENT:
        return absent(address, reason)
    if state and not state.startswith(GONE):
        return ConfigError(
            f"the warehouse at {address}",
            found=reason,
            expected="a database that publish may write to",
            do=f"{KEPT}Correct the database or the role in warehouse.uri, then run this again.",
        )
    return UnreachableError("the warehouse", address=address, reason=reason, do=do)


def absent(address: str, reason: str) -> ConfigError:
    """The database answers, and has not what was asked for."""
    return ConfigError(
        f"the warehouse at {address}",
        found=reason,
        expected="the tables of contracts/tables.py",
        do="Publish a night first; a warehouse of another version needs another warehouse.uri.",
    )


def first_line(error: Exception) -> str:
    """What happened, in the database's own words, without those of the driver around them."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    line = lines[0].strip() if lines else type(error).__name__
    return re.sub(r"^.*?(?:ERROR|FATAL|PANIC): +", "", line)


def _detail(error: Exception) -> str:
    """What PostgreSQL adds to its reason: of an object that others depend on, which they are."""
    details: dict[bytes, bytes] = dict(getattr(error, "details", None) or [])
    return ", ".join(details.get(b"PG_DIAG_MESSAGE_DETAIL", b"").decode().splitlines())


def _order(connection: Any, target: str) -> list[str]:
    found = rows_of(
        connection,
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position",
        target,
    )
    return [str(name) for name in found["column_name"].to_pylist()]
