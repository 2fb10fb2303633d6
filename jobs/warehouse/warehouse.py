"""The warehouse: the SQL tables that marketing and inventory read. Whatever the database is.

A night is switched in one step. Its rows are staged, audited, put in place of the same cutoff's
rows and entered in the ledger in one transaction; readers see the whole night or none of it.
"""

from datetime import datetime
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from jobs.running.settings import FileWarehouse, Settings
from jobs.warehouse.duckdb_file import DuckDBFile
from jobs.warehouse.postgres import PostgresServer
from jobs.warehouse.publication import Check, Publication, Published


class Warehouse(Protocol):
    """What every database must offer."""

    @property
    def address(self) -> str:
        """Where it is, as it may be shown: without a password."""

    def publish(self, publication: Publication, *, check: Check) -> dict[str, Published]:
        """Switch the night's tables in one transaction; ``check`` sees the rows.

        A run whose key is in the ledger has published already: nothing is done again. A night that
        ``check`` refuses with AuditError is entered in the ledger as refused, with the reason.

        Raises what ``check`` raises, BusyError when another run publishes, ConfigError when a table
        is not what the contract says, UnreachableError when the database does not answer. Whatever
        of these is raised, nothing was published. UnknownOutcomeError is raised when the answer to
        the commit was lost and the ledger cannot be asked.
        """

    def record(self, models: pa.Table, *, run_key: str) -> None:
        """Put rows of `models` in place of those of the same name and version.

        Raises BusyError, ConfigError and UnreachableError as ``publish`` does.
        """

    def query(self, statement: str, *values: object) -> pa.Table:
        """Read, from whole nights only; values are bound to $1, $2, … Raises UnreachableError."""

    def is_made(self) -> bool:
        """Has anything ever been published? Raises UnreachableError."""

    def leftovers(self, *, older_than: datetime) -> list[Path]:
        """Files that killed runs have left. Raises BusyError while another run publishes."""


def open_warehouse(settings: Settings) -> Warehouse:
    chosen, zone = settings.warehouse, settings.time_zone
    if isinstance(chosen, FileWarehouse):
        file = settings.home / chosen.uri
        return DuckDBFile(file, time_zone=zone, keep_nights=chosen.keep_nights)
    return PostgresServer(
        chosen.uri,
        time_zone=zone,
        keep_nights=chosen.keep_nights,
        reader_role=chosen.reader_role,
    )
