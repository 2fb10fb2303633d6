"""Measures of every contestant on the same rows: values, paired intervals, slices, verdicts.

P rows (a user at a cutoff), R resamples of users.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.judging.comparison import Array, Interval, Resamples, compare
from models.judging.contestants import SEED, HeadRows
from models.judging.curves import amount_curves, probability_curves
from models.judging.gate import Check, Comparison, Evidence, judge, rule_text
from models.judging.rule import (
    HIGHER_IS_BETTER,
    MEASURES,
    NAMES,
    PROBABILITIES,
    GateRule,
    HeadRule,
    ProbabilityRule,
)
from models.judging.slices import slice_table
from models.judging.statistics import base_rate, point, statistic


def evaluate(
    rows: Mapping[str, HeadRows],
    checks: Mapping[str, Sequence[Check]],
    *,
    champion: str | None,
    gate: GateRule,
    left_out: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Measure and judge every version: the document that reports are made from, of plain values.

    A head may be ``left_out``, with the reason why; ``notes`` stand in every verdict.
    """
    compared = {
        head: compare_all(of_head, list(checks), champion=champion, gate=gate)
        for head, of_head in rows.items()
    }
    table = [
        row
        for head in rows
        for row in head_table(rows[head], gate.by_head[head], compared[head].values)
    ]
    verdicts = {
        version: judge(
            Evidence(
                version=version,
                comparisons=[c for head in rows for c in compared[head].comparisons[version]],
                calibration_errors={
                    head: point(of_head, "ece", version)
                    for head, of_head in rows.items()
                    if isinstance(gate.by_head[head], ProbabilityRule)
                },
                checks=checks[version],
                has_champion=champion is not None,
                left_out=left_out or {},
                notes=notes,
            ),
            gate,
        )
        for version in checks
    }
    document: dict[str, Any] = plain(
        {
            "rule": rule_text(gate),
            "gate": gate.model_dump(),
            "verdicts": {version: asdict(verdict) for version, verdict in verdicts.items()},
            "checks": {
                version: [asdict(check) for check in found] for version, found in checks.items()
            },
            "left_out": dict(left_out or {}),
            "table": table,
            "comparisons": {
                version: [asdict(c) for head in rows for c in compared[head].comparisons[version]]
                for version in checks
            },
            "slices": [
                row
                for of_head in rows.values()
                for row in slice_table(of_head, list(checks), champion=champion, gate=gate)
            ],
            "curves": {head: curves(of_head) for head, of_head in rows.items()},
        }
    )
    return document


def head_table(
    rows: HeadRows, rule: HeadRule, intervals: Mapping[str, Mapping[str, Interval]]
) -> list[dict[str, Any]]:
    """One line for each measure: every contestant's value, with its interval where it has one."""
    about = {
        "rows": len(rows.users),
        "users": len(np.unique(rows.users)),
        "base_rate": base_rate(rows),
        "cutoffs": [cutoff.isoformat() for cutoff in rows.cutoffs],
    }
    return [
        {
            "head": rows.head,
            "metric": measure,
            "higher_is_better": HIGHER_IS_BETTER[measure],
            "decides": measure == rule.measure,
            **about,
            "values": {name: point(rows, measure, name) for name in rows.contestants},
            "intervals": {
                name: [interval.low, interval.high]
                for name, interval in intervals.get(measure, {}).items()
            },
        }
        for measure in MEASURES[rows.head]
    ]


@dataclass(frozen=True)
class HeadComparisons:
    comparisons: Mapping[str, Sequence[Comparison]]  # version → with every other
    values: Mapping[str, Mapping[str, Interval]]  # measure → contestant → its own value


def compare_all(
    rows: HeadRows,
    versions: Sequence[str],
    *,
    champion: str | None,
    gate: GateRule,
) -> HeadComparisons:
    """Each version with each baseline and the champion, on the measures that the rule names."""
    rule = gate.by_head[rows.head]
    _, users = np.unique(rows.users, return_inverse=True)
    resamples = Resamples(users.astype(np.int64), num_bootstrap=gate.num_bootstrap, seed=SEED)
    against = {name: name for name in rows.contestants if name in NAMES}
    if champion is not None:
        against["champion"] = champion
    comparisons: dict[str, list[Comparison]] = {version: [] for version in versions}
    values: dict[str, dict[str, Interval]] = {}
    for measure in dict.fromkeys([rule.measure, *rule.better_than.values()]):
        found = {name: statistic(rows, resamples, measure, name) for name in rows.contestants}
        values[measure] = {name: spread(drawn, gate.confidence) for name, drawn in found.items()}
        for version in versions:
            for name, contestant in against.items():
                interval = compare(
                    found[version],
                    found[contestant],
                    higher_is_better=HIGHER_IS_BETTER[measure],
                    confidence=gate.confidence,
                )
                comparisons[version].append(
                    Comparison(
                        head=rows.head,
                        measure=measure,
                        against=name,
                        value=float(found[version][0]),
                        against_value=float(found[contestant][0]),
                        difference=interval.difference,
                        low=interval.low,
                        high=interval.high,
                    )
                )
    return HeadComparisons(comparisons, values)


def spread(drawn: Array, confidence: float) -> Interval:
    """A statistic's own value and interval."""
    return compare(drawn, np.zeros_like(drawn), higher_is_better=True, confidence=confidence)


def curves(rows: HeadRows) -> dict[str, Any]:
    """Contestant → curve → points."""
    if rows.head == "next_item":
        return {}
    draw = probability_curves if rows.head in PROBABILITIES else amount_curves
    return {name: draw(rows.labels, rows.scores[name]) for name in rows.contestants}


def plain(value: Any) -> Any:
    """The same with None for what is not a number, which JSON cannot write."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
