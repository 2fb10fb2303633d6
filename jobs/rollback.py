"""Give the alias `champion` back to the version that had it before.

    python -m jobs.rollback --by "Ada Lovelace" [--demand]

What was published stays: score, or with --demand forecast, and publish the night again to serve
the restored champion.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from contracts.errors import NightshiftError, NoPreviousChampionError
from jobs.published_models import tell_readers
from jobs.registries import open_registry, verdict_key
from jobs.running.private_files import closed_to_others
from jobs.running.program import hide_secrets, say_error
from jobs.running.settings import load_settings
from models.registry.admission import fetch_admitted, require_admitted
from models.registry.registry import CHAMPION, Registry
from models.registry.signing import VerdictKey


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="rollback", description="Restore the champion before.")
    parser.add_argument("--by", default="nobody named", metavar="NAME", help="who asks for it")
    parser.add_argument("--demand", action="store_true", help="of the demand forecasters")
    parser.add_argument("--config", type=Path, help="default: configs/nightshift.yaml")
    parser.add_argument("--json", action="store_true", help="print the run's summary as JSON")
    options = parser.parse_args(argv)
    settings = None
    try:
        settings = load_settings(options.config)
        hide_secrets(settings)
        with closed_to_others():
            registry = open_registry(settings, settings.demand.model if options.demand else None)
            key = verdict_key(settings)
            found = rollback(registry, key=key, by=options.by, now=datetime.now(UTC))
            versions = [found["version"], found["rolled_back"]]
            found["models"] = tell_readers(settings, registry, versions)
    except NightshiftError as error:
        return say_error("rollback", error, settings, as_json=options.json)
    said = json.dumps({"job": "rollback", **found})
    print(said, file=sys.stdout if options.json else sys.stderr, flush=True)
    return 0


def rollback(registry: Registry, *, key: VerdictKey, by: str, now: datetime) -> dict[str, Any]:
    """Raises NoChampionError; NoPreviousChampionError where the champion was the first.

    NotAdmittedError and DamagedModelError where the one before may not score: the alias stays.
    """
    champion = registry.resolve(CHAMPION)
    previous = champion.tags.get("previous_champion")
    if not previous:
        raise NoPreviousChampionError(registry.model, champion=champion.version)
    restored = registry.resolve(previous)
    require_admitted(restored, key)
    with TemporaryDirectory(prefix="nightshift-") as folder:
        fetch_admitted(registry, restored, key, Path(folder))
    at = now.isoformat(timespec="seconds")
    registry.set_tags(
        champion.version,
        {"status": "rolled_back", "rolled_back_at": at, "rolled_back_by": by},
    )
    registry.set_tags(restored.version, {"status": CHAMPION, "restored_at": at, "restored_by": by})
    registry.set_alias(CHAMPION, restored.version)  # last: what is served changes with this alone
    return {
        "version": restored.version,
        "encoder": restored.encoder,
        "rolled_back": champion.version,
        "by": by,
    }


if __name__ == "__main__":
    sys.exit(main())
