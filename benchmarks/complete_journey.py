"""Complete Journey's receipts as `sequences`, without a lake: what the demo's night would read.

One event for each product of a basket, as `configs/sources/complete_journey.yaml` maps them; a
session is a basket, or a silence of more than half an hour.
"""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from models.config import LabelHorizons

ZONE = ZoneInfo("America/New_York")
HORIZONS = LabelHorizons(
    money="net", purchase_days=7, churn_days=28, churn_active_days=60, spend_days=28, items_days=7
)
END = datetime(2018, 1, 2, tzinfo=UTC)  # the year is over everywhere

# The package stores New York's wall clock as if it had been read in UTC and shifted back.
_SEQUENCES = """
    WITH events AS (
        SELECT CAST(t.household_id AS VARCHAR) AS user_id, CAST(t.product_id AS VARCHAR) AS item_id,
               t.basket_id, t.transaction_timestamp AS event_time,
               coalesce(p.product_category, '') AS category,
               CAST(t.quantity AS DOUBLE) AS quantity, CAST(t.sales_value AS DOUBLE) AS amount
        FROM read_parquet(?) AS t LEFT JOIN read_parquet(?) AS p USING (product_id)
        WHERE t.transaction_timestamp < ?
    ), cut AS (
        SELECT *, coalesce(
            basket_id != lag(basket_id) OVER ordered
            OR event_time > lag(event_time) OVER ordered + INTERVAL 30 MINUTE, true
        ) AS session_start
        FROM events
        WINDOW ordered AS (PARTITION BY user_id ORDER BY event_time, basket_id, item_id)
    )
    SELECT user_id,
           list(event_time ORDER BY event_time, basket_id, item_id) AS event_times,
           list(item_id ORDER BY event_time, basket_id, item_id) AS item_ids,
           list('purchase' ORDER BY event_time) AS event_types,
           list(category ORDER BY event_time, basket_id, item_id) AS categories,
           list(quantity ORDER BY event_time, basket_id, item_id) AS quantities,
           list(amount ORDER BY event_time, basket_id, item_id) AS amounts,
           list(session_start ORDER BY event_time, basket_id, item_id) AS session_starts,
           CAST(NULL AS VARCHAR[]) AS texts,
           count(*) AS lifetime_events, sum(greatest(amount, 0)) AS lifetime_spend,
           min(event_time) AS first_event_time
    FROM cut GROUP BY user_id ORDER BY user_id
"""


def complete_journey(folder: Path, *, before: datetime = END) -> pa.Table:
    """A row for each household seen before an instant, from the package's folder of Parquet files.

    Nothing from that instant on is in it.
    """
    files = [str(folder / name) for name in ("transactions.parquet", "products.parquet")]
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    rows: pa.Table = connection.sql(_SEQUENCES, params=[*files, before]).to_arrow_table()
    return rows
