"""The gate: evidence of a candidate in, verdict out, by the rule of the configuration.

Pure. Evidence that is missing or not a number never passes, save of a head that was left out, which
is told with its reason.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from models.judging.rule import HIGHER_IS_BETTER, NAMES, GateRule, HeadRule, ProbabilityRule


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
    left_out: Mapping[str, str] = field(default_factory=dict)  # head → why no rule asks for it
    notes: Sequence[str] = ()  # what else has to be known of the judgement


@dataclass(frozen=True)
class Verdict:
    version: str
    admitted: bool
    reasons: tuple[str, ...]  # why refused, or what each head showed
    gain: float  # how much better than the strong baselines; NaN where unknown
    gains: Mapping[str, float] = field(default_factory=dict)  # head → gain
    notes: tuple[str, ...] = ()  # of the judgement itself: who was not in it


def judge(evidence: Evidence, gate: GateRule) -> Verdict:
    """Apply the rule. Every reason names head, measure, numbers, interval and what was expected."""
    passed: list[str] = []
    refused: list[str] = []
    asked = {head: rule for head, rule in gate.by_head.items() if head not in evidence.left_out}
    passed += [f"{head}: {why}" for head, why in evidence.left_out.items()]
    for head, rule in asked.items():
        for against, measure, kind in _opponents(rule, has_champion=evidence.has_champion):
            found = _find(evidence.comparisons, head, against, measure)
            holds, said = _meets(found, head, against, measure, kind, confidence=gate.confidence)
            (passed if holds else refused).append(said)
        if isinstance(rule, ProbabilityRule):
            error = evidence.calibration_errors.get(head, math.nan)
            holds = error <= rule.max_calibration_error
            said = (
                f"{head}: expected calibration error {_number(error)}, "
                f"expected at most {rule.max_calibration_error:g}"
            )
            (passed if holds else refused).append(said)
    if not evidence.checks:
        refused.append("behaviour: no behavioural test was run, expected all to pass")
    for check in evidence.checks:
        said = f"behaviour: {check.name}: {check.found}"
        (passed if check.passed else refused).append(said)
    gains = {head: _gain(evidence.comparisons, head, rule) for head, rule in asked.items()}
    return Verdict(
        version=evidence.version,
        admitted=not refused,
        reasons=tuple(refused or passed),
        gain=sum(gains.values()) / len(gains),
        gains=gains,
        notes=tuple(evidence.notes),
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


def rule_text(gate: GateRule) -> list[str]:
    """The rule in words: one line for each head, then what holds for all."""
    lines = []
    for head, rule in gate.by_head.items():
        naive = " and ".join(
            f"better than {NAMES[name]} on {measure}" for name, measure in rule.better_than.items()
        )
        line = (
            f"{head}: {naive}; not significantly worse than {NAMES[rule.not_worse_than]} "
            f"nor than the champion on {rule.measure}"
        )
        if isinstance(rule, ProbabilityRule):
            line += f"; expected calibration error at most {rule.max_calibration_error:g}"
        lines.append(line + ".")
    return [
        *lines,
        f"Better: the paired {gate.confidence:.0%} interval of the difference, resampled by user, "
        "lies above 0. Not significantly worse: the upper end of that interval is at least 0.",
        f"About {gate.judged_users:,} users are judged, the same every week; all of them where "
        "there are fewer.",
        "Every behavioural test passes. What was not measured does not pass, save spend in a log "
        "in which nothing was paid for.",
        "Of several admitted versions, the greatest gain becomes champion: the mean over the heads "
        "of the share of the strong baseline's error that the version takes away "
        "(error: 1 - auroc, 1 - ndcg@10, mae). On equal gain the champion stays.",
    ]


Kind = Literal["naive", "strong"]


def _opponents(rule: HeadRule, *, has_champion: bool) -> list[tuple[str, str, Kind]]:
    opponents: list[tuple[str, str, Kind]] = [
        (name, measure, "naive") for name, measure in rule.better_than.items()
    ]
    opponents.append((rule.not_worse_than, rule.measure, "strong"))
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


def _gain(comparisons: Sequence[Comparison], head: str, rule: HeadRule) -> float:
    """The share of the strong baseline's error that is taken away."""
    found = _find(comparisons, head, rule.not_worse_than, rule.measure)
    if found is None:
        return math.nan
    higher = HIGHER_IS_BETTER[rule.measure]
    error = 1 - found.against_value if higher else found.against_value
    return found.difference / error if error > 0 else min(found.difference, 0.0)


def _age(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdecimal() else (0, version)


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "nothing"
