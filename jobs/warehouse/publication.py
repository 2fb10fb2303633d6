"""What is published, what came of it, and what the ledger says of both. Pure: no database."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

import pyarrow as pa

from contracts.errors import AuditError
from contracts.tables import PUBLISH_LEDGER, PUBLISHED, REFUSED, Table
from jobs.lake.column_types import arrow_schema
from jobs.lake.content_hash import content_hash, hashed_columns
from jobs.warehouse.drift import distributions
from jobs.warehouse.fingerprint import Fingerprint, fingerprint, fixed_values

KEPT = "Nothing was published and the tables of the night before still answer. "

Staged = Mapping[Table, pa.Table]
Check = Callable[[Staged], None]


@dataclass(frozen=True)
class Publication:
    """A night's rows, and where they come from."""

    cutoff: date
    run_key: str
    nightly: Staged  # replace the rows of this cutoff
    models: pa.Table  # replace the rows of the same name and version
    snapshot_ids: Mapping[str, int]  # lake table → snapshot read
    published_at: datetime

    @cached_property
    def fixed(self) -> Mapping[Table, Mapping[str, object]]:
        """Of each table, the columns that hold one value in every row, and the value."""
        return {table: fixed_values(rows) for table, rows in self.nightly.items()}

    def varying(self, table: Table) -> list[str]:
        """The other columns: what has to be read back to know a staged row again."""
        return [name for name in table.column_names if name not in self.fixed[table]]


@dataclass(frozen=True)
class Published:
    """What the ledger says of one table."""

    num_rows: int
    content_hash: str
    distributions: str  # JSON: score → users in each bin of jobs/warehouse/drift.py


@dataclass(frozen=True)
class Approval:
    """That a night's rows passed the audit, and how to know them again once they are staged."""

    published: dict[str, Published]
    fingerprints: dict[str, Fingerprint]  # of the columns that vary


def approve(publication: Publication, check: Check) -> Approval:
    """Audit the rows and take their hashes. Raises what ``check`` raises."""
    check(publication.nightly)
    return Approval(
        published=said_of(publication.nightly),
        fingerprints={
            table.name: fingerprint(rows, publication.varying(table))
            for table, rows in publication.nightly.items()
        },
    )


def said_of(nightly: Staged) -> dict[str, Published]:
    """Rows, content hash and distributions of each table, for the ledger."""
    return {
        table.name: Published(
            rows.num_rows,
            content_hash(rows, hashed_columns(table)),
            json.dumps(distributions(table, rows)),
        )
        for table, rows in nightly.items()
    }


def ledger_rows(
    publication: Publication, published: Mapping[str, Published], *, refusal: str | None = None
) -> pa.Table:
    """A row for each table of the night, published or, with its reason, refused."""
    rows = [
        {
            "table_name": name,
            "cutoff": publication.cutoff,
            "run_key": publication.run_key,
            "outcome": PUBLISHED if refusal is None else REFUSED,
            "reason": refusal,
            "num_rows": said.num_rows,
            "content_hash": said.content_hash,
            "distributions": said.distributions,
            "snapshot_ids": json.dumps(dict(publication.snapshot_ids), sort_keys=True),
            "published_at": publication.published_at,
        }
        for name, said in published.items()
    ]
    return pa.Table.from_pylist(rows, schema=arrow_schema(PUBLISH_LEDGER))


def check_staged(table: Table, staged: Fingerprint, approval: Approval) -> None:
    """What the database holds is what was audited, to the last bit. Raises AuditError."""
    audited = approval.fingerprints[table.name]
    if staged != audited:
        raise AuditError(
            f"{table.name}, staged",
            found=f"rows {staged}",
            expected=f"those that were audited, {audited}",
            do=f"{KEPT}The database, its driver or a trigger on the table changed the rows "
            "on their way; look there, then publish again.",
        )
