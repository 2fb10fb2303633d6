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
from models.judging.gate import (
    HIGHER_IS_BETTER,
    NAMES,
    RULE,
    Check,
    Comparison,
    Evidence,
    judge,
    rule_text,
)
from models.metrics import expected_calibration_error
from models.sequences.matured import SLICES

MEASURES: Mapping[str, Sequence[str]] = {
    "purchase": ("auroc", "average_precision", "brier", "log_loss", "ece"),
    "churn": ("auroc", "average_precision", "brier", "log_loss", "ece"),
    "spend": ("mae", "rmse", "total_bias"),
    "next_item": ("ndcg@10", "recall@10"),
}


def statistic(rows: HeadRows, resamples: Resamples, measure: str, contestant: str) -> Array:
    """(R + 1,) of one measure: on the rows themselves, then on each resample."""
    if rows.head == "next_item":
        return resamples.mean(rows.scores[f"{measure}/{contestant}"])
    labels, scores = rows.labels, rows.scores[contestant]
    match measure:
        case "auroc":
            return resamples.auroc(labels, scores)
        case "average_precision":
            return resamples.average_precision(labels, scores)
        case "brier":
            return resamples.mean((scores - labels) ** 2)
        case "log_loss":
            p = np.clip(scores, 1e-7, 1 - 1e-7)
            return resamples.mean(-labels * np.log(p) - (1 - labels) * np.log1p(-p))
        case "mae":
            return resamples.mean(np.abs(scores - labels))
        case "rmse":
            return np.sqrt(resamples.mean((scores - labels) ** 2))
        case "total_bias":
            return resamples.ratio(scores - labels, labels)
        case _:
            raise AssertionError(f"no statistic for {measure}")


def point(rows: HeadRows, measure: str, contestant: str) -> float:
    """One measure on the rows themselves; NaN where it has no answer."""
    if not len(rows.users):
        return float("nan")
    if measure == "ece":
        return expected_calibration_error(rows.labels, rows.scores[contestant])
    alone = Resamples(np.zeros(len(rows.users), dtype=np.int64), num_bootstrap=0, seed=SEED)
    return float(statistic(rows, alone, measure, contestant)[0])


@dataclass(frozen=True)
class GateOptions:
    num_bootstrap: int
    confidence: float
    max_calibration_error: float


def evaluate(
    rows: Mapping[str, HeadRows],
    checks: Mapping[str, Sequence[Check]],
    *,
    champion: str | None,
    options: GateOptions,
) -> dict[str, Any]:
    """Measure and judge every version: the document that reports are made from, of plain values."""
    compared = {
        head: compare_all(
            of_head,
            list(checks),
            champion=champion,
            num_bootstrap=options.num_bootstrap,
            confidence=options.confidence,
        )
        for head, of_head in rows.items()
    }
    table = [row for head in rows for row in head_table(rows[head], compared[head].values)]
    verdicts = {
        version: judge(
            Evidence(
                version=version,
                comparisons=[c for head in rows for c in compared[head].comparisons[version]],
                calibration_errors={
                    head: point(of_head, "ece", version)
                    for head, of_head in rows.items()
                    if RULE[head].is_probability
                },
                checks=checks[version],
                has_champion=champion is not None,
            ),
            confidence=options.confidence,
            max_calibration_error=options.max_calibration_error,
        )
        for version in checks
    }
    document: dict[str, Any] = plain(
        {
            "rule": rule_text(
                confidence=options.confidence, max_calibration_error=options.max_calibration_error
            ),
            "gate": asdict(options),
            "verdicts": {version: asdict(verdict) for version, verdict in verdicts.items()},
            "checks": {
                version: [asdict(check) for check in found] for version, found in checks.items()
            },
            "table": table,
            "comparisons": {
                version: [asdict(c) for head in rows for c in compared[head].comparisons[version]]
                for version in checks
            },
            "slices": [row for head in rows for row in slice_table(rows[head])],
            "curves": {head: curves(of_head) for head, of_head in rows.items()},
        }
    )
    return document


def head_table(
    rows: HeadRows, intervals: Mapping[str, Mapping[str, Interval]]
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
            "decides": measure == RULE[rows.head].measure,
            **about,
            "values": {name: point(rows, measure, name) for name in rows.contestants},
            "intervals": {
                name: [interval.low, interval.high]
                for name, interval in intervals.get(measure, {}).items()
            },
        }
        for measure in MEASURES[rows.head]
    ]


def slice_table(rows: HeadRows) -> list[dict[str, Any]]:
    """The measure that decides, for new, occasional and frequent users apart."""
    measure = RULE[rows.head].measure
    lines = []
    for name, (low, high) in SLICES.items():
        part = rows.only((rows.num_instants >= low) & (rows.num_instants < high))
        lines.append(
            {
                "head": rows.head,
                "metric": measure,
                "slice": name,
                "rows": len(part.users),
                "users": len(np.unique(part.users)),
                "base_rate": base_rate(part),
                "values": {name: point(part, measure, name) for name in part.contestants},
            }
        )
    return lines


@dataclass(frozen=True)
class HeadComparisons:
    comparisons: Mapping[str, Sequence[Comparison]]  # version → with every other
    values: Mapping[str, Mapping[str, Interval]]  # measure → contestant → its own value


def compare_all(
    rows: HeadRows,
    versions: Sequence[str],
    *,
    champion: str | None,
    num_bootstrap: int,
    confidence: float,
) -> HeadComparisons:
    """Each version with each baseline and the champion, on the measures that the rule names."""
    rule = RULE[rows.head]
    _, users = np.unique(rows.users, return_inverse=True)
    resamples = Resamples(users.astype(np.int64), num_bootstrap=num_bootstrap, seed=SEED)
    against = {name: name for name in rows.contestants if name in NAMES}
    if champion is not None:
        against["champion"] = champion
    comparisons: dict[str, list[Comparison]] = {version: [] for version in versions}
    values: dict[str, dict[str, Interval]] = {}
    for measure in dict.fromkeys([rule.measure, *rule.naive.values()]):
        found = {name: statistic(rows, resamples, measure, name) for name in rows.contestants}
        values[measure] = {name: spread(drawn, confidence) for name, drawn in found.items()}
        for version in versions:
            for name, contestant in against.items():
                interval = compare(
                    found[version],
                    found[contestant],
                    higher_is_better=HIGHER_IS_BETTER[measure],
                    confidence=confidence,
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


def base_rate(rows: HeadRows) -> float:
    """Share of positives; of spend the mean; of items how many a buyer buys."""
    return float(rows.labels.mean()) if len(rows.labels) else float("nan")


def curves(rows: HeadRows) -> dict[str, Any]:
    """Contestant → curve → points."""
    if rows.head == "next_item":
        return {}
    draw = probability_curves if RULE[rows.head].is_probability else amount_curves
    return {name: draw(rows.labels, rows.scores[name]) for name in rows.contestants}


def plain(value: Any) -> Any:
    """The same with None for what is not a number, which JSON cannot write."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
