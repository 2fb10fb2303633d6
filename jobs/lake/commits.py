"""What a run says of itself in the snapshot that it commits, and what it must say to be committed.

The snapshot's summary holds, under keys ``nightshift.*``, the run's key, its days, its rows, their
content hash, the snapshots that it read, and facts of its own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from pyiceberg.table.snapshots import Snapshot

from contracts.errors import AuditError
from contracts.tables import Table
from contracts.windows import Window

PREFIX = "nightshift."


@dataclass(frozen=True)
class Commit:
    """What one run put into one table, as the snapshot says it."""

    table: str
    snapshot_id: int
    num_rows: int
    content_hash: str
    run_key: str
    reads: dict[str, int]  # table → snapshot read
    window: Window
    facts: dict[str, str] = field(default_factory=dict)  # what else the run says of itself

    @property
    def said(self) -> dict[str, Any]:
        """For the summary of a run."""
        return {
            "rows": self.num_rows,
            "content_hash": self.content_hash,
            "snapshot_id": self.snapshot_id,
        }


@dataclass(frozen=True)
class Staged:
    """Files that are written and counted, and that no snapshot names yet."""

    table: Table
    paths: list[str]
    window: Window
    run_key: str
    num_rows: int
    content_hash: str


def summary_of(
    staged: Staged, *, reads: Mapping[str, int], facts: Mapping[str, str]
) -> dict[str, str]:
    """The snapshot's properties; `read_commit` reads them."""
    said = {
        "run_key": staged.run_key,
        "num_rows": str(staged.num_rows),
        "content_hash": staged.content_hash,
        "window": f"{staged.window.start}/{staged.window.end}",
        "reads": json.dumps(dict(reads), sort_keys=True),
        "facts": json.dumps(dict(facts), sort_keys=True),
    }
    return {PREFIX + key: value for key, value in said.items()}


def read_commit(table: Table, snapshot: Snapshot) -> Commit | None:
    """What a snapshot says of its run; None where another program made it, or not whole."""
    summary = snapshot.summary
    said = summary.additional_properties if summary else {}
    if f"{PREFIX}run_key" not in said:
        return None
    num_rows = int(said[f"{PREFIX}num_rows"])
    if int(said.get("added-records", "0")) != num_rows:
        return None
    start, end = said[f"{PREFIX}window"].split("/")
    return Commit(
        table=table.name,
        snapshot_id=snapshot.snapshot_id,
        num_rows=num_rows,
        content_hash=said[f"{PREFIX}content_hash"],
        run_key=said[f"{PREFIX}run_key"],
        reads=json.loads(said[f"{PREFIX}reads"]),
        window=Window(date.fromisoformat(start), date.fromisoformat(end)),
        facts=json.loads(said[f"{PREFIX}facts"]),
    )


def audit(
    table: Table, window: Window, nulls: dict[str, int], first: date | None, last: date | None
) -> None:
    """Raise AuditError where rows have nulls that they may not have, or lie outside the window."""
    bad = {name: count for name, count in nulls.items() if count}
    if bad:
        said = ", ".join(f"{name} {count}" for name, count in sorted(bad.items()))
        raise AuditError(
            f"{table.name}/{table.partition}={window.start}",
            found=f"nulls ({said})",
            expected="none in these columns",
            do="Nothing was committed. Mend the job that made the rows.",
        )
    if first is not None and last is not None:
        inside = window.start <= first and last < window.end
        if not inside:
            raise AuditError(
                f"{table.name}/{table.partition}={window.start}",
                found=f"rows from {first} to {last}",
                expected=f"from {window.start} to {window.end - timedelta(days=1)}",
                do="Nothing was committed. Mend the job that made the rows.",
            )
