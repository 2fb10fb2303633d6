"""Slices of the rows that were asked about: a mean can hide who is served badly.

By history: new, occasional and frequent users; everybody who is asked has come before the cutoff.
By category: the one that a user bought most in before it; the commonest ones apart, all others
together.

P rows (a user at a cutoff).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from models.judging.comparison import Resamples, compare
from models.judging.contestants import SEED, HeadRows
from models.judging.rule import HIGHER_IS_BETTER, GateRule
from models.judging.statistics import base_rate, point, statistic
from models.sequences.history import Bools

# A user is new, occasional or frequent by the number of instants (baskets) before the cutoff.
HISTORY: Mapping[str, tuple[int, int]] = {
    "new": (1, 10),
    "occasional": (10, 50),
    "frequent": (50, 1 << 60),
}
NUM_CATEGORIES = 5  # told apart
OTHERS = "all other categories"


def slices(rows: HeadRows) -> Iterator[tuple[str, str, Bools]]:
    """Kind, name and (P,) mask of each; the slices of a kind share out all rows."""
    for name, (low, high) in HISTORY.items():
        yield "history", name, (rows.num_instants >= low) & (rows.num_instants < high)
    names, counts = np.unique(rows.favourites.astype(str), return_counts=True)
    commonest = names[np.lexsort((names, -counts))][:NUM_CATEGORIES]
    for name in commonest:
        yield "category", str(name), np.asarray(rows.favourites == name, dtype=bool)
    yield "category", OTHERS, ~np.isin(rows.favourites.astype(str), commonest)


def slice_table(
    rows: HeadRows, versions: Sequence[str], *, champion: str | None, gate: GateRule
) -> list[dict[str, Any]]:
    """One line for each slice: the measure that decides, and each version's paired intervals."""
    measure = gate.by_head[rows.head].measure
    lines = []
    for kind, name, mask in slices(rows):
        part = rows.only(mask)
        lines.append(
            {
                "head": rows.head,
                "metric": measure,
                "kind": kind,
                "slice": name,
                "rows": len(part.users),
                "users": len(np.unique(part.users)),
                "base_rate": base_rate(part),
                "values": {who: point(part, measure, who) for who in part.contestants},
                "comparisons": _compared(part, versions, champion=champion, gate=gate),
            }
        )
    return lines


def _compared(
    part: HeadRows, versions: Sequence[str], *, champion: str | None, gate: GateRule
) -> dict[str, dict[str, Any]]:
    """Version → strong baseline or champion → the paired difference; nothing of no rows."""
    if not len(part.users):
        return {}
    rule = gate.by_head[part.head]
    against = {rule.not_worse_than: rule.not_worse_than}
    if champion is not None:
        against["champion"] = champion
    _, users = np.unique(part.users, return_inverse=True)
    resamples = Resamples(users.astype(np.int64), num_bootstrap=gate.num_bootstrap, seed=SEED)
    drawn = {
        who: statistic(part, resamples, rule.measure, who)
        for who in sorted({*versions, *against.values()})
    }

    def paired(version: str, other: str) -> dict[str, float]:
        better = HIGHER_IS_BETTER[rule.measure]
        return vars(
            compare(
                drawn[version], drawn[other], higher_is_better=better, confidence=gate.confidence
            )
        )

    return {
        version: {opponent: paired(version, who) for opponent, who in against.items()}
        for version in versions
    }
