"""What PostgreSQL is told beyond the words that every engine reads: partitions, roles, one lock.

A night's rows lie in a partition of their own. A statement's plan names the partitions that it
reads, and its snapshot, which says which rows it sees, is taken after the plan: a night that is
committed in between is in the ledger that the statement sees, and its partition is not in the plan.
So `_latest` asks the ledger for the newest cutoffs, and takes the first of which this very plan
finds a row in every table that the ledger names. docs/decisions/0016 has the measurement.
"""

import hashlib
from collections.abc import Iterable
from datetime import date

from contracts.tables import NIGHTLY, WAREHOUSE, Table
from jobs.warehouse import sql as sql

ASKED_NIGHTS = 8  # newest cutoffs that `_latest` looks at: one is enough but for that instant
LOCK = "nightshift_lock"  # a table without rows; whoever may not change it cannot lock it
SETUP = "nightshift_setup"  # one row: which of the statements below were carried out, for whom


def partition_name(table: Table, cutoff: date) -> str:
    return f"{table.name}_{cutoff:%Y_%m_%d}"


def partition_cutoff(table: Table, name: str) -> date | None:
    """The cutoff of a partition that we made; nothing of a partition that is someone else's."""
    try:
        return date.fromisoformat(name.removeprefix(f"{table.name}_").replace("_", "-"))
    except ValueError:
        return None


def create_parent(table: Table) -> str:
    """The table, if it is not there yet; a nightly one is divided by cutoff."""
    create = sql.create_table(table)
    return f"{create} PARTITION BY LIST (cutoff)" if table in NIGHTLY else create


def create_partition(table: Table, name: str) -> str:
    return f"CREATE TABLE {sql.quoted(name)} (LIKE {sql.quoted(table.name)} INCLUDING ALL)"


def attach_partition(table: Table, name: str, cutoff: date) -> str:
    return (
        f"ALTER TABLE {sql.quoted(table.name)} ATTACH PARTITION {sql.quoted(name)} "
        f"FOR VALUES IN ({sql.literal(cutoff.isoformat())})"
    )


PARTITIONS = (
    "SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid "
    "WHERE inhparent = to_regclass($1) ORDER BY 1"
)
VIEWS = (
    "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.views "
    "USING (table_schema, table_name) WHERE table_schema = current_schema() "
    "ORDER BY table_name, ordinal_position"
)
IS_MADE = "SELECT to_regclass($1) IS NOT NULL AS is_made"
CREATE_LOCK = f"CREATE TABLE IF NOT EXISTS {LOCK} ()"
TAKE_LOCK = f"LOCK TABLE {LOCK} IN EXCLUSIVE MODE NOWAIT"
# Sessions that hold a lock on a relation of ours, strongest lock first.
_SESSIONS = (
    "SELECT pid, usename AS login, application_name AS program, relname AS relation, mode "
    "FROM pg_locks JOIN pg_class ON pg_class.oid = relation "
    "JOIN pg_stat_activity AS session USING (pid) "
    "WHERE granted AND pid <> pg_backend_pid() "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) "
)
PUBLISHER = f"{_SESSIONS} AND relname = '{LOCK}' AND mode = 'ExclusiveLock'"
HOLDERS = (
    f"{_SESSIONS} AND relkind IN ('r', 'p', 'v') "
    "ORDER BY array_position(ARRAY['AccessExclusiveLock', 'ExclusiveLock', "
    "'ShareRowExclusiveLock', 'ShareLock', 'ShareUpdateExclusiveLock', 'RowExclusiveLock', "
    "'RowShareLock', 'AccessShareLock'], mode), relname, pid"
)


def newest_whole(table: Table) -> str:
    """The newest published cutoff whose every table has a row in the partitions of this plan."""
    is_here = " ".join(
        f"WHEN {sql.literal(one.name)} THEN (SELECT true FROM {sql.quoted(one.name)} AS rows "
        "WHERE rows.cutoff = ledger.cutoff LIMIT 1)"
        for one in NIGHTLY
    )
    asked = (
        f"SELECT DISTINCT cutoff FROM {sql.LEDGER} WHERE {sql.IS_PUBLISHED} "
        f"AND table_name = {sql.literal(table.name)} ORDER BY cutoff DESC LIMIT {ASKED_NIGHTS}"
    )
    absent = (
        f"SELECT 1 FROM {sql.LEDGER} AS ledger WHERE ledger.cutoff = night.cutoff "
        f"AND {sql.IS_PUBLISHED} AND (CASE table_name {is_here} ELSE true END) IS NULL LIMIT 1"
    )
    return (
        f"SELECT night.cutoff FROM ({asked}) AS night WHERE ({absent}) IS NULL "
        "ORDER BY night.cutoff DESC LIMIT 1"
    )


def comments() -> list[str]:
    return [said for table in WAREHOUSE for said in sql.comments(table)]


def views(time_zone: str) -> dict[str, str]:
    """Name → definition."""
    latest = [sql.create_latest(table, newest_whole(table)) for table in NIGHTLY]
    return dict(zip(sql.view_columns(), [*latest, sql.create_freshness(time_zone)], strict=True))


def grants(role: str) -> list[str]:
    """What the readers may do: read the tables and views, and nothing else of ours."""
    relations = _relations()
    reader = sql.quoted(role)
    return [
        "DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), "
        f"{sql.literal(role)}); END $$",
        f"GRANT SELECT ON {relations} TO {reader}",
    ]


def revoke(role: str) -> str:
    """Take back what a readers' role could read."""
    return f"REVOKE SELECT ON {_relations()} FROM {sql.quoted(role)}"


def _relations() -> str:
    names = [*(table.name for table in WAREHOUSE), *sql.view_columns()]
    return ", ".join(map(sql.quoted, names))


def mark_of(statements: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(statements).encode()).hexdigest()
