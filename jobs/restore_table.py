"""Go back from a damaged metadata file of a lake's table. `nightshift lake restore TABLE`."""

from datetime import UTC, datetime
from typing import Any

from contracts.errors import ConfigError
from contracts.tables import LAKE
from jobs.lake.lake import open_lake
from jobs.running.settings import Settings


def restore_table(settings: Settings, name: str) -> dict[str, Any]:
    """Raises ConfigError, DamagedMetadataError, UnreachableError."""
    tables = {table.name: table for table in LAKE}
    if name not in tables:
        raise ConfigError(
            "nightshift lake restore",
            found=f"the table {name!r}",
            expected=f"one of {', '.join(tables)}",
            do="Name the table that the error named.",
        )
    lake = open_lake(settings)
    restored = lake.restore(tables[name])
    newest = next(lake.commits(tables[name]), None)
    at = datetime.fromtimestamp(restored.last_updated_ms / 1000, UTC)
    return {
        "table": name,
        "damaged": restored.damaged,
        "metadata": restored.metadata,
        "newest_commit": newest.run_key if newest else None,
        "committed_at": at.isoformat(timespec="seconds"),
        "next": "run the job whose commit is lost again: `nightshift status` shows the partitions",
    }
