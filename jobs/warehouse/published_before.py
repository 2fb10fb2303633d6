"""Where this deployment has published: so that a warehouse which is gone is not made anew.

A disk that is not mounted, a database of another name: the tables are not there, and a night that
made them again would answer with itself alone. The memory lies in the home folder, apart from the
warehouse that it speaks of.
"""

import json
import os
from contextlib import suppress
from datetime import date
from pathlib import Path

from contracts.errors import VanishedWarehouseError
from jobs.warehouse.warehouse import Warehouse

FILE = "warehouses.json"  # address, without a password → newest cutoff that was published there


class PublishedBefore:
    def __init__(self, home: Path) -> None:
        self._file = home / FILE

    def require(self, warehouse: Warehouse) -> None:
        """Raise VanishedWarehouseError where nights were published and no table is left."""
        newest = self._newest().get(warehouse.address)
        if newest is not None and not warehouse.is_made():
            raise VanishedWarehouseError(warehouse.address, newest=newest)

    def remember(self, warehouse: Warehouse, cutoff: date) -> None:
        """After a night was published: a full disk here does not unpublish it."""
        newest = self._newest()
        known = newest.get(warehouse.address, "")
        newest[warehouse.address] = max(known, cutoff.isoformat())
        draft = self._file.with_name(f"{FILE}.{os.getpid()}")
        with suppress(OSError):
            draft.write_text(json.dumps(newest, indent=1))
            draft.replace(self._file)

    def _newest(self) -> dict[str, str]:
        """A memory that cannot be read is none: it may not cost a night."""
        try:
            newest = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return newest if isinstance(newest, dict) else {}
