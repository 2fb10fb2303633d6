"""The written rule by which a candidate may become champion. Pure: evidence in, verdict out.

``RULE`` is the only place that says what is compared with what; the text that people read, the
verdict and the report are all made from it. Evidence that is missing or not a number never passes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

HIGHER_IS_BETTER = {
    "auroc": True,
    "average_precision": True,
    "brier": False,
    "log_loss": False,
    "ece": False,
    "mae": False,
    "rmse": False,
    "total_bias": False,  # of its size
    "ndcg@10": True,
    "recall@10": True,
}


@dataclass(frozen=True)
class HeadRule:
    """What one head must show. ``naive``: baseline → the measure it is met on."""

    title: str
    measure: str  # against the strong baseline and the champion
    naive: Mapping[str, str]
    strong: str
    is_probability: bool


# A constant cannot rank, so the base rate is met on the Brier score, which a constant can win.
RULE: Mapping[str, HeadRule] = {
    "purchase": HeadRule(
        "Purchase", "auroc", {"base_rate": "brier", "recency": "auroc"}, "lightgbm", True
    ),
    "churn": HeadRule(
        "Churn", "auroc", {"base_rate": "brier", "recency": "auroc"}, "lightgbm", True
    ),
    "spend": HeadRule("Spend", "mae", {"constant": "mae", "persistence": "mae"}, "lightgbm", False),
    "next_item": HeadRule(
        "Next items", "ndcg@10", {"popularity": "ndcg@10"}, "personal_frequency", False
    ),
}


NAMES = {
    "base_rate": "the base rate",
    "recency": "the recency rule",
    "constant": "the best constant",
    "persistence": "the window before",
    "popularity": "popularity",
    "lightgbm": "LightGBM",
    "lightgbm_mean": "LightGBM for the mean",  # told beside the rule, which does not ask for it
    "personal_frequency": "personal frequency",
    "champion": "the champion",
}


@dataclass(frozen=True)
class Comparison:
    """One candidate beside one other on the same rows; difference turned so that more is better."""

    head: str
    measure: str
    against: str  # a baseline, or "champion"
    value: float
    against_value: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Check:
    """One behavioural test and what it found."""

    name: str
    passed: bool
    found: str


@dataclass(frozen=True)
class Evidence:
    """All that is known of one candidate when it is judged."""

    version: str
    comparisons: Sequence[Comparison]
    calibration_errors: Mapping[str, float]  # head → expected calibration error
    checks: Sequence[Check]
    has_champion: bool


@dataclass(frozen=True)
class Verdict:
    version: str
    admitted: bool
    reasons: tuple[str, ...]  # why refused, or what each head showed
    gain: float  # how much better than the strong baselines; NaN where unknown
    gains: Mapping[str, float] = field(default_factory=dict)  # head → gain


def judge(evidence: Evidence, *, confidence: float, max_calibration_error: float) -> Verdict:
    """Apply the rule. Every reason names head, measure, numbers, interval and what was expected."""
    passed: list[str] = []
    refused: list[str] = []
    for head, rule in RULE.items():
        for against, measure, kind in _opponents(rule, has_champion=evidence.has_champion):
            found = _find(evidence.comparisons, head, against, measure)
            holds, said = _meets(found, head, against, measure, kind, confidence=confidence)
            (passed if holds else refused).append(said)
        if rule.is_probability:
            error = evidence.calibration_errors.get(head, math.nan)
            holds = error <= max_calibration_error
            said = (
                f"{head}: expected calibration error {_number(error)}, "
                f"expected at most {max_calibration_error:g}"
            )
            (passed if holds else refused).append(said)
    if not evidence.checks:
        refused.append("behaviour: no behavioural test was run, expected all to pass")
    for check in evidence.checks:
        said = f"behaviour: {check.name}: {check.found}"
        (passed if check.passed else refused).append(said)
    gains = {head: _gain(evidence.comparisons, head) for head in RULE}
    return Verdict(
        version=evidence.version,
        admitted=not refused,
        reasons=tuple(refused or passed),
        gain=sum(gains.values()) / len(gains),
        gains=gains,
    )


def best(verdicts: Sequence[Verdict], *, champion: str | None) -> Verdict | None:
    """The admitted one with the greatest gain; on equal gain the champion, then the older version.

    The champion competes like any other where it was evaluated on the same cutoffs.
    """
    admitted = [verdict for verdict in verdicts if verdict.admitted]
    if not admitted:
        return None
    return min(
        admitted,
        key=lambda verdict: (-verdict.gain, verdict.version != champion, _age(verdict.version)),
    )


def rule_text(*, confidence: float, max_calibration_error: float) -> list[str]:
    """The rule in words, made from ``RULE``: one line for each head, then what holds for all."""
    lines = []
    for head, rule in RULE.items():
        naive = " and ".join(
            f"better than {NAMES[name]} on {measure}" for name, measure in rule.naive.items()
        )
        line = (
            f"{head}: {naive}; not significantly worse than {NAMES[rule.strong]} "
            f"nor than the champion on {rule.measure}"
        )
        if rule.is_probability:
            line += f"; expected calibration error at most {max_calibration_error:g}"
        lines.append(line + ".")
    return [
        *lines,
        f"Better: the paired {confidence:.0%} interval of the difference, resampled by user, "
        "lies above 0. Not significantly worse: the upper end of that interval is at least 0.",
        "Every behavioural test passes. What was not measured does not pass.",
        "Of several admitted versions, the greatest gain becomes champion: the mean over the heads "
        "of the share of the strong baseline's error that the version takes away "
        "(error: 1 - auroc, 1 - ndcg@10, mae). On equal gain the champion stays.",
    ]


Kind = Literal["naive", "strong"]


def _opponents(rule: HeadRule, *, has_champion: bool) -> list[tuple[str, str, Kind]]:
    opponents: list[tuple[str, str, Kind]] = [
        (name, measure, "naive") for name, measure in rule.naive.items()
    ]
    opponents.append((rule.strong, rule.measure, "strong"))
    if has_champion:
        opponents.append(("champion", rule.measure, "strong"))
    return opponents


def _find(
    comparisons: Sequence[Comparison], head: str, against: str, measure: str
) -> Comparison | None:
    wanted = (head, against, measure)
    return next((c for c in comparisons if (c.head, c.against, c.measure) == wanted), None)


def _meets(
    found: Comparison | None,
    head: str,
    against: str,
    measure: str,
    kind: Kind,
    *,
    confidence: float,
) -> tuple[bool, str]:
    expected = (
        f"better than {NAMES[against]}: an interval above 0"
        if kind == "naive"
        else f"not significantly worse than {NAMES[against]}: an interval reaching 0 or more"
    )
    if found is None:
        return False, f"{head}: {measure} was not compared, expected {expected}"
    holds = found.low > 0 if kind == "naive" else found.high >= 0
    # A comparison with NaN is False, so what could not be measured is refused.
    holds = holds and math.isfinite(found.difference)
    return holds, (
        f"{head}: {measure} {_number(found.value)} against {_number(found.against_value)} of "
        f"{NAMES[against]}, gain {found.difference:+.4g} with {confidence:.0%} interval "
        f"[{found.low:+.4g}, {found.high:+.4g}], expected {expected}"
    )


def _gain(comparisons: Sequence[Comparison], head: str) -> float:
    """The share of the strong baseline's error that is taken away."""
    rule = RULE[head]
    found = _find(comparisons, head, rule.strong, rule.measure)
    if found is None:
        return math.nan
    higher = HIGHER_IS_BETTER[rule.measure]
    error = 1 - found.against_value if higher else found.against_value
    return found.difference / error if error > 0 else min(found.difference, 0.0)


def _age(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdecimal() else (0, version)


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "nothing"
