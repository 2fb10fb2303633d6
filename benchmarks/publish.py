"""Publishing a night beside the bare load of the same rows, into DuckDB and PostgreSQL.

    python -m benchmarks.publish --size small        # half a million rows a table; full: five

Nightshift: stage, audit, compare, switch and ledger, onto a warehouse that has a night of the same
size (whose file DuckDB's publish copies first). Against: `adbc_ingest` of the same Arrow table into
a new table, and commit. In turn, each as often as `--rounds`; medians. A PostgreSQL server of the
benchmark's own is started with its default settings, on this machine.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import adbc_driver_duckdb.dbapi
import adbc_driver_postgresql.dbapi
import duckdb
import pyarrow as pa

from benchmarks.table import Row, ratio_row, show
from contracts.exclusions import NOTHING
from contracts.tables import (
    DEMAND,
    DEMAND_BY_CATEGORY,
    MODELS,
    SCORES,
    USER_RECOMMENDATIONS,
    USER_SCORES,
    Table,
)
from jobs.lake.column_types import arrow_schema
from jobs.publish import NightInLake, expectations
from jobs.published_models import Catalogue
from jobs.warehouse.audit import Expectations, audit
from jobs.warehouse.duckdb_file import DuckDBFile
from jobs.warehouse.night_rows import user_recommendations, user_scores
from jobs.warehouse.postgres import PostgresServer as PostgresWarehouse
from jobs.warehouse.publication import Publication
from jobs.warehouse.warehouse import Warehouse
from tests.jobs.postgres_server import PostgresServer, find_binaries

SIZES = {"small": 500_000, "full": 5_000_000}
RECOMMENDED, NUM_ITEMS = 10, 100_000
DAY = date(2017, 11, 28)
NOON = datetime(2017, 11, 28, 12, tzinfo=UTC)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.publish", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    num_rows = SIZES[options.size]
    rows: list[Row] = []
    binaries = find_binaries()
    server = PostgresServer(binaries, options={}) if binaries else None
    try:
        if server:
            server.start()
        with tempfile.TemporaryDirectory() as folder:
            for table, num_users in (
                (USER_SCORES, num_rows),
                (USER_RECOMMENDATIONS, num_rows // RECOMMENDED),
            ):
                for database in ("DuckDB", *(["PostgreSQL"] if server else [])):
                    place = Place(database, Path(folder) / table.name, server)
                    rows += compare(place, table, num_users, rounds=options.rounds)
    finally:
        if server:
            server.remove()
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


class Place:
    """Where one comparison takes place: new databases by name."""

    def __init__(self, database: str, folder: Path, server: PostgresServer | None) -> None:
        self.database, self._folder, self._server = database, folder, server
        folder.mkdir(exist_ok=True)

    def warehouse(self) -> Warehouse:
        common: dict[str, Any] = {"time_zone": "UTC", "keep_nights": 2}
        if self._server is None or self.database == "DuckDB":
            return DuckDBFile(self._folder / "warehouse.duckdb", **common)
        uri = self._server.new_database(f"published_{self._folder.name}")
        return PostgresWarehouse(uri, reader_role="reader", **common)

    def load(self, rows: pa.Table) -> float:
        """Seconds of the bare load."""
        if self._server is None or self.database == "DuckDB":
            file = self._folder / "bare.duckdb"
            file.unlink(missing_ok=True)
            return seconds(lambda: _ingest(adbc_driver_duckdb.dbapi.connect, str(file), rows))
        uri = self._server.uri("postgres")
        with (
            adbc_driver_postgresql.dbapi.connect(uri, autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("DROP TABLE IF EXISTS bare")
        return seconds(lambda: _ingest(adbc_driver_postgresql.dbapi.connect, uri, rows))


def compare(place: Place, table: Table, num_users: int, *, rounds: int) -> list[Row]:
    """A night onto the one before, and the same night again, each beside the bare load."""
    scores, rows = made(table, num_users)
    warehouse = place.warehouse()
    bare, new, again = list[float](), list[float](), list[float]()
    for number in range(rounds + 1):
        cutoff = DAY + timedelta(days=number)
        scores, rows = on(cutoff, scores), on(cutoff, rows)
        expected = expected_of(scores, cutoff)
        taken = published(warehouse, table, rows, expected, f"new-{number}")
        if number == 0:
            continue  # makes the tables, and is the night before of the next
        new.append(taken)
        bare.append(place.load(rows))
        again.append(published(warehouse, table, rows, expected, f"again-{number}"))
    case = f"{place.database}: {table.name}, {rows.num_rows:,} rows x {rows.num_columns} columns"
    against = statistics.median(bare)
    return [
        row(case, measure, statistics.median(taken), against)
        for measure, taken in (("a new night", new), ("the same night again", again))
    ]


ACTIVE_DAYS = 60  # a quarter of the users were seen longer ago


def made(table: Table, num_users: int) -> tuple[pa.Table, pa.Table]:
    """Scores as the lake holds them, and what is published of them."""
    num_items = RECOMMENDED if table is USER_RECOMMENDATIONS else 0
    with duckdb.connect() as connection:
        found = connection.sql(
            f"""
            SELECT printf('user-%07d', i) AS user_id,
                   (hash(i) % 1000003) / 1000003 AS purchase_probability_7d,
                   CASE WHEN i % 4 > 0 THEN (hash(i + 1) % 1000003) / 1000003 END
                       AS churn_probability_28d,
                   DATE '{DAY}' - CASE WHEN i % 4 > 0 THEN 1 ELSE {ACTIVE_DAYS} + 1 END
                       AS last_event_date,
                   (hash(i + 2) % 1000003) / 5000 AS expected_spend_28d,
                   list_transform(range({num_items}),
                       lambda k: printf('item-%06d', (i * 7 + k * 997) % {NUM_ITEMS}))
                       AS recommended_item_ids,
                   list_transform(range({num_items}), lambda k: 0.1 / (k + 1))
                       AS recommended_scores,
                   []::DOUBLE[] AS embedding, 'nightshift' AS model_name, '1' AS model_version,
                   'abc' AS run_id, DATE '{DAY}' AS cutoff
            FROM range({num_users}) AS users (i)
            """
        ).to_arrow_table()
    scores = found.select(SCORES.column_names).cast(arrow_schema(SCORES))
    if table is USER_SCORES:
        return scores, user_scores(scores, scored_at=NOON)
    return scores, user_recommendations(scores)


def on(cutoff: date, rows: pa.Table) -> pa.Table:
    """The same rows as of another night."""
    days = pa.repeat(pa.scalar(cutoff, pa.date32()), rows.num_rows)
    return rows.set_column(rows.column_names.index("cutoff"), "cutoff", days)


def expected_of(scores: pa.Table, cutoff: date) -> Expectations:
    items, categories = (
        arrow_schema(table).empty_table() for table in (DEMAND, DEMAND_BY_CATEGORY)
    )
    night = NightInLake(scores, items, categories, scores["user_id"], NOON, ACTIVE_DAYS, {})
    items = pa.array([f"item-{n:06d}" for n in range(NUM_ITEMS)])
    return expectations(
        night,
        cutoff,
        demand_days=28,
        catalogue=Catalogue(items, items.slice(0, 0)),
        exclusions=NOTHING,
        before={},
        max_psi=0.25,
    )


def published(
    warehouse: Warehouse, table: Table, rows: pa.Table, expected: Expectations, run_key: str
) -> float:
    """Seconds of a publish."""
    publication = Publication(
        cutoff=expected.cutoff,
        run_key=run_key,
        nightly={table: rows},
        models=arrow_schema(MODELS).empty_table(),
        snapshot_ids={"scores": 1},
        published_at=datetime.now(UTC),
    )
    return seconds(
        lambda: warehouse.publish(publication, check=lambda staged: audit(staged, expected))
    )


def seconds(call: Callable[[], object]) -> float:
    start = time.monotonic()
    call()
    return time.monotonic() - start


def _ingest(connect: Callable[..., Any], place: str, rows: pa.Table) -> None:
    with connect(place, autocommit=False) as connection:
        with connection.cursor() as cursor:
            cursor.adbc_ingest("bare", rows, mode="create")
        connection.commit()


def row(case: str, measure: str, ours: float, against: float) -> Row:
    return ratio_row("publish", case, measure, "s", ours, against, "the bare load")


if __name__ == "__main__":
    main()
