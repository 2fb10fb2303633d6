"""A warehouse that is a DuckDB file.

DuckDB lets one process write a file and then lets nobody read it, so the writer works on a copy
beside the file and renames it over the file at the end: a reader keeps the whole old file until it
connects again, and a writer that is killed leaves nothing but a copy, which the next one removes.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import adbc_driver_manager
import duckdb
import pyarrow as pa
from adbc_driver_duckdb import dbapi

from contracts.errors import (
    AuditError,
    BusyError,
    ConfigError,
    DamagedWarehouseError,
    NightshiftError,
    UnreachableError,
)
from contracts.tables import MODELS, NIGHTLY, PUBLISH_LEDGER, WAREHOUSE, Table
from jobs.lake.durable import sync
from jobs.running.private_files import open_private
from jobs.warehouse import sql as sql
from jobs.warehouse.connection import (
    absent,
    append,
    bring_up_to_date,
    execute,
    first_line,
    our_error,
    published_by,
    rows_of,
    upsert,
)
from jobs.warehouse.fingerprint import Fingerprint, fingerprint_query, holding
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

T = TypeVar("T")
IS_MADE = (
    "SELECT 1 FROM duckdb_tables() "
    "WHERE database_name = current_database() AND schema_name = 'main' AND table_name = $1"
)
HEADERS = 3 * 4096  # bytes of a database file before its blocks
MAGIC = b"DUCK"  # of a database file, after eight bytes of checksum
DAMAGE = ("Corrupt database file", "Could not read enough bytes")  # in DuckDB's own words


class DuckDBFile:
    """The file, and beside it a lock file and, during a run, the run's copy."""

    def __init__(self, file: Path, *, time_zone: str, keep_nights: int) -> None:
        self.file = file.resolve()  # a link stays a link: what it points to is replaced
        self.time_zone = time_zone
        self.keep_nights = keep_nights

    @property
    def address(self) -> str:
        return str(self.file)

    def publish(self, publication: Publication, *, check: Check) -> dict[str, Published]:
        with self._ours(), self._lock(publication.run_key):
            try:
                return self._replaced(
                    publication.run_key, lambda one: self._night(one, publication, check)
                )
            except AuditError as error:
                reason = str(error)
                self._replaced(publication.run_key, lambda one: _refused(one, publication, reason))
                raise

    def record(self, models: pa.Table, *, run_key: str) -> None:
        with self._ours(), self._lock(run_key):
            self._replaced(run_key, lambda one: upsert(one, MODELS, models))

    def query(self, statement: str, *values: object) -> pa.Table:
        if not self.file.exists():
            raise UnreachableError(
                "the warehouse",
                address=self.address,
                reason="no such file",
                do="Run `nightshift publish` first, or correct warehouse.uri.",
            )
        try:
            with duckdb.connect(self.address, read_only=True) as connection:
                return connection.sql(statement, params=list(values)).to_arrow_table()
        except (duckdb.BinderException, duckdb.CatalogException) as error:
            raise absent(self.address, first_line(error)) from error
        except duckdb.Error as error:
            self._refuse_other()
            do = "Close the program that holds the file open for writing, then run this again."
            raise self._our_error(error, do=do) from error

    def _refuse_other(self) -> None:
        """Raise ConfigError where the file is none of DuckDB's: nothing is lost by that."""
        with open(self.file, "rb") as file:
            head = file.read(12)
        if head[8:] != MAGIC:
            raise ConfigError(
                self.address,
                found="a file of another kind",
                expected="a DuckDB database, or no file yet",
                do="Name another file in warehouse.uri, or move this one away.",
            )

    def is_made(self) -> bool:
        # Anybody who connects, other than to read only, makes an empty file.
        return self.file.exists() and self.query(IS_MADE, PUBLISH_LEDGER.name).num_rows > 0

    def leftovers(self, *, older_than: datetime) -> list[Path]:
        if not self._copies():
            return []
        with self._lock("vacuum"):  # while we hold it, no copy belongs to a living run
            limit = older_than.timestamp()
            return [copy for copy in self._copies() if copy.stat().st_mtime < limit]

    def _night(
        self, connection: Any, publication: Publication, check: Check
    ) -> dict[str, Published]:
        """Stage while the audit runs, compare, enter in the ledger; not committed."""
        if published := published_by(connection, publication.run_key):
            return published
        with ThreadPoolExecutor(1) as auditor:
            approving = auditor.submit(approve, publication, check)
            for table, rows in publication.nightly.items():
                name = sql.quoted(table.name)
                execute(connection, f"DELETE FROM {name} WHERE cutoff = $1", publication.cutoff)
                append(connection, table.name, rows)
            approval = approving.result()
        for table in publication.nightly:
            check_staged(table, _staged(connection, table, publication), approval)
        upsert(connection, MODELS, publication.models)
        append(connection, PUBLISH_LEDGER.name, ledger_rows(publication, approval.published))
        self._retain(connection, publication.cutoff)
        return approval.published

    def _retain(self, connection: Any, published: date) -> None:
        """Keep the newest nights of each table, and the one that was just published."""
        for table in NIGHTLY:
            name = sql.quoted(table.name)
            execute(connection, sql.delete_old(name), self.keep_nights, published)

    def _set_up(self, connection: Any) -> None:
        execute(connection, "SET TimeZone = 'UTC'")
        for table in WAREHOUSE:
            execute(connection, sql.create_table(table))
            bring_up_to_date(connection, table, self.address)
        for table in NIGHTLY:
            execute(connection, sql.create_latest(table, sql.newest_published(table)))
        execute(connection, sql.create_freshness(self.time_zone))
        for statement in (said for table in WAREHOUSE for said in sql.comments(table)):
            execute(connection, statement)

    def _replaced(self, run_key: str, change: Callable[[Any], T]) -> T:
        """Change a copy, whole, and put it in the file's place."""
        copy = self.file.with_name(f"{self.file.name}.{run_key}.run")
        try:
            self._remove_copies()
            self._copy_to(copy)
            with dbapi.connect(str(copy), autocommit=False) as connection:
                extent = _extent(connection)
                execute(connection, "SET checkpoint_threshold = '1 TB'")  # one checkpoint: ours
                self._set_up(connection)
                said = change(connection)
                connection.commit()
                execute(connection, "CHECKPOINT")  # all in one file: the rename moves one file
            self._keep_blocks(copy, extent)
            sync(copy)
            self._switch(copy, run_key)
        finally:
            copy.unlink(missing_ok=True)
            _log_of(copy).unlink(missing_ok=True)
        return said

    @contextmanager
    def _ours(self) -> Iterator[None]:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            yield
        except (OSError, adbc_driver_manager.Error) as error:
            do = f"{KEPT}Check the file, its folder and the space on its disk, then run this again."
            raise self._our_error(error, do=do) from error

    def _our_error(self, error: Exception, *, do: str) -> NightshiftError:
        reason = first_line(error)
        if any(words in reason for words in DAMAGE):
            return DamagedWarehouseError(self.address, reason=reason)
        return our_error(error, address=self.address, do=do)

    @contextmanager
    def _lock(self, run_key: str) -> Iterator[None]:
        """Hold the warehouse's lock: the system lets go of it even when this process is killed.

        Whoever can open the lock file, even to read, can lock it: so it is its owner's alone.
        """
        with open_private(Path(f"{self.file}.lock"), "a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise BusyError(
                    self.address,
                    found=f"{lock.read().strip() or 'another run'} publishing",
                    expected="no other publisher",
                    do=f"{KEPT}Wait for it to end, then run this again.",
                ) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()} ({run_key})")
            lock.flush()
            yield

    def _copy_to(self, copy: Path) -> None:
        if not self.file.exists():
            return
        with open(self.file, "rb") as file:
            try:  # DuckDB's own lock: refused while someone has the file open for writing
                fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                raise BusyError(
                    self.address,
                    found="another program with the file open for writing",
                    expected="readers only",
                    do=f"{KEPT}Close that program, or let it connect with read_only, "
                    "then run this again.",
                ) from None
            self._refuse_other()
            shutil.copyfile(self.file, copy)
            if _log_of(self.file).exists():  # of a writer that is not ours and was killed
                shutil.copyfile(_log_of(self.file), _log_of(copy))

    def _keep_blocks(self, copy: Path, extent: int) -> None:
        """Give a copy that has become shorter the end of the file that it will replace.

        DuckDB opens a file for its header, closes it, and opens it again: a reader may meet the
        header of the old file and the blocks of the new one. A checkpoint leaves the blocks of the
        state before it as they are, so what that reader finds is the old night, if all are there.
        """
        size = copy.stat().st_size
        if not self.file.exists() or size >= extent:
            return
        with open(self.file, "rb") as before, open(copy, "ab") as after:
            before.seek(size)
            after.write(before.read(extent - size))

    def _switch(self, copy: Path, run_key: str) -> None:
        """Put the copy in the file's place. From here on the night is published."""
        try:
            _resemble(copy, self.file)
            _log_of(self.file).unlink(missing_ok=True)  # it is in the copy already
            os.replace(copy, self.file)
            sync(self.file.parent)
        except OSError:
            if not self._has_run(run_key):  # the ledger knows what came of it
                raise

    def _has_run(self, run_key: str) -> bool:
        ledger = f"SELECT 1 FROM {sql.LEDGER} WHERE run_key = $1"
        return self.file.exists() and self.query(ledger, run_key).num_rows > 0

    def _remove_copies(self) -> None:
        """Copies that lie about while we hold the lock are of runs that were killed."""
        for copy in self._copies():
            copy.unlink()

    def _copies(self) -> list[Path]:
        return sorted(self.file.parent.glob(f"{self.file.name}.*.run*"))


def _staged(connection: Any, table: Table, publication: Publication) -> Fingerprint:
    """What the copy holds of the night; a row with another of its fixed values is none of it."""
    fixed = {"cutoff": publication.cutoff, **publication.fixed[table]}
    source = f"{sql.quoted(table.name)} WHERE {holding(fixed)}"
    query = fingerprint_query(publication.varying(table), source)
    (found,) = rows_of(connection, query, *fixed.values()).to_pylist()
    return Fingerprint(**found)


def _extent(connection: Any) -> int:
    """Bytes of a database file up to its last block: three headers, then blocks."""
    query = "SELECT total_blocks * block_size AS extent FROM pragma_database_size()"
    return HEADERS + int(rows_of(connection, query)["extent"][0].as_py())


def _refused(connection: Any, publication: Publication, reason: str) -> dict[str, Published]:
    said = said_of(publication.nightly)
    append(connection, PUBLISH_LEDGER.name, ledger_rows(publication, said, refusal=reason))
    return {}


def _resemble(copy: Path, file: Path) -> None:
    """Who could read the file before can read the one that takes its place."""
    if not file.exists():
        return
    was = file.stat()
    for owner in (-1, was.st_uid):  # the group is the owner's to give, the owner root's alone
        with suppress(PermissionError):
            os.chown(copy, owner, was.st_gid)
    shutil.copymode(file, copy)


def _log_of(file: Path) -> Path:
    """DuckDB's write-ahead log of a database file."""
    return file.with_name(f"{file.name}.wal")
