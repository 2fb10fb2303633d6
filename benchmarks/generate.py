"""Made-up events of a large shop: many users, few of them busy; sessions of clicks; 30 days.

Every value follows from the seed, so that both sides of a ratio, and every run, see the same rows.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FIRST = date(2024, 3, 1)
DAYS = 30
ROW_GROUP = 500_000
_DAY = 86_400_000_000  # microseconds
_COLUMNS = """
SELECT
    printf('%016x', ((n + 1) * 11400714819323198485::HUGEINT % 18446744073709551616)::UBIGINT)
        AS event_id,
    'u' || u AS user_id,
    'i' || i AS item_id,
    ['view', 'cart', 'purchase'][kind + 1] AS event_type,
    t AS event_time,
    'c' || (i % 500) AS category,
    price,
    1.0::DOUBLE AS quantity,
    price AS amount,
    NULL::VARCHAR AS session_hint,
    NULL::VARCHAR AS text,
    MAP {}::MAP(VARCHAR, VARCHAR) AS properties,
    day::DATE AS ingest_date
FROM made
"""


def write_events(
    folder: Path,
    *,
    num_events: int,
    num_users: int,
    busy_events: int = 0,
    num_items: int = 100_000,
    seed: int = 7,
) -> list[str]:
    """A Parquet file for each ingestion day, in the columns of `events`. Returns the paths.

    Activity follows Zipf's law with exponent 0.8; ``busy_events`` of them are of one user more.
    """
    rng = np.random.default_rng(seed)
    weights = np.arange(1, num_users + 1, dtype=np.float64) ** -0.8
    cumulative = np.cumsum(weights) / weights.sum()
    paths = []
    per_day = num_events // DAYS
    for day in range(DAYS):
        made = _one_day(rng, day, per_day, cumulative, num_items, busy_events // DAYS)
        connection = duckdb.connect()
        connection.register("made", made)
        rows = connection.sql(_COLUMNS).to_arrow_table().take(rng.permutation(len(made)))
        path = folder / f"partition={FIRST + timedelta(days=day)}" / "part-0.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(rows, path, compression="zstd", row_group_size=ROW_GROUP)
        paths.append(str(path))
    return paths


def _one_day(
    rng: np.random.Generator,
    day: int,
    num_events: int,
    cumulative: np.ndarray,
    num_items: int,
    busy_events: int,
) -> pa.Table:
    sizes = rng.geometric(1 / 7, size=num_events // 4)
    ends = np.cumsum(sizes)
    sizes = sizes[: int(np.searchsorted(ends, num_events)) + 1]
    sizes[-1] -= sizes.sum() - num_events
    first = np.cumsum(sizes) - sizes
    # A rank's user is anyone: the busiest are not neighbours.
    users = np.searchsorted(cumulative, rng.random(len(sizes))) * 2_654_435_761 % len(cumulative)
    steps = rng.exponential(90e6, num_events).astype(np.int64)
    steps[first] = rng.integers(0, _DAY, len(sizes))
    total = np.cumsum(steps)
    since = total - np.repeat(total[first] - steps[first], sizes)
    user = np.repeat(users, sizes)
    if busy_events:
        user[rng.choice(num_events, busy_events, replace=False)] = len(cumulative)
    begin = int(datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC).timestamp()) * 1_000_000
    times = np.minimum(since, 2 * _DAY - 1) + begin + day * _DAY
    return pa.table(
        {
            "n": np.arange(num_events, dtype=np.int64) + day * num_events,
            "u": user,
            "i": (num_items * rng.random(num_events) ** 2.2).astype(np.int64),
            "kind": np.searchsorted([0.85, 0.95], rng.random(num_events)),
            "t": pa.array(times, pa.timestamp("us", tz="UTC")),
            "price": np.round(np.exp(rng.normal(2.5, 1, num_events)), 2),
            "day": pa.array([FIRST + timedelta(days=day)] * num_events, pa.date32()),
        }
    )
