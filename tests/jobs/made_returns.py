"""Logs in which things come back: returns, corrections, orders cancelled at once, priced views."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from contracts.tables import EVENTS
from jobs.histories.fold_sequences import COLUMNS, fold_sequences, no_rows
from jobs.lake.column_types import arrow_schema

START = datetime(2017, 1, 1, 5, tzinfo=UTC)  # midnight in New York
DAYS = 320
MAX_EVENTS = 2048


def made_log(seed, *, num_users=5, orders=25):
    """Events as the lake holds them, as dictionaries; every amount has its sign."""
    rng = np.random.default_rng(seed)
    log = []

    def add(user, minutes, kind, item, quantity, amount):
        number = len(log)
        log.append(
            {
                "user_id": f"u{user}",
                "event_time": START + timedelta(minutes=int(minutes)),
                "event_id": f"e{rng.integers(10**9)}-{number}",
                "item_id": f"i{item}",
                "event_type": kind,
                "category": f"c{item % 3}",
                "quantity": quantity,
                "amount": amount,
                "text": None,
            }
        )

    for user in range(num_users):
        for _ in range(int(rng.integers(1, orders + 1))):
            minutes, item = int(rng.integers(0, DAYS * 1440)), rng.integers(9)
            quantity = float(rng.integers(1, 5))
            amount = round(float(rng.gamma(2.0, 20.0)), 2)
            add(user, minutes - 3, "view", item, None, amount / quantity)
            if rng.random() < 0.2:
                continue
            add(user, minutes, "purchase", item, quantity, None if rng.random() < 0.1 else amount)
            chance = rng.random()
            if chance < 0.25:  # cancelled within twelve minutes
                add(user, minutes + rng.integers(0, 12), "return", item, -quantity, -amount)
            elif chance < 0.5:  # brought back weeks later, more of it than was bought at times
                back = round(amount * float(rng.choice([0.5, 1.0, 2.0])), 2)
                add(user, minutes + rng.integers(1, 60 * 1440), "return", item, -quantity, -back)
            elif chance < 0.6:  # a correction: a purchase below 0
                add(user, minutes + rng.integers(0, 9 * 1440), "purchase", item, -1.0, -3.335)
    return log


def rows_of(log, *, max_events=MAX_EVENTS, money="net"):
    """The rows of `sequences` that such events make."""
    events = pa.Table.from_pylist(log, schema=arrow_schema(EVENTS, COLUMNS))
    return fold_sequences(
        no_rows(),
        events,
        cutoff=(START + timedelta(days=DAYS)).date(),
        max_events=max_events,
        gap_minutes=30,
        money=money,
    )
