"""The written rule."""

import dataclasses
import math

import pytest

from models.judging.gate import Check, Comparison, Evidence, Verdict, best, judge, rule_text
from tests.models.conftest import RULE

HEADS = RULE.by_head


def comparison(head: str, measure: str, against: str, *, low: float, high: float) -> Comparison:
    difference = (low + high) / 2
    return Comparison(head, measure, against, 0.8 + difference, 0.8, difference, low, high)


def evidence(*, has_champion: bool = True, **changed: Comparison) -> Evidence:
    """A candidate that does all that the rule asks; ``changed`` replaces ``<head>_<against>``."""
    comparisons = []
    for head, rule in HEADS.items():
        for against, measure in rule.better_than.items():
            comparisons.append(comparison(head, measure, against, low=0.01, high=0.03))
        for against in (rule.not_worse_than, "champion"):
            comparisons.append(comparison(head, rule.measure, against, low=-0.01, high=0.02))
    kept = [changed.pop(f"{c.head}_{c.against}", c) for c in comparisons]
    return Evidence(
        version="7",
        comparisons=kept,
        calibration_errors={"purchase": 0.01, "churn": 0.02},
        checks=[Check("the future does not matter", True, "scores differ by at most 0")],
        has_champion=has_champion,
    )


def test_who_does_all_that_is_asked_is_admitted():
    """Better than the naive, not significantly worse than the strong, calibrated, well behaved."""
    verdict = judge(evidence(), RULE)

    assert verdict.admitted
    assert len(verdict.reasons) == 7 + 4 + 4 + 2 + 1  # naive, strong, champion, calibration, checks


@pytest.mark.parametrize("head", list(HEADS))
def test_one_worse_head_refuses_the_whole_candidate_and_is_named(head):
    """Heads are not traded against one another."""
    rule = HEADS[head]
    worse = comparison(head, rule.measure, rule.not_worse_than, low=-0.05, high=-0.01)

    verdict = judge(evidence(**{f"{head}_{rule.not_worse_than}": worse}), RULE)

    assert not verdict.admitted
    assert len(verdict.reasons) == 1
    assert verdict.reasons[0].startswith(f"{head}: {rule.measure} ")


@pytest.mark.parametrize("head", list(HEADS))
def test_a_draw_with_a_naive_baseline_is_not_enough(head):
    """What a rule of thumb may equal is not worth running."""
    against, measure = next(iter(HEADS[head].better_than.items()))
    draw = comparison(head, measure, against, low=0.0, high=0.04)

    verdict = judge(evidence(**{f"{head}_{against}": draw}), RULE)

    assert not verdict.admitted


def test_a_reason_names_head_measure_numbers_interval_and_what_was_expected():
    """Who reads a refusal needs nothing else to understand it."""
    worse = Comparison("churn", "auroc", "lightgbm", 0.81, 0.86, -0.05, -0.07, -0.03)

    verdict = judge(evidence(churn_lightgbm=worse), RULE)

    assert verdict.reasons == (
        "churn: auroc 0.81 against 0.86 of LightGBM, gain -0.05 with 95% interval [-0.07, -0.03], "
        "expected not significantly worse than LightGBM: an interval reaching 0 or more",
    )


def test_a_model_worse_than_the_champion_is_refused():
    """A new version never replaces a better one."""
    worse = comparison("spend", "mae", "champion", low=-3.0, high=-1.0)

    assert not judge(evidence(spend_champion=worse), RULE).admitted
    assert judge(evidence(spend_champion=worse, has_champion=False), RULE).admitted


def test_a_probability_that_does_not_come_true_is_refused():
    """Ranking well is not enough: the tables promise probabilities."""
    said = dataclasses.replace(evidence(), calibration_errors={"purchase": 0.0501, "churn": 0.02})

    verdict = judge(said, RULE)

    assert verdict.reasons == (
        "purchase: expected calibration error 0.0501, expected at most 0.05",
    )


def test_a_failed_behavioural_test_is_refused():
    """A model that sees the future may not answer, however good it looks."""
    failed = Check("the future does not matter", False, "scores differ by at most 0.3")

    verdict = judge(dataclasses.replace(evidence(), checks=[failed]), RULE)

    assert verdict.reasons == (
        "behaviour: the future does not matter: scores differ by at most 0.3",
    )


def test_what_was_not_measured_does_not_pass():
    """Missing and undefined evidence refuses: nothing is admitted by accident."""
    nothing = Evidence("7", comparisons=[], calibration_errors={}, checks=[], has_champion=True)
    undefined = comparison("churn", "auroc", "recency", low=math.nan, high=math.nan)

    assert len(judge(nothing, RULE).reasons) == 7 + 4 + 4 + 2 + 1
    assert not judge(evidence(churn_recency=undefined), RULE).admitted


def verdict(version: str, gain: float, *, admitted: bool = True) -> Verdict:
    return Verdict(version, admitted, (), gain)


def test_the_greatest_gain_among_the_admitted_wins():
    """A refused version never wins, however great its gain."""
    found = best(
        [verdict("1", 0.1), verdict("2", 0.3), verdict("3", 0.9, admitted=False)], champion=None
    )

    assert found is not None
    assert found.version == "2"


def test_on_equal_gain_the_champion_stays_and_else_the_older_version_wins():
    """A change needs a reason."""
    equal = [verdict("10", 0.2), verdict("9", 0.2)]

    assert best(equal, champion="10") == equal[0]
    assert best(equal, champion=None) == equal[1]


def test_none_admitted_is_nobody():
    """There is no second best."""
    assert best([verdict("1", 0.5, admitted=False)], champion="1") is None


def test_the_gain_is_the_share_of_the_strong_baselines_error_that_is_taken_away():
    """0.80 → 0.81 AUROC takes away a twentieth of the error; 10 less of 50 a fifth."""
    found = judge(
        evidence(
            purchase_lightgbm=Comparison("purchase", "auroc", "lightgbm", 0.81, 0.8, 0.01, 0, 0.1),
            spend_lightgbm=Comparison("spend", "mae", "lightgbm", 40, 50, 10, 5, 15),
        ),
        RULE,
    )

    assert found.gains["purchase"] == pytest.approx(0.05)
    assert found.gains["spend"] == pytest.approx(0.2)


def test_the_text_of_the_rule_is_made_from_the_rule():
    """What people read is what is applied: every head, opponent and limit is in it."""
    text = "\n".join(rule_text(RULE))

    assert text.splitlines()[0] == (
        "purchase: better than the base rate on brier and better than the recency rule on auroc; "
        "not significantly worse than LightGBM nor than the champion on auroc; "
        "expected calibration error at most 0.05."
    )
    assert all(f"{head}: " in text for head in HEADS)
    assert "95%" in text
    assert "About 200,000 users are judged" in text
