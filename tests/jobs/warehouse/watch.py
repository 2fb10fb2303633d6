"""A reader of its own process: looks at the latest night again and again, and writes what it saw.

    python tests/jobs/warehouse/watch.py URI STOP_FILE

Each look is one statement over the four `_latest` views, and one line of JSON on stdout: rows of
table, cutoff, share, number of rows. It ends when the file STOP_FILE is there.
"""

import json
import sys
import time
from pathlib import Path

import duckdb
import psycopg

LOOK = """
SELECT 'user_scores', CAST(cutoff AS VARCHAR), purchase_probability_7d, count(*)
FROM user_scores_latest GROUP BY 2, 3
UNION ALL
SELECT 'user_recommendations', CAST(cutoff AS VARCHAR), score, count(*)
FROM user_recommendations_latest GROUP BY 2, 3
UNION ALL
SELECT 'item_demand', CAST(cutoff AS VARCHAR), expected_units, count(*)
FROM item_demand_latest GROUP BY 2, 3
UNION ALL
SELECT 'category_demand', CAST(cutoff AS VARCHAR), expected_units, count(*)
FROM category_demand_latest GROUP BY 2, 3
ORDER BY 1, 2, 3
"""


def look(uri: str, kept: list[psycopg.Connection]) -> list[tuple]:
    if "://" not in uri:
        with duckdb.connect(uri, read_only=True) as file:
            return file.execute(LOOK).fetchall()
    if not kept or kept[0].closed:
        kept[:] = [psycopg.connect(uri, autocommit=True, prepare_threshold=3)]
    return kept[0].execute(LOOK).fetchall()


if __name__ == "__main__":
    uri, stop = sys.argv[1], Path(sys.argv[2])
    kept: list[psycopg.Connection] = []
    while not stop.exists():
        try:
            print(json.dumps(look(uri, kept)), flush=True)
        except psycopg.OperationalError:  # the server is down: no answer is no wrong answer
            kept.clear()
        time.sleep(0.01)
