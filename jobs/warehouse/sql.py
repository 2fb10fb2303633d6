"""The warehouse's SQL as text: tables and views from `contracts/tables.py`, for any engine.

Only standard words are used, so that DuckDB and PostgreSQL read the same statements. Identifiers
are quoted; values are bound, but for those of definitions, which no engine binds.
"""

from collections.abc import Iterable

from contracts.tables import NIGHTLY, PUBLISH_LEDGER, PUBLISHED, Column, Table

SQL_TYPES = {
    "string": "VARCHAR",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float64": "DOUBLE PRECISION",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
}
SAME_TYPES = {"DOUBLE": "DOUBLE PRECISION", "CHARACTER VARYING": "VARCHAR", "TEXT": "VARCHAR"}
WARN_HOURS, ERROR_HOURS = 36, 60  # one night late, two nights late
PAST_DAYS = 30  # a night first published so long after its cutoff was one of the past already
LEDGER = f'"{PUBLISH_LEDGER.name}"'
IS_PUBLISHED = f"outcome = '{PUBLISHED}'"


def quoted(name: str) -> str:
    """An identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def columns_of(table: Table) -> str:
    return ", ".join(map(quoted, table.column_names))


def create_table(table: Table) -> str:
    """The table, if it is not there yet."""
    columns = ", ".join(_column(column) for column in table.columns)
    return f"CREATE TABLE IF NOT EXISTS {quoted(table.name)} ({columns})"


def comments(table: Table) -> list[str]:
    """What the contract says of the table and its columns, for the database's own catalogue."""
    name = quoted(table.name)
    return [
        f"COMMENT ON TABLE {name} IS {literal(table.meaning)}",
        *(
            f"COMMENT ON COLUMN {name}.{quoted(column.name)} IS {literal(describe(column))}"
            for column in table.columns
        ),
    ]


def describe(column: Column) -> str:
    """What a column means, with its unit."""
    return f"{column.meaning} ({column.unit})" if column.unit else column.meaning


def latest_name(table: Table) -> str:
    return f"{table.name}_latest"


FRESHNESS_COLUMNS = ["table_name", "cutoff", "hours_since_cutoff", "published_at", "status"]


def view_columns() -> dict[str, list[str]]:
    """Of each view of ours."""
    latest = {latest_name(table): table.column_names for table in NIGHTLY}
    return {**latest, "freshness": FRESHNESS_COLUMNS}


def create_latest(table: Table, newest_cutoff: str) -> str:
    """`<table>_latest`: the rows of the cutoff that a scalar subquery finds."""
    return (
        f"CREATE OR REPLACE VIEW {quoted(latest_name(table))} AS SELECT {columns_of(table)} "
        f"FROM {quoted(table.name)} WHERE {quoted(table.partition)} = ({newest_cutoff})"
    )


def newest_published(table: Table) -> str:
    """The newest cutoff that was published: an older one, published later, does not replace it."""
    name = literal(table.name)
    return f"SELECT max(cutoff) FROM {LEDGER} WHERE table_name = {name} AND {IS_PUBLISHED}"


def create_freshness(time_zone: str) -> str:
    """`freshness`: hours since the newest cutoff of each table began, and what to think of it.

    A demo or a replay of an old log does not go by the clock: its newest night was of the past when
    it was first published, so its age says nothing of a night that is missing.
    """
    midnight = f"CAST(cutoff AS TIMESTAMP) AT TIME ZONE {literal(time_zone)}"
    seconds = f"EXTRACT(EPOCH FROM (CURRENT_TIMESTAMP - ({midnight})))"
    delay = f"EXTRACT(EPOCH FROM (min(published_at) - ({midnight})))"
    return (
        "CREATE OR REPLACE VIEW freshness AS "
        "SELECT table_name, cutoff, hours_since_cutoff, published_at, "
        f"CASE WHEN seconds_until_published >= {PAST_DAYS * 86400} THEN 'past' "
        f"WHEN hours_since_cutoff >= {ERROR_HOURS} THEN 'error' "
        f"WHEN hours_since_cutoff >= {WARN_HOURS} THEN 'warn' ELSE 'ok' END AS status FROM ("
        "SELECT table_name, cutoff, "
        f"CAST({seconds} AS DOUBLE PRECISION) / 3600 AS hours_since_cutoff, "
        f"max(published_at) AS published_at, {delay} AS seconds_until_published, "
        "row_number() OVER (PARTITION BY table_name ORDER BY cutoff DESC) AS place "
        f"FROM {LEDGER} WHERE {IS_PUBLISHED} GROUP BY table_name, cutoff) AS nights WHERE place = 1"
    )


def delete_staged_keys(table: Table, staging: str) -> str:
    """Remove the rows that the staged ones replace, key by key."""
    name = quoted(table.name)
    keys = map(quoted, table.key)
    same = " AND ".join(f"staged.{key} = {name}.{key}" for key in keys)
    return (
        f"DELETE FROM {name} WHERE EXISTS (SELECT 1 FROM {quoted(staging)} AS staged WHERE {same})"
    )


def insert_from(table: Table, staging: str) -> str:
    columns = columns_of(table)
    return f"INSERT INTO {quoted(table.name)} ({columns}) SELECT {columns} FROM {quoted(staging)}"


def delete_old(name: str) -> str:
    """Remove all but the newest nights, whose number is ``$1``, and the night ``$2``."""
    kept = f"SELECT DISTINCT cutoff FROM {name} ORDER BY cutoff DESC LIMIT $1"
    oldest = f"SELECT min(cutoff) FROM ({kept}) AS kept"
    return f"DELETE FROM {name} WHERE cutoff < ({oldest}) AND cutoff <> $2"


def upgrades(table: Table, found: Iterable[tuple[str, str, bool]]) -> list[str]:
    """What brings a table of an earlier version up to date without touching a row.

    A column that may be empty is added, and one that may be empty now loses its NOT NULL. Every
    other difference is left for `differences` to name.
    """
    nullable = {name: is_nullable for name, _, is_nullable in found}
    name, statements = quoted(table.name), []
    for column in table.columns if nullable else ():
        if column.nullable and column.name not in nullable:
            statements.append(f"ALTER TABLE {name} ADD COLUMN {_column(column)}")
        elif column.nullable and not nullable[column.name]:
            statements.append(
                f"ALTER TABLE {name} ALTER COLUMN {quoted(column.name)} DROP NOT NULL"
            )
    return statements


def differences(table: Table, found: Iterable[tuple[str, str, bool]]) -> list[str]:
    """How a table's columns (name, SQL type, nullable) differ from the contract, in words."""
    present = {
        name: (SAME_TYPES.get(kind.upper(), kind.upper()), nullable)
        for name, kind, nullable in found
    }
    said = [f"no column {name}" for name in table.column_names if name not in present]
    said += [f"the column {name}" for name in present if name not in table.column_names]
    for column in table.columns:
        kind, nullable = present.get(column.name, (SQL_TYPES[column.type], column.nullable))
        if kind != SQL_TYPES[column.type]:
            said.append(f"{column.name} as {kind}")
        if nullable != column.nullable:
            said.append(f"{column.name} {'with' if nullable else 'without'} nulls")
    return said


def _column(column: Column) -> str:
    kind = SQL_TYPES[column.type]
    return f"{quoted(column.name)} {kind}{'' if column.nullable else ' NOT NULL'}"
