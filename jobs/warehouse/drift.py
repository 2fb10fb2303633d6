"""Have the scores moved since the night before? Population stability index over fixed bins.

PSI = sum over bins of (share - share before) * ln(share / share before). By custom 0.1 is worth a
look and 0.25 a change. The bins never move, so a night's counts are kept in the ledger and the next
night is compared with them. With few users chance alone moves the index: where nothing has changed
it is distributed as chi-square over B - 1 bins, times (1/N + 1/M) for N and M users (B. Yurdakul,
"Statistical Properties of Population Stability Index", Western Michigan University, 2018). So a
night has moved when the index is above both what is allowed and what chance explains.
"""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.tables import PUBLISHED, USER_SCORES, Table

NUM_BINS = 20
EDGES: dict[str, NDArray[np.float64]] = {  # by unit: the 19 lower ends of all bins but the first
    "0 to 1": np.linspace(0, 1, NUM_BINS + 1)[1:-1],
    "currency": np.geomspace(1, 1e6, NUM_BINS - 1),
}
CHANCE = 43.82  # chi-square with 19 degrees of freedom: one night in a thousand is above
LOOK_BACK_DAYS = 7  # a night longer ago is no night before
ASKED = "of those asked"
EMPTY = 0.5  # users that an empty bin counts as: its logarithm would be infinite

Counts = dict[str, list[int]]  # column → users in each bin


def distributions(table: Table, rows: pa.Table) -> Counts:
    """Counts of a night's scores; none of a table that holds no scores of users.

    A score that not every user is asked is counted among those who are, under a name that says so:
    a night of before, when all were counted, is not compared with it.
    """
    if table is not USER_SCORES:
        return {}
    return {
        f"{column.name} {ASKED}" if column.nullable else column.name: _counts(
            rows[column.name].drop_null().to_numpy(), EDGES[column.unit]
        )
        for column in table.columns
        if column.unit in EDGES
    }


def _counts(values: NDArray[np.float64], edges: NDArray[np.float64]) -> list[int]:
    """(N,), (B - 1,) -> B; a pass over the values for each edge, half the time of a search."""
    from_here = [len(values), *(int(np.count_nonzero(values >= edge)) for edge in edges), 0]
    return [here - above for here, above in pairwise(from_here)]


def check_drift(rows: pa.Table, before: Mapping[str, list[int]], *, max_psi: float) -> list[str]:
    """Each score that has moved since the night before, with the index."""
    failures = []
    for name, counts in distributions(USER_SCORES, rows).items():
        if not sum(before.get(name, ())) or not sum(counts):
            continue  # no user to compare, or none to compare with
        found = psi(counts, before[name])
        allowed = max(max_psi, CHANCE * (1 / sum(counts) + 1 / sum(before[name])))
        if found > allowed:
            failures.append(
                f"{name} has moved since the night before: a stability index of {found:.2f}, "
                f"expected at most {allowed:.2f} (audit.max_psi)"
            )
    return failures


def psi(counts: list[int], before: list[int]) -> float:
    """0 where the shares are the same, symmetric in its two arguments."""
    new, old = (np.maximum(some, EMPTY) / sum(some) for some in (counts, before))
    return float(((new - old) * np.log(new / old)).sum())


def previous_query(cutoff: date) -> tuple[str, tuple[object, ...]]:
    """What the ledger says of the newest night of the week before, with the values to bind."""
    return (
        "SELECT distributions FROM publish_ledger WHERE table_name = $1 AND outcome = $2 "
        "AND cutoff < $3 AND cutoff >= $4 ORDER BY cutoff DESC, published_at DESC LIMIT 1",
        (USER_SCORES.name, PUBLISHED, cutoff, cutoff - timedelta(days=LOOK_BACK_DAYS)),
    )


def previous_counts(rows: pa.Table) -> Counts:
    found: list[Counts] = [json.loads(text) for text in rows["distributions"].to_pylist()]
    return found[0] if found else {}
