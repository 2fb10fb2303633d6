"""A night as marketing and inventory read it, from its rows in the lake. Pure: Arrow to Arrow."""

from datetime import datetime

import duckdb
import pyarrow as pa

from contracts.tables import (
    CATEGORY_DEMAND,
    ITEM_DEMAND,
    USER_RECOMMENDATIONS,
    USER_SCORES,
    Table,
)
from jobs.lake.column_types import arrow_schema
from jobs.warehouse.audit import DECILES


def user_scores(scores: pa.Table, *, scored_at: datetime) -> pa.Table:
    """One row for each user, with a decile for each value: 10 holds the highest tenth.

    The tenths are of the users who have the value: the others have no decile. Equal values are told
    apart by user_id, so that the groups are equal and a re-run agrees.
    """
    deciles = [
        f"CASE WHEN {value} IS NOT NULL THEN "
        f"(10 * row_number() OVER (ORDER BY {value} NULLS LAST, user_id) + count({value}) OVER ()"
        f" - 1) // count({value}) OVER () END AS {decile}"
        for decile, value in DECILES.items()
    ]
    rows = _select(f"SELECT *, {', '.join(deciles)} FROM rows", scores)
    made_at = pa.array([scored_at] * rows.num_rows, pa.timestamp("us", "UTC"))
    return _shaped(USER_SCORES, rows.append_column("scored_at", made_at))


def user_recommendations(scores: pa.Table) -> pa.Table:
    """One row for each user and recommended item, rank 1 first."""
    rows = _select(
        """
        SELECT cutoff, user_id, unnest(range(1, len(recommended_item_ids) + 1)) AS rank,
               unnest(recommended_item_ids) AS item_id, unnest(recommended_scores) AS score
        FROM rows
        """,
        scores,
    )
    return _shaped(USER_RECOMMENDATIONS, rows)


def item_demand(demand: pa.Table) -> pa.Table:
    """The forecasts as they are."""
    return _shaped(ITEM_DEMAND, demand)


def category_demand(by_category: pa.Table) -> pa.Table:
    """The forecasts as they are."""
    return _shaped(CATEGORY_DEMAND, by_category)


def _select(statement: str, rows: pa.Table) -> pa.Table:
    """Ask a question in SQL of an Arrow table called ``rows``."""
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        return connection.sql(statement).to_arrow_table()


def _shaped(table: Table, rows: pa.Table) -> pa.Table:
    """In the order of the key, so that whoever asks for one user reads few blocks."""
    shaped = rows.select(table.column_names).cast(arrow_schema(table))
    return _select(f"SELECT * FROM rows ORDER BY {', '.join(table.key)}", shaped).cast(
        arrow_schema(table)
    )
