"""A night's transaction in the warehouse, over any ADBC connection.

Stage, check, put in place of the same cutoff's rows, enter in the ledger. Committing is the
caller's: until then nobody else sees any of it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from contracts.errors import ConfigError
from contracts.tables import MODELS, PUBLISH_LEDGER, WAREHOUSE, Table
from jobs.lake.content_hash import content_hash, hashed_columns
from jobs.warehouse import sql as sql

Staged = Mapping[Table, pa.Table]
SAME_TYPES = {"DOUBLE": "DOUBLE PRECISION"}  # names that an engine answers with
KEPT = "Nothing was published and the tables of the night before still answer. "


@dataclass(frozen=True)
class Publication:
    """A night's rows, and where they come from."""

    cutoff: date
    run_key: str
    nightly: Staged  # replace the rows of this cutoff
    models: pa.Table  # replace the rows of the same name and version
    snapshot_ids: Mapping[str, int]  # lake table → snapshot read
    published_at: datetime


@dataclass(frozen=True)
class Published:
    """What the ledger says of one table."""

    num_rows: int
    content_hash: str


def write_night(
    connection: Any,
    publication: Publication,
    *,
    check: Callable[[Staged], None],
    time_zone: str,
    where: str,
) -> dict[str, Published]:
    """Stage, check, replace, enter in the ledger: all in the open transaction, not committed."""
    execute(connection, "SET TimeZone = 'UTC'")
    for table in WAREHOUSE:
        execute(connection, sql.create_table(table))
        _check_columns(connection, table, where)
        for statement in sql.comments(table):
            execute(connection, statement)
    for statement in sql.create_views(time_zone):
        execute(connection, statement)

    staging = {
        table: _stage(connection, table, rows) for table, rows in publication.nightly.items()
    }
    check({table: _rows(connection, table, name) for table, name in staging.items()})

    this_night = f"cutoff = DATE '{publication.cutoff}'"
    published = {}
    for table, name in staging.items():
        execute(connection, f"DELETE FROM {table.name} WHERE {this_night}")
        execute(connection, sql.insert_from(table, name))
        rows = _rows(connection, table, f"{table.name} WHERE {this_night}")
        text = content_hash(rows, hashed_columns(table))
        published[table.name] = Published(rows.num_rows, text)
    _upsert(connection, MODELS, publication.models)
    _upsert(connection, PUBLISH_LEDGER, _ledger(publication, published))
    return published


def execute(connection: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _stage(connection: Any, table: Table, rows: pa.Table) -> str:
    name = f"staged_{table.name}"
    with connection.cursor() as cursor:
        cursor.adbc_ingest(name, rows.select(table.column_names), mode="create", temporary=True)
    return name


def _upsert(connection: Any, table: Table, rows: pa.Table) -> None:
    staging = _stage(connection, table, rows)
    execute(connection, sql.delete_staged_keys(table, staging))
    execute(connection, sql.insert_from(table, staging))


def _rows(connection: Any, table: Table, source: str) -> pa.Table:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(table.column_names)} FROM {source}")
        rows: pa.Table = cursor.fetch_arrow_table()
        return rows


def _ledger(publication: Publication, published: Mapping[str, Published]) -> pa.Table:
    num = len(published)
    return pa.table(
        {
            "table_name": list(published),
            "cutoff": pa.array([publication.cutoff] * num, pa.date32()),
            "run_key": [publication.run_key] * num,
            "num_rows": pa.array([rows.num_rows for rows in published.values()], pa.int64()),
            "content_hash": [rows.content_hash for rows in published.values()],
            "snapshot_ids": [json.dumps(dict(publication.snapshot_ids), sort_keys=True)] * num,
            "published_at": pa.array([publication.published_at] * num, pa.timestamp("us", "UTC")),
        }
    )


def _check_columns(connection: Any, table: Table, where: str) -> None:
    """A table made by another version is never altered in silence."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
            f"WHERE table_name = {sql.literal(table.name)} ORDER BY ordinal_position"
        )
        found = [
            (name, SAME_TYPES.get(kind, kind), nullable == "YES")
            for name, kind, nullable in cursor.fetchall()
        ]
    said = sql.differences(table, found)
    if said:
        raise ConfigError(
            f"{where}: table {table.name}",
            found=", ".join(said),
            expected="the columns of contracts/tables.py",
            do=f"{KEPT}Alter or rename the table, or name another file in warehouse.uri, "
            "then publish again.",
        )
