"""What is already there, by what was committed and never by what a task said of itself."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from functools import cached_property

from contracts.addresses import without_password
from contracts.errors import MissingRawError, NoChampionError, UnreachableError
from contracts.night import INGEST, SEQUENCES, SERIES, SESSIONS, Program
from contracts.tables import EVENTS, PUBLISH_LEDGER, PUBLISHED, Table
from contracts.tables import SEQUENCES as SEQUENCES_TABLE
from contracts.tables import SERIES as SERIES_TABLE
from contracts.tables import SESSIONS as SESSIONS_TABLE
from jobs.ingestion.missed_days import Calendar, missed_days
from jobs.lake.catalog import is_made
from jobs.lake.lake import Lake, open_lake
from jobs.registries import open_registry
from jobs.running.databases import holds_table, is_database
from jobs.running.settings import Settings
from jobs.warehouse.warehouse import open_warehouse
from models.registry.registry import CHAMPION, ModelVersion, Registry

WRITES: dict[Program, Table] = {
    INGEST: EVENTS,
    SESSIONS: SESSIONS_TABLE,
    SEQUENCES: SEQUENCES_TABLE,
    SERIES: SERIES_TABLE,
}


class Standing:
    """Reads lake, registry and warehouse of a deployment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _lake(self) -> Lake:
        return open_lake(self._settings)

    @cached_property
    def _registry(self) -> Registry:
        return open_registry(self._settings)

    def lake_is_made(self) -> bool:
        """Only looks, where reading it would make it. Raises UnreachableError."""
        return is_made(self._settings)

    def registry_is_made(self) -> bool:
        """Only looks, where reading it would make it. Raises UnreachableError."""
        uri = self._settings.mlflow.tracking_uri
        return not is_database(uri) or holds_table(uri, "registered_models", what="MLflow")

    def lake_answers(self) -> str:
        """Raises UnreachableError."""
        address = without_password(self._settings.lake.catalog.get("uri", "it"))
        if not self.lake_is_made():
            return f"{address} is not made yet"
        self._lake.partitions(EVENTS)
        return f"{address} answers"

    def registry_answers(self) -> str:
        """Raises UnreachableError."""
        address = without_password(self._settings.mlflow.tracking_uri)
        if not self.registry_is_made():
            return f"{address} is not made yet"
        self._registry.candidates()
        return f"{address} answers"

    def warehouse_answers(self) -> str:
        """Raises UnreachableError."""
        warehouse = open_warehouse(self._settings)
        return f"{warehouse.address} " + ("answers" if warehouse.is_made() else "is empty yet")

    def first_raw_day(self) -> date:
        """The oldest ingestion day that lies in the raw folder. Raises MissingRawError."""
        folders = sorted(self._settings.raw_folder.glob("ingest_date=*"))
        if not folders:
            raise MissingRawError(str(self._settings.raw_folder))
        return date.fromisoformat(folders[0].name.removeprefix("ingest_date="))

    def missed_days(self, before: date | None = None) -> list[date]:
        """The open days without events, between the first ingested day and ``before``.

        By default between the first and the last that are in the lake or in the raw folder.
        """
        ingested = self.partitions(EVENTS)
        if before is None:
            last = max([*self._raw_days(), *ingested], default=date.min)
            before = last + timedelta(days=1)
        return missed_days(ingested, Calendar.of(self._settings), before=before)

    def _raw_days(self) -> Iterator[date]:
        for folder in self._settings.raw_folder.glob("ingest_date=*"):
            with suppress(ValueError):  # a folder of another name is no day
                yield date.fromisoformat(folder.name.removeprefix("ingest_date="))

    def partitions(self, table: Table) -> list[date]:
        return self._lake.partitions(table)

    def has_written(self, program: Program, day: date) -> bool:
        """Has this program committed its partition ``day``?"""
        return day in self.partitions(WRITES[program])

    def has_trained(self, encoder: str, cutoff: date) -> bool:
        versions = self._registry.versions(training_cutoff=cutoff.isoformat())
        return any(version.encoder == encoder for version in versions)

    def has_trained_demand(self, cutoff: date) -> bool:
        registry = open_registry(self._settings, self._settings.demand.model)
        return bool(registry.versions(training_cutoff=cutoff.isoformat()))

    def has_evaluated(self, cutoff: date) -> bool:
        """Was every version trained at the cutoff judged there, and does the report lie here?"""
        trained = self._registry.versions(training_cutoff=cutoff.isoformat())
        report = self._settings.reports_folder / f"evaluation-{cutoff}.json"
        judged = [version.tags.get("evaluated_cutoff") for version in trained]
        return report.exists() and bool(judged) and set(judged) == {cutoff.isoformat()}

    def champion(self) -> ModelVersion | None:
        try:
            return self._registry.resolve(CHAMPION)
        except NoChampionError:
            return None

    def has_champion(self) -> bool:
        return self.champion() is not None

    def published(self) -> dict[str, list[str]]:
        """Warehouse table -> cutoffs that the ledger proves, oldest first."""
        warehouse = open_warehouse(self._settings)
        if not warehouse.is_made():
            return {}
        statement = (
            f"SELECT DISTINCT table_name, cutoff FROM {PUBLISH_LEDGER.name} "
            "WHERE outcome = $1 ORDER BY 1, 2"
        )
        found: dict[str, list[str]] = {}
        for row in warehouse.query(statement, PUBLISHED).to_pylist():
            found.setdefault(row["table_name"], []).append(str(row["cutoff"]))
        return found

    def has_published(self, cutoff: date) -> bool:
        try:
            return str(cutoff) in self.published().get("user_scores", [])
        except UnreachableError:
            return False
