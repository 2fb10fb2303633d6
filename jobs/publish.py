"""Publish a night: audit the lake's rows, then switch the warehouse tables in one transaction.

reads   scores, demand      partition cutoff=YYYY-MM-DD, at the snapshots that made it
        demand_by_category  the same, of the run that made demand
        sequences           the users of the snapshot that the scores were made from
writes  user_scores, user_recommendations   the rows of this cutoff, replaced whole
        item_demand, category_demand        the same
        models, publish_ledger              what made them, and the proof

    python -m jobs.publish --cutoff 2017-11-29

A red audit publishes nothing: the tables of the night before go on answering. Its reason is entered
in the ledger and shown on the night's page, which is written at once.
"""

import argparse
import secrets
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import AuditError, DataError
from contracts.exclusions import Exclusions
from contracts.night import REPORT, night_arguments
from contracts.tables import (
    CATEGORY_DEMAND,
    DEMAND,
    DEMAND_BY_CATEGORY,
    ITEM_DEMAND,
    SCORES,
    SEQUENCES,
    USER_RECOMMENDATIONS,
    USER_SCORES,
    Table,
)
from contracts.windows import one_day
from jobs.histories.read_sequences import sequences_at
from jobs.lake.commits import Commit
from jobs.lake.lake import Lake, open_lake
from jobs.published_models import Catalogue, catalogue, published_models
from jobs.registries import open_registry, verdict_key
from jobs.running.program import run
from jobs.running.settings import Settings
from jobs.running.steps import run_program
from jobs.score_batches import CHURN_ACTIVE_DAYS
from jobs.warehouse.audit import Expectations, audit
from jobs.warehouse.drift import previous_counts, previous_query
from jobs.warehouse.fingerprint import fingerprint
from jobs.warehouse.night_rows import (
    category_demand,
    item_demand,
    user_recommendations,
    user_scores,
)
from jobs.warehouse.publication import Publication
from jobs.warehouse.published_before import PublishedBefore
from jobs.warehouse.warehouse import Warehouse, open_warehouse
from models.registry.admission import admission_of
from models.registry.registry import Registry

READ = [name for name in SCORES.column_names if name != "embedding"]


@dataclass(frozen=True)
class NightInLake:
    """What the lake holds for a night, each table at the snapshot that made its partition."""

    scores: pa.Table
    demand: pa.Table
    demand_by_category: pa.Table
    user_ids: pa.ChunkedArray  # of the sequences that the scores were made from
    scored_at: datetime
    churn_active_days: int  # of whom the version that scored was asked about churn
    snapshot_ids: Mapping[str, int]


def read_night(lake: Lake, cutoff: date) -> NightInLake:
    """Raises MissingPartitionError where a stage has not committed the night."""
    scored = lake.require(SCORES, cutoff, producer=f"nightshift score --cutoff {cutoff}")
    demand = f"nightshift demand --cutoff {cutoff}"
    forecast = lake.require(DEMAND, cutoff, producer=demand)
    by_category = lake.require(
        DEMAND_BY_CATEGORY, cutoff, producer=demand, run_key=forecast.run_key
    )
    sequences_id = scored.reads[SEQUENCES.name]

    def read(table: Table, columns: list[str], snapshot_id: int) -> pa.Table:
        return lake.read_arrow(
            table, window=one_day(cutoff), columns=columns, snapshot_id=snapshot_id
        )

    return NightInLake(
        scores=read(SCORES, READ, scored.snapshot_id),
        demand=read(DEMAND, DEMAND.column_names, forecast.snapshot_id),
        demand_by_category=read(
            DEMAND_BY_CATEGORY, DEMAND_BY_CATEGORY.column_names, by_category.snapshot_id
        ),
        user_ids=sequences_at(lake, sequences_id).user_ids(),
        scored_at=_scored_at(scored),
        churn_active_days=_churn_active_days(scored),
        snapshot_ids={
            SCORES.name: scored.snapshot_id,
            DEMAND.name: forecast.snapshot_id,
            DEMAND_BY_CATEGORY.name: by_category.snapshot_id,
            SEQUENCES.name: sequences_id,
        },
    )


def nightly_rows(night: NightInLake) -> dict[Table, pa.Table]:
    """The night as its readers see it."""
    return {
        USER_SCORES: user_scores(night.scores, scored_at=night.scored_at),
        USER_RECOMMENDATIONS: user_recommendations(night.scores),
        ITEM_DEMAND: item_demand(night.demand),
        CATEGORY_DEMAND: category_demand(night.demand_by_category),
    }


def expectations(
    night: NightInLake,
    cutoff: date,
    *,
    demand_days: int,
    catalogue: Catalogue,
    exclusions: Exclusions,
    before: Mapping[str, list[int]],
    max_psi: float,
) -> Expectations:
    """What the lake, the model and the night before say that the rows must be."""
    said = tuple(name for name in USER_SCORES.column_names if name in READ)
    of_items, of_categories = (
        tuple(table.column_names) for table in (ITEM_DEMAND, CATEGORY_DEMAND)
    )
    num_offered = pc.list_value_length(night.scores["recommended_item_ids"])
    return Expectations(
        cutoff=cutoff,
        user_ids=night.user_ids,
        hashes={
            USER_SCORES: (said, fingerprint(night.scores, said)),
            ITEM_DEMAND: (of_items, fingerprint(night.demand, of_items)),
            CATEGORY_DEMAND: (
                of_categories,
                fingerprint(night.demand_by_category, of_categories),
            ),
        },
        offered_ids=night.scores["user_id"].filter(pc.greater(num_offered, 0)),
        num_recommendations=pc.sum(num_offered).cast(pa.int64()).as_py() or 0,
        demand_days=demand_days,
        catalogue=catalogue.item_ids,
        excluded=catalogue.excluded,
        exclusions=exclusions,
        before=before,
        max_psi=max_psi,
        churn_active_days=night.churn_active_days,
    )


def models_of(
    settings: Settings, registry: Registry, versions: Iterable[str], demand: pa.Table
) -> pa.Table:
    """The models of the scores and of the forecasts. Raises UnreachableError, ConfigError.

    A forecast is by `<registered model>/<version>`, or by a rule, which is no model. Raises
    NotAdmittedError where it is by a version that nothing admits.
    """
    found = [published_models(registry, versions)]
    for said in pc.unique(demand["model_version"]).to_pylist():
        name, _, version = said.rpartition("/")
        if name:
            forecasters = open_registry(settings, name)
            admission_of(forecasters.resolve(version), verdict_key(settings))
            found.append(published_models(forecasters, [version]))
    return pa.concat_tables(found)


def read_before(warehouse: Warehouse, cutoff: date) -> Mapping[str, list[int]]:
    """How the scores of the night before were spread; nothing where there was none."""
    if not warehouse.is_made():
        return {}
    statement, values = previous_query(cutoff)
    return previous_counts(warehouse.query(statement, *values))


def body(options: argparse.Namespace, settings: Settings) -> Mapping[str, Any]:
    cutoff = options.cutoff
    night = read_night(open_lake(settings), cutoff)
    warehouse = open_warehouse(settings)
    published_before = PublishedBefore(settings.home)
    if not options.new_warehouse:
        published_before.require(warehouse)
    registry = open_registry(settings)
    versions = pc.unique(night.scores["model_version"]).to_pylist()
    expected = expectations(
        night,
        cutoff,
        demand_days=settings.horizons.demand_days,
        catalogue=catalogue(
            registry, versions, settings.exclusions.rules, key=verdict_key(settings)
        ),
        exclusions=settings.exclusions.rules,
        before=read_before(warehouse, cutoff),
        max_psi=settings.audit.max_psi,
    )
    publication = Publication(
        cutoff=cutoff,
        run_key=f"publish-{cutoff}-{secrets.token_hex(4)}",
        nightly=nightly_rows(night),
        models=models_of(settings, registry, versions, night.demand),
        snapshot_ids=night.snapshot_ids,
        published_at=datetime.now(UTC),
    )
    try:
        published = warehouse.publish(publication, check=lambda rows: audit(rows, expected))
    except AuditError as refusal:
        report = run_program(REPORT, night_arguments(str(cutoff)), settings)
        refusal.details["report"] = report.summary.get("report", report.message)
        raise
    published_before.remember(warehouse, cutoff)
    return {
        "run_key": publication.run_key,
        "warehouse": warehouse.address,
        "rows": sum(table.num_rows for table in published.values()),
        "tables": {
            name: {"rows": table.num_rows, "content_hash": table.content_hash}
            for name, table in published.items()
        },
    }


def _scored_at(scored: Commit) -> datetime:
    return datetime.fromisoformat(scored.facts["scored_at"])


def _churn_active_days(scored: Commit) -> int:
    """Raises DataError where an earlier version of the code has scored: it asked everybody."""
    if CHURN_ACTIVE_DAYS not in scored.facts:
        cutoff = scored.window.start
        raise DataError(
            f"{SCORES.name}/cutoff={cutoff}",
            found="rows of an earlier version, which asked every user about churn",
            expected="NULL where a user is not asked",
            do=f"Run `nightshift score --cutoff {cutoff}` again, then publish again.",
        )
    return int(scored.facts[CHURN_ACTIVE_DAYS])


def main(argv: Sequence[str] | None = None) -> int:
    return run(
        "publish", body, argv, description="Audit a night, then publish it.", arguments=_arguments
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--new-warehouse", action="store_true", help="make the tables where they are gone"
    )


if __name__ == "__main__":
    sys.exit(main())
