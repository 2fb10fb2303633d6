"""The warehouse: the SQL tables that marketing and inventory read. Only this file knows how.

A night is switched in one step. Its rows are staged, audited, put in place of the same cutoff's
rows and entered in the ledger in one transaction; readers see the whole night or none of it.

DuckDB lets one process write a file and then lets nobody read it, so the writer works on a copy
beside the file and renames it over the file at the end: a reader keeps the whole old file until it
connects again, and a writer that is killed leaves nothing but a copy, which the next one removes.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

import adbc_driver_manager
import duckdb
import pyarrow as pa
from adbc_driver_duckdb import dbapi

from contracts.errors import BusyError, UnreachableError
from contracts.tables import PUBLISH_LEDGER
from jobs.running.settings import Settings
from jobs.warehouse.night import KEPT, Publication, Published, Staged, execute, write_night
from jobs.warehouse.sql import literal


class Warehouse(Protocol):
    """What every database must offer."""

    def publish(
        self, publication: Publication, *, check: Callable[[Staged], None]
    ) -> dict[str, Published]:
        """Switch the night's tables in one transaction; ``check`` sees what is staged.

        Raises what ``check`` raises, BusyError when another run publishes, ConfigError when a
        table is not what the contract says, UnreachableError when the database does not answer.
        Whatever is raised, nothing was published.
        """

    def query(self, statement: str) -> pa.Table:
        """Read, from whole nights only. Raises UnreachableError."""

    def leftovers(self, *, older_than: datetime) -> list[Path]:
        """Files that killed runs have left. Raises BusyError while another run publishes."""


def open_warehouse(settings: Settings) -> Warehouse:
    return DuckDBWarehouse(settings.warehouse_file, time_zone=settings.time_zone)


class DuckDBWarehouse:
    """A DuckDB file, and beside it a lock file and, during a run, the run's copy."""

    def __init__(self, file: Path, *, time_zone: str) -> None:
        self.file = file
        self.time_zone = time_zone

    def publish(
        self, publication: Publication, *, check: Callable[[Staged], None]
    ) -> dict[str, Published]:
        copy = self.file.with_name(f"{self.file.name}.{publication.run_key}.run")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self._lock(publication.run_key):
                try:
                    self._remove_copies()
                    self._copy_to(copy)
                    published = self._write(copy, publication, check)
                    self._switch(copy, publication.run_key)
                finally:
                    copy.unlink(missing_ok=True)
                    _log_of(copy).unlink(missing_ok=True)
        except (OSError, adbc_driver_manager.Error) as error:
            raise self._unreachable(error) from error
        return published

    def query(self, statement: str) -> pa.Table:
        if not self.file.exists():
            raise UnreachableError(
                "the warehouse",
                address=str(self.file),
                reason="no such file",
                do="Run `nightshift publish` first, or correct warehouse.uri.",
            )
        try:
            with duckdb.connect(str(self.file), read_only=True) as connection:
                return connection.sql(statement).to_arrow_table()
        except duckdb.IOException as error:
            raise UnreachableError(
                "the warehouse",
                address=str(self.file),
                reason=_first_line(error),
                do="Close the program that holds the file open for writing, then run this again.",
            ) from error

    def leftovers(self, *, older_than: datetime) -> list[Path]:
        if not self._copies():
            return []
        with self._lock("vacuum"):  # while we hold it, no copy belongs to a living run
            limit = older_than.timestamp()
            return [copy for copy in self._copies() if copy.stat().st_mtime < limit]

    @contextmanager
    def _lock(self, run_key: str) -> Iterator[None]:
        """Hold the warehouse's lock: the system lets go of it even when this process is killed."""
        with open(f"{self.file}.lock", "a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise BusyError(
                    str(self.file),
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
                    str(self.file),
                    found="another program with the file open for writing",
                    expected="readers only",
                    do=f"{KEPT}Close that program, or let it connect with read_only, "
                    "then run this again.",
                ) from None
            shutil.copyfile(self.file, copy)
            if _log_of(self.file).exists():  # of a writer that is not ours and was killed
                shutil.copyfile(_log_of(self.file), _log_of(copy))

    def _write(
        self, copy: Path, publication: Publication, check: Callable[[Staged], None]
    ) -> dict[str, Published]:
        with dbapi.connect(str(copy), autocommit=False) as connection:
            published = write_night(
                connection,
                publication,
                check=check,
                time_zone=self.time_zone,
                where=str(self.file),
            )
            connection.commit()
            execute(connection, "CHECKPOINT")  # all in one file: the rename moves one file
        _sync(copy)
        return published

    def _switch(self, copy: Path, run_key: str) -> None:
        """Put the copy in the file's place. From here on the night is published."""
        try:
            _log_of(self.file).unlink(missing_ok=True)  # it is in the copy already
            os.replace(copy, self.file)
            _sync(self.file.parent)
        except OSError:
            if not self._is_published(run_key):  # the ledger knows what came of it
                raise

    def _is_published(self, run_key: str) -> bool:
        key = literal(run_key)
        ledger = f"SELECT 1 FROM {PUBLISH_LEDGER.name} WHERE run_key = {key}"
        return self.file.exists() and self.query(ledger).num_rows > 0

    def _remove_copies(self) -> None:
        """Copies that lie about while we hold the lock are of runs that were killed."""
        for copy in self._copies():
            copy.unlink()

    def _copies(self) -> list[Path]:
        return sorted(self.file.parent.glob(f"{self.file.name}.*.run*"))

    def _unreachable(self, error: Exception) -> UnreachableError:
        return UnreachableError(
            "the warehouse",
            address=str(self.file),
            reason=_first_line(error),
            do=f"{KEPT}Check the file, its folder and the space on its disk, then run this again.",
        )


def _log_of(file: Path) -> Path:
    """DuckDB's write-ahead log of a database file."""
    return file.with_name(f"{file.name}.wal")


def _sync(path: Path) -> None:
    """Have the disk keep the file, or the folder's list of files, before we go on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
