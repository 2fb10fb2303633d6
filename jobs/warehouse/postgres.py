"""A warehouse on a PostgreSQL server.

A night is one transaction: its rows are bulk-loaded into a partition of their own that nobody sees
yet, audited, compared with what was audited, attached and entered in the ledger. A cutoff that is
there already is deleted and loaded again in its partition. Neither waits for readers, nor do they.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import adbc_driver_manager
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from contracts.addresses import without_password, without_password_of
from contracts.errors import (
    AuditError,
    BusyError,
    NightshiftError,
    UnknownOutcomeError,
    UnreachableError,
)
from contracts.tables import MODELS, NIGHTLY, PUBLISH_LEDGER, WAREHOUSE, Table
from jobs.warehouse import postgres_sql, sql
from jobs.warehouse.connection import (
    append,
    bring_up_to_date,
    execute,
    first_line,
    our_error,
    published_by,
    rows_of,
    upsert,
)
from jobs.warehouse.fingerprint import Fingerprint, fingerprint, holding
from jobs.warehouse.postgres_locks import (
    KEEPALIVES,
    UNANSWERED_MILLISECONDS,
    begin_session,
    naming_holders,
    take_lock,
)
from jobs.warehouse.publication import (
    KEPT,
    Check,
    Publication,
    Published,
    approve,
    check_staged,
    ledger_rows,
    said_of,
)

ANSWER_SECONDS = 90.0  # how long a commit's outcome is asked for when its answer was lost
# The longest wait for a reader, where an old night is dropped: new readers queue behind it.
DROP_MILLISECONDS = 50
LINK = {"connect_timeout": 10, **KEEPALIVES, "tcp_user_timeout": UNANSWERED_MILLISECONDS}


class PostgresServer:
    """Each call is a connection of its own; each of a publisher's transactions holds the lock."""

    def __init__(self, uri: str, *, time_zone: str, keep_nights: int, reader_role: str) -> None:
        self._uri = uri
        self.time_zone = time_zone
        self.keep_nights = keep_nights
        self.reader_role = reader_role

    @property
    def address(self) -> str:
        return without_password(self._uri)

    def publish(self, publication: Publication, *, check: Check) -> dict[str, Published]:
        with self._connected(publication.run_key) as connection:
            self._set_up(connection)
            take_lock(connection, self.address)
            if published := published_by(connection, publication.run_key):
                return published
            try:
                published = self._write(connection, publication, check)
            except (AuditError, adbc_driver_manager.DataError) as error:
                refusal = self._our_error(error, do="")
                connection.rollback()
                take_lock(connection, self.address)
                self._refuse(connection, publication, str(refusal))
                raise refusal from error
            try:
                connection.commit()
            except adbc_driver_manager.Error as error:
                with suppress(adbc_driver_manager.Error):
                    connection.close()  # it holds the lock that tells us when its end has come
                return self._settled(publication.run_key, error)
            with suppress(adbc_driver_manager.Error):  # published is published
                self._retain(connection, publication)
        return published

    def record(self, models: pa.Table, *, run_key: str) -> None:
        with self._connected(run_key) as connection:
            self._set_up(connection)
            take_lock(connection, self.address)
            upsert(connection, MODELS, models)
            connection.commit()

    def query(self, statement: str, *values: object) -> pa.Table:
        with self._connected(do="Start it, or correct warehouse.uri.") as connection:
            return rows_of(connection, statement, *values)

    def is_made(self) -> bool:
        name = PUBLISH_LEDGER.name
        found = self.query(postgres_sql.IS_MADE, name)
        return bool(found["is_made"][0].as_py())

    def leftovers(self, *, older_than: datetime) -> list[Path]:
        return []  # what a killed run has written, the server has rolled back

    def _write(
        self, connection: Any, publication: Publication, check: Check
    ) -> dict[str, Published]:
        """Stage; read back while the audit runs; compare, attach, enter in the ledger.

        Bulk ingest keeps two cores busy, the driver's and the server's; reading back leaves one.
        """
        cutoff = publication.cutoff
        partitions = {
            table: postgres_sql.partition_name(table, cutoff) for table in publication.nightly
        }
        there = {name for table in partitions for name in _partitions(connection, table)}
        for table, name in partitions.items():
            if name in there:
                execute(connection, f"DELETE FROM {sql.quoted(name)}")
            else:
                execute(connection, postgres_sql.create_partition(table, name))
            append(connection, name, publication.nightly[table])
        with ThreadPoolExecutor(1) as auditor:
            approving = auditor.submit(approve, publication, check)
            staged = {
                table: _staged(connection, name, table, publication)
                for table, name in partitions.items()
            }
            approval = approving.result()
        for table, name in partitions.items():
            check_staged(table, staged[table], approval)
            if name not in there:
                execute(connection, postgres_sql.attach_partition(table, name, cutoff))
        upsert(connection, MODELS, publication.models)
        append(connection, PUBLISH_LEDGER.name, ledger_rows(publication, approval.published))
        return approval.published

    def _refuse(self, connection: Any, publication: Publication, reason: str) -> None:
        refused = ledger_rows(publication, said_of(publication.nightly), refusal=reason)
        append(connection, PUBLISH_LEDGER.name, refused)
        connection.commit()

    def _settled(self, run_key: str, lost: Exception) -> dict[str, Published]:
        """What became of a commit whose answer did not come: the ledger knows. Never tried again.

        The lost connection's transaction has ended, one way or the other, once its lock is free.
        """
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                with self._connected(run_key) as connection:
                    take_lock(connection, self.address)
                    published = published_by(connection, run_key)
                break
            except (UnreachableError, BusyError) as error:
                if time.monotonic() > deadline:
                    raise UnknownOutcomeError(
                        f"the warehouse at {self.address}", run_key=run_key, reason=str(error.found)
                    ) from lost
                time.sleep(0.2)
        if not published:
            raise self._unreachable(without_password_of(self._uri, first_line(lost))) from lost
        return published

    def _retain(self, connection: Any, publication: Publication) -> None:
        """Drop all but the newest nights; of a table that is being read, at the next run."""
        for table in NIGHTLY:
            nights = {
                cutoff: name
                for name in _partitions(connection, table)
                if (cutoff := postgres_sql.partition_cutoff(table, name))
            }
            for cutoff in sorted(nights, reverse=True)[self.keep_nights :]:
                if cutoff == publication.cutoff:
                    continue
                try:
                    take_lock(connection, self.address)
                    execute(connection, f"SET LOCAL lock_timeout = {DROP_MILLISECONDS}")
                    execute(connection, f"DROP TABLE {sql.quoted(nights[cutoff])}")
                    connection.commit()
                except (adbc_driver_manager.Error, BusyError):
                    connection.rollback()
                    break

    def _set_up(self, connection: Any) -> None:
        """Make tables, views, comments and grants, where they are not as they should be."""
        take_lock(connection, self.address)
        for table in WAREHOUSE:
            execute(connection, postgres_sql.create_parent(table))
            bring_up_to_date(connection, table, self.address)
        comments, views = postgres_sql.comments(), postgres_sql.views(self.time_zone)
        grants = postgres_sql.grants(self.reader_role)
        mark = postgres_sql.mark_of([*comments, *views.values(), *grants])
        setup = sql.quoted(postgres_sql.SETUP)
        kept = "mark VARCHAR NOT NULL, reader_role VARCHAR"
        execute(connection, f"CREATE TABLE IF NOT EXISTS {setup} ({kept})")
        before = rows_of(connection, f"SELECT mark, reader_role FROM {setup}").to_pylist()
        found = _view_columns(connection)
        if [row["mark"] for row in before] != [mark] or not {*views} <= {*found}:
            if not _is_role(connection, self.reader_role):
                execute(connection, f"CREATE ROLE {sql.quoted(self.reader_role)} NOLOGIN")
            for name, columns in sql.view_columns().items():
                # A view that goes on with more columns is replaced: rights and dependants stay.
                if found.get(name, columns) != columns[: len(found.get(name, columns))]:
                    execute(connection, f"DROP VIEW {sql.quoted(name)}")
                execute(connection, views[name])
            for role in {row["reader_role"] for row in before} - {self.reader_role, None}:
                if _is_role(connection, role):
                    execute(connection, postgres_sql.revoke(role))
            for statement in (*comments, *grants):
                execute(connection, statement)
            execute(connection, f"DELETE FROM {setup}")
            execute(connection, f"INSERT INTO {setup} VALUES ($1, $2)", mark, self.reader_role)
        connection.commit()

    @contextmanager
    def _connected(self, name: str = "", *, do: str = "") -> Iterator[Any]:
        do = do or f"{KEPT}Start it, or mend the way to it, then run this again."
        try:
            link = "&".join(f"{k}={v}" for k, v in LINK.items() if f"{k}=" not in self._uri)
            uri = f"{self._uri}{'&' if '?' in self._uri else '?'}{link}"
            connection = dbapi.connect(uri, autocommit=False)
            try:
                begin_session(connection, name)
                with naming_holders(connection, self.address):
                    yield connection
            finally:
                with suppress(adbc_driver_manager.Error):
                    connection.close()
        except adbc_driver_manager.Error as error:
            raise self._our_error(error, do=do) from error

    def _our_error(self, error: Exception, *, do: str) -> NightshiftError:
        return our_error(error, address=self.address, do=do, uri=self._uri)

    def _unreachable(self, reason: str) -> UnreachableError:
        return UnreachableError(
            "the warehouse",
            address=self.address,
            reason=reason,
            do=f"{KEPT}Start it, or mend the way to it, then run this again.",
        )


def _view_columns(connection: Any) -> dict[str, list[str]]:
    """Of each view that is there."""
    found: dict[str, list[str]] = {}
    for row in rows_of(connection, postgres_sql.VIEWS).to_pylist():
        found.setdefault(row["table_name"], []).append(row["column_name"])
    return found


def _is_role(connection: Any, name: str) -> bool:
    found = rows_of(connection, "SELECT 1 FROM pg_roles WHERE rolname = $1", name)
    return bool(found.num_rows)


def _staged(connection: Any, name: str, table: Table, publication: Publication) -> Fingerprint:
    """What the server holds: the rows with the night's fixed values counted, the rest read back."""
    fixed, varying = publication.fixed[table], publication.varying(table)
    counted = f"SELECT count(*) AS num_rows FROM {sql.quoted(name)} WHERE {holding(fixed)}"
    num_rows = rows_of(connection, counted, *fixed.values())["num_rows"][0].as_py()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(map(sql.quoted, varying))} FROM {sql.quoted(name)}")
        found = fingerprint(cursor.fetch_record_batch(), varying)
    return replace(found, num_rows=num_rows)


def _partitions(connection: Any, table: Table) -> list[str]:
    found = rows_of(connection, postgres_sql.PARTITIONS, sql.quoted(table.name))
    return [str(name) for name in found["relname"].to_pylist()]
