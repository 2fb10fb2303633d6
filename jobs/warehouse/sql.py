"""The warehouse's SQL as text: tables and views from `contracts/tables.py`, for any engine.

Only standard words are used, so that DuckDB and PostgreSQL read the same statements.
"""

from collections.abc import Iterable

from contracts.tables import NIGHTLY, PUBLISH_LEDGER, Column, Table

SQL_TYPES = {
    "string": "VARCHAR",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float64": "DOUBLE PRECISION",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
}
WARN_HOURS, ERROR_HOURS = 36, 60  # one night late, two nights late


def create_table(table: Table) -> str:
    """The table, if it is not there yet."""
    columns = ", ".join(_column(column) for column in table.columns)
    return f"CREATE TABLE IF NOT EXISTS {table.name} ({columns})"


def comments(table: Table) -> list[str]:
    """What the contract says of the table and its columns, for the database's own catalogue."""
    return [
        f"COMMENT ON TABLE {table.name} IS {literal(table.meaning)}",
        *(
            f"COMMENT ON COLUMN {table.name}.{column.name} IS {literal(describe(column))}"
            for column in table.columns
        ),
    ]


def create_views(time_zone: str) -> list[str]:
    """`<table>_latest` for every nightly table, and `freshness`."""
    return [*(_latest(table) for table in NIGHTLY), _freshness(time_zone)]


def describe(column: Column) -> str:
    """What a column means, with its unit."""
    return f"{column.meaning} ({column.unit})" if column.unit else column.meaning


def insert_from(table: Table, staging: str) -> str:
    """Take every staged row, in key order, so that a reader of one night reads few blocks."""
    columns = ", ".join(table.column_names)
    order = ", ".join(table.key)
    return f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {staging} ORDER BY {order}"


def delete_staged_keys(table: Table, staging: str) -> str:
    """Remove the rows that the staged ones replace, key by key."""
    same = " AND ".join(f"staged.{name} = {table.name}.{name}" for name in table.key)
    return f"DELETE FROM {table.name} WHERE EXISTS (SELECT 1 FROM {staging} AS staged WHERE {same})"


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _column(column: Column) -> str:
    return f"{column.name} {SQL_TYPES[column.type]}{'' if column.nullable else ' NOT NULL'}"


def _latest(table: Table) -> str:
    """The newest cutoff that was published: an older one, published later, does not replace it."""
    return (
        f"CREATE OR REPLACE VIEW {table.name}_latest AS "
        f"SELECT {', '.join(table.column_names)} FROM {table.name} WHERE {table.partition} = ("
        f"SELECT max(cutoff) FROM {PUBLISH_LEDGER.name} "
        f"WHERE table_name = {literal(table.name)})"
    )


def _freshness(time_zone: str) -> str:
    midnight = f"CAST(cutoff AS TIMESTAMP) AT TIME ZONE {literal(time_zone)}"
    hours = f"EXTRACT(EPOCH FROM (CURRENT_TIMESTAMP - ({midnight}))) / 3600.0"
    return (
        "CREATE OR REPLACE VIEW freshness AS "
        "SELECT table_name, cutoff, hours_since_cutoff, published_at, "
        f"CASE WHEN hours_since_cutoff >= {ERROR_HOURS} THEN 'error' "
        f"WHEN hours_since_cutoff >= {WARN_HOURS} THEN 'warn' ELSE 'ok' END AS status FROM ("
        f"SELECT table_name, cutoff, {hours} AS hours_since_cutoff, "
        "max(published_at) AS published_at, "
        "row_number() OVER (PARTITION BY table_name ORDER BY cutoff DESC) AS place "
        f"FROM {PUBLISH_LEDGER.name} GROUP BY table_name, cutoff) AS nights WHERE place = 1"
    )


def differences(table: Table, found: Iterable[tuple[str, str, bool]]) -> list[str]:
    """How a table's columns (name, SQL type, nullable) differ from the contract, in words."""
    present = {name: (kind, nullable) for name, kind, nullable in found}
    said = [f"no column {name}" for name in table.column_names if name not in present]
    said += [f"the column {name}" for name in present if name not in table.column_names]
    for column in table.columns:
        kind, nullable = present.get(column.name, (SQL_TYPES[column.type], column.nullable))
        if kind != SQL_TYPES[column.type]:
            said.append(f"{column.name} as {kind}")
        if nullable != column.nullable:
            said.append(f"{column.name} {'with' if nullable else 'without'} nulls")
    return said
