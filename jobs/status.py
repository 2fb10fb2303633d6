"""What stands where: nights in lake and warehouse, the champion, services. `nightshift status`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from contracts.errors import NightshiftError
from contracts.tables import LAKE, Table
from jobs.running.settings import Settings
from jobs.services.processes import started_for
from jobs.standing import Standing


def read_status(settings: Settings) -> dict[str, Any]:
    """One line for each part; a part that does not answer says why instead."""
    standing = Standing(settings)
    said: dict[str, Any] = {"home": str(settings.home)}
    for table in LAKE:
        said[table.name] = _asked(partial(_partitions, standing, table))
    said["missed_days"] = _asked(partial(_missed, standing))
    said["champion"] = _asked(partial(_champion, standing))
    said["warehouse"] = _asked(partial(_published, standing))
    said["services"] = f"{len(started_for(settings.home))} processes of `nightshift up`"
    return said


def _asked(question: Callable[[], object]) -> object:
    try:
        return question()
    except NightshiftError as error:
        return str(error)


def _partitions(standing: Standing, table: Table) -> str:
    return _span(standing.partitions(table) if standing.lake_is_made() else [])


def _missed(standing: Standing) -> str:
    days = standing.missed_days() if standing.lake_is_made() else []
    if not days:
        return "none"
    return f"{', '.join(map(str, days))}: `nightshift ingest --since {days[0]} --cutoff DAY`"


def _published(standing: Standing) -> dict[str, str]:
    return {name: _span(cutoffs) for name, cutoffs in standing.published().items()}


def _span(partitions: Sequence[object]) -> str:
    """How many, from which to which."""
    if not partitions:
        return "nothing yet"
    if len(partitions) == 1:
        return str(partitions[0])
    return f"{len(partitions)}, from {partitions[0]} to {partitions[-1]}"


def _champion(standing: Standing) -> str:
    champion = standing.champion() if standing.registry_is_made() else None
    if champion is None:
        return "none: nothing was promoted yet"
    return f"version {champion.version}, {champion.encoder}, trained at {champion.training_cutoff}"
