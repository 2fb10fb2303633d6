"""Real shopping logs as the columns that sessions and sequences are made of, read by DuckDB."""

import os

import duckdb
import pytest

from jobs.write_raw import ZONE, package_tables

_COMPLETE_JOURNEY = f"""
    WITH lines AS (
        SELECT *, transaction_timestamp AT TIME ZONE 'UTC' AT TIME ZONE '{ZONE}' AS local_time
        FROM read_parquet(?)
    )
    SELECT CAST(household_id AS VARCHAR) AS user_id,
           local_time AT TIME ZONE '{ZONE}' AS event_time,
           basket_id || '-' || product_id AS event_id,
           CAST(basket_id AS VARCHAR) AS session_hint,
           CAST(product_id AS VARCHAR) AS item_id,
           'purchase' AS event_type,
           sales_value AS amount,
           CAST(local_time AS DATE) AS ingest_date,
           CAST(quantity AS DOUBLE) AS quantity,
           CAST(NULL AS VARCHAR) AS text
    FROM lines WHERE local_time < CAST(? AS DATE)
"""
_REES46 = """
    SELECT DISTINCT
           CAST(user_id AS VARCHAR) AS user_id,
           strptime(replace(event_time, ' UTC', ''), '%Y-%m-%d %H:%M:%S') AT TIME ZONE 'UTC'
               AS event_time,
           md5(concat_ws('|', event_time, event_type, product_id, price, user_id, user_session))
               AS event_id,
           user_session AS session_hint,
           CAST(product_id AS VARCHAR) AS item_id,
           event_type,
           CAST(price AS DOUBLE) AS amount,
           DATE '2019-10-01' AS ingest_date,
           CAST(NULL AS DOUBLE) AS quantity,
           CAST(NULL AS VARCHAR) AS text
    FROM read_csv(?, header = true, delim = ',', quote = '"', escape = '"', all_varchar = true,
                  ignore_errors = true)  -- the file ends in the middle of its last line
"""


def complete_journey(until="2018-01-02"):
    """The lines of the receipts before a day of New York, as Arrow."""
    transactions, _ = package_tables()
    return _arrow(_COMPLETE_JOURNEY, [str(transactions), until])


def rees46():
    """The file that the variable REES46 names; without it the test is skipped."""
    file = os.environ.get("REES46")
    if not file:
        pytest.skip("REES46 names no file: make exact REES46=…/rees46-2019-10-01.csv.gz")
    return _arrow(_REES46, [file])


def _arrow(query, parameters):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection.sql(query, params=parameters).to_arrow_table()
