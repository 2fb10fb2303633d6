"""Measures, verdicts and tables over the same rows."""

from dataclasses import replace

import numpy as np
import pytest

from models.judging.contestants import HeadRows
from models.judging.evaluation import compare_all, evaluate
from models.judging.gate import Check
from models.judging.statistics import point

SOUND = [Check("sound", True, "scores differ by at most 0")]
NUM_USERS = 400  # of the fixture, with two rows each


@pytest.fixture
def judged(gate):
    def judged(rows: dict[str, HeadRows], champion: str | None = None, **checks):
        return evaluate(rows, checks, champion=champion, gate=gate)

    return judged


def test_a_candidate_as_good_as_the_strong_baselines_is_admitted(head_rows, judged):
    """As good is not significantly worse."""
    document = judged(head_rows({"1": 1.0}), **{"1": SOUND})

    assert document["verdicts"]["1"]["admitted"]
    assert document["verdicts"]["1"]["gain"] == pytest.approx(0.0)


def test_a_worse_candidate_is_refused_beside_a_good_one(head_rows, judged):
    """Each version is judged by itself, on the same rows."""
    document = judged(head_rows({"1": 1.0, "2": 0.2}), **{"1": SOUND, "2": SOUND})

    assert document["verdicts"]["1"]["admitted"]
    assert not document["verdicts"]["2"]["admitted"]


def test_a_head_that_was_left_out_is_told_and_asks_for_nothing(head_rows, gate):
    """It refuses nobody and counts in no gain; without a reason it is missing, and refuses."""
    rows = head_rows({"1": 1.0})
    del rows["spend"]

    told = evaluate(rows, {"1": SOUND}, champion=None, gate=gate, left_out={"spend": "left out"})
    missing = evaluate(rows, {"1": SOUND}, champion=None, gate=gate)

    assert told["verdicts"]["1"]["admitted"]
    assert "spend: left out" in told["verdicts"]["1"]["reasons"]
    assert set(told["verdicts"]["1"]["gains"]) == {"purchase", "churn", "next_item"}
    assert {line["head"] for line in told["table"]} == set(rows)
    assert not missing["verdicts"]["1"]["admitted"]


def test_one_broken_head_refuses_the_candidate_with_its_reason(head_rows, judged):
    """A candidate whose churn head says the same of everyone is refused for churn alone."""
    rows = head_rows({"1": 1.0})
    broken = dict(rows["churn"].scores)
    broken["1"] = np.full(2 * NUM_USERS, rows["churn"].labels.mean())
    churn = rows["churn"]
    rows["churn"] = replace(churn, scores=broken)

    verdict = judged(rows, **{"1": SOUND})["verdicts"]["1"]

    assert not verdict["admitted"]
    assert {reason.split(":")[0] for reason in verdict["reasons"]} == {"churn"}
    assert any("auroc 0.5 against" in reason for reason in verdict["reasons"])


def test_a_probability_that_is_too_sure_is_refused(head_rows, judged):
    """The same ranking, with probabilities pushed to the ends, is not calibrated."""
    rows = head_rows({"1": 1.0})
    purchase = rows["purchase"]
    sure = {**purchase.scores, "1": (purchase.scores["1"] > 0.5) * 0.9 + 0.1 * purchase.scores["1"]}
    rows["purchase"] = replace(purchase, scores=sure)

    reasons = judged(rows, **{"1": SOUND})["verdicts"]["1"]["reasons"]

    assert any(reason.startswith("purchase: expected calibration error 0.") for reason in reasons)


def test_the_champion_compared_with_itself_differs_by_nothing(head_rows, judged):
    """It is judged like any other, and is never worse than itself."""
    document = judged(head_rows({"1": 1.0}), champion="1", **{"1": SOUND})
    against = [c for c in document["comparisons"]["1"] if c["against"] == "champion"]

    assert {(c["difference"], c["low"], c["high"]) for c in against} == {(0.0, 0.0, 0.0)}
    assert document["verdicts"]["1"]["admitted"]


def test_every_measure_of_the_table_has_every_contestant(head_rows, judged):
    """One line a measure; the measure that decides has an interval for each contestant."""
    rows = head_rows({"1": 1.0})
    table = judged(rows, **{"1": SOUND})["table"]

    assert [line["head"] for line in table if line["decides"]] == list(rows)
    for line in table:
        assert set(line["values"]) == set(rows[line["head"]].contestants)
        if line["decides"]:
            assert all(
                low <= line["values"][name] <= high
                for name, (low, high) in line["intervals"].items()
            )


def test_the_same_evaluation_twice_says_the_same(head_rows, gate):
    """No draw is left to chance."""
    rows = head_rows({"1": 0.9})
    first, second = (compare_all(rows["spend"], ["1"], champion=None, gate=gate) for _ in range(2))

    assert first == second


def test_an_absolute_error_is_of_the_median_and_a_total_of_the_mean(head_rows):
    """Who says both is measured on the one that the measure asks for."""
    rows = head_rows({"1": 1.0})["spend"]
    told = replace(rows, medians={"1": rows.labels})

    assert point(told, "mae", "1") == 0.0
    assert point(told, "mae", "lightgbm") == point(rows, "mae", "lightgbm") > 0.0
    assert point(told, "total_bias", "1") == point(rows, "total_bias", "1")
    few = told.only(told.users < 3)
    assert len(few.medians["1"]) == len(few.labels)
    assert point(few, "mae", "1") == 0.0


def test_no_rows_have_no_value(head_rows):
    """An empty slice is not a perfect one."""
    rows = head_rows({"1": 1.0})["purchase"]

    assert np.isnan(point(rows.only(rows.num_instants > 10**6), "auroc", "1"))
