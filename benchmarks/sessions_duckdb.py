"""The sessions job in DuckDB: one side of `benchmarks/spark.py`.

python -m benchmarks.sessions_duckdb EVENTS OUTPUT
"""

import json
import sys
import time
from pathlib import Path

import duckdb

GAP = "INTERVAL 30 MINUTE"
ENRICHED = f"""
COPY (
    WITH marked AS (
        SELECT *,
            row_number() OVER by_time AS place,
            coalesce(event_time - lag(event_time) OVER by_time > {GAP}, true) AS starts
        FROM read_parquet('{{events}}/**/*.parquet')
        WINDOW by_time AS (PARTITION BY user_id ORDER BY event_time, event_id)
    ), placed AS (
        SELECT *,
            max(CASE WHEN starts THEN place END) OVER so_far AS first_place,
            last_value(CASE WHEN starts THEN event_id END IGNORE NULLS) OVER so_far AS session_id,
            last_value(CASE WHEN starts THEN event_time END IGNORE NULLS) OVER so_far AS start_time
        FROM marked
        WINDOW so_far AS (PARTITION BY user_id ORDER BY place ROWS UNBOUNDED PRECEDING)
    )
    SELECT session_id, (place - first_place + 1)::INT AS position, event_id, user_id, item_id,
        event_type, event_time, category, price, quantity, amount, start_time::DATE AS session_date
    FROM placed
) TO '{{output}}/session_events.parquet' (FORMAT parquet, COMPRESSION zstd)
"""
SESSIONS = """
COPY (
    SELECT session_id, any_value(user_id) AS user_id, min(event_time) AS start_time,
        max(event_time) AS end_time, count(*) AS num_events, count(DISTINCT item_id) AS num_items,
        (coalesce(
            sum(round(coalesce(amount, 0) * 10000)::BIGINT) FILTER (event_type = 'purchase'), 0
        ) / 10000)::DOUBLE AS spend,
        bool_or(event_type = 'purchase' AND coalesce(amount, 1) > 0) AS is_converted,
        any_value(session_date) AS session_date
    FROM read_parquet('{output}/session_events.parquet')
    GROUP BY session_id
) TO '{output}/sessions.parquet' (FORMAT parquet, COMPRESSION zstd)
"""


def main(events: str, output: str) -> None:
    Path(output).mkdir(parents=True)
    connection = duckdb.connect()
    connection.sql("SET threads = 2; SET preserve_insertion_order = false; SET TimeZone = 'UTC'")
    begun = time.monotonic()
    for statement in (ENRICHED, SESSIONS):
        connection.sql(statement.format(events=events, output=output))
    print(json.dumps({"seconds": round(time.monotonic() - begun, 2)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
