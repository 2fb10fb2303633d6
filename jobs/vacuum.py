"""Remove what killed runs have left: files of the lake that no snapshot names, warehouse copies.

Whatever any snapshot of a table names stays, so that every past night can be replayed; so does
whatever is younger than the limit, and whatever Nightshift did not make.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from contracts.errors import BusyError
from contracts.tables import LAKE
from jobs.lake.lake import open_lake
from jobs.lake.leftovers import Leftover
from jobs.running.settings import Settings
from jobs.warehouse.warehouse import open_warehouse


def run_vacuum(settings: Settings, *, hours: int | None, is_dry_run: bool) -> dict[str, Any]:
    """Vacuum as of now; ``hours`` in place of the configuration's."""
    limit = datetime.now(UTC) - timedelta(hours=hours or settings.lake.vacuum_hours)
    return vacuum(settings, older_than=limit, is_dry_run=is_dry_run)


def vacuum(settings: Settings, *, older_than: datetime, is_dry_run: bool) -> dict[str, Any]:
    """Find all leftovers, then remove them. Raises ConfigError before anything is removed."""
    lake = open_lake(settings)
    left = {table.name: lake.leftovers(table, older_than=older_than) for table in LAKE}
    copies, is_publishing = _copies(settings, older_than)
    if not is_dry_run:
        for leftovers in left.values():
            lake.remove(leftovers)
        for leftover in copies:
            Path(leftover.path).unlink(missing_ok=True)
    everything = [*(one for some in left.values() for one in some), *copies]
    said: dict[str, Any] = {
        "job": "vacuum",
        "older_than": older_than.isoformat(timespec="seconds"),
        "is_dry_run": is_dry_run,
        **_counts(everything),
        "tables": {name: _counts(leftovers) for name, leftovers in left.items() if leftovers},
        "warehouse": "left alone: a run is publishing" if is_publishing else _counts(copies),
    }
    if is_dry_run:
        said["would_remove"] = [leftover.path for leftover in everything]
    return said


def _copies(settings: Settings, older_than: datetime) -> tuple[list[Leftover], bool]:
    """The warehouse's leftovers, and whether a run is publishing at the moment."""
    try:
        paths = open_warehouse(settings).leftovers(older_than=older_than)
    except BusyError:
        return [], True
    return [Leftover(str(path), path.stat().st_size) for path in paths if path.exists()], False


def _counts(leftovers: Sequence[Leftover]) -> dict[str, int]:
    return {
        "files": len(leftovers),
        "bytes": sum(leftover.num_bytes for leftover in leftovers),
    }
