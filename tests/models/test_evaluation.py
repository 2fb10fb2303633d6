"""Measures, verdicts and tables over the same rows."""

from datetime import date

import numpy as np
import pytest

from models.contestants import HeadRows
from models.evaluation import GateOptions, compare_all, evaluate, point
from models.gate import RULE, Check

OPTIONS = GateOptions(num_bootstrap=200, confidence=0.95, max_calibration_error=0.05)
SOUND = [Check("sound", True, "scores differ by at most 0")]
NUM_USERS = 400


def head_rows(quality: dict[str, float]) -> dict[str, HeadRows]:
    """Every head on the same users; version → what it knows: 0 nothing, 1 as much as LightGBM."""
    generator = np.random.default_rng(0)
    users = np.repeat(np.arange(NUM_USERS), 2)
    truth = generator.normal(size=len(users)) * 1.5
    labels = (generator.random(len(users)) < 1 / (1 + np.exp(-truth))).astype(float)
    known = {"lightgbm": 1.0, **quality}
    probability = {
        name: 1 / (1 + np.exp(-share * truth)) if share else np.full(len(users), labels.mean())
        for name, share in known.items()
    }
    probability |= {
        "base_rate": np.full(len(users), labels.mean()),
        "recency": np.clip(labels.mean() + 0.02 * truth * (users % 5 == 0), 0, 1),
    }
    spend = np.exp(truth)
    noise = generator.normal(size=len(users))
    amounts = {name: np.abs(spend + (1.2 - share) * noise) for name, share in known.items()}
    amounts |= {"constant": np.full(len(users), np.median(spend)), "persistence": spend + 3 * noise}
    found = {"personal_frequency": 1.0, **quality}
    items = {
        f"{measure}/{name}": np.clip(0.3 * share + 0.1 * noise, 0, 1)
        for measure in ("ndcg@10", "recall@10")
        for name, share in {**found, "popularity": 0.3}.items()
    }
    instants = 1 + users % 60
    cutoffs = [date(2017, 10, 31)]
    return {
        "purchase": HeadRows("purchase", users, instants, labels, probability, cutoffs),
        "churn": HeadRows("churn", users, instants, labels, probability, cutoffs),
        "spend": HeadRows("spend", users, instants, spend, amounts, cutoffs),
        "next_item": HeadRows("next_item", users, instants, labels + 1, items, cutoffs),
    }


def judged(rows: dict[str, HeadRows], champion: str | None = None, **checks):
    return evaluate(rows, checks, champion=champion, options=OPTIONS)


def test_a_candidate_as_good_as_the_strong_baselines_is_admitted():
    """As good is not significantly worse."""
    document = judged(head_rows({"1": 1.0}), **{"1": SOUND})

    assert document["verdicts"]["1"]["admitted"]
    assert document["verdicts"]["1"]["gain"] == pytest.approx(0.0)


def test_a_worse_candidate_is_refused_beside_a_good_one():
    """Each version is judged by itself, on the same rows."""
    document = judged(head_rows({"1": 1.0, "2": 0.2}), **{"1": SOUND, "2": SOUND})

    assert document["verdicts"]["1"]["admitted"]
    assert not document["verdicts"]["2"]["admitted"]


def test_one_broken_head_refuses_the_candidate_with_its_reason():
    """A candidate whose churn head says the same of everyone is refused for churn alone."""
    rows = head_rows({"1": 1.0})
    broken = dict(rows["churn"].scores)
    broken["1"] = np.full(2 * NUM_USERS, rows["churn"].labels.mean())
    churn = rows["churn"]
    rows["churn"] = HeadRows(
        "churn", churn.users, churn.num_instants, churn.labels, broken, churn.cutoffs
    )

    verdict = judged(rows, **{"1": SOUND})["verdicts"]["1"]

    assert not verdict["admitted"]
    assert {reason.split(":")[0] for reason in verdict["reasons"]} == {"churn"}
    assert any("auroc 0.5 against" in reason for reason in verdict["reasons"])


def test_a_probability_that_is_too_sure_is_refused():
    """The same ranking, with probabilities pushed to the ends, is not calibrated."""
    rows = head_rows({"1": 1.0})
    purchase = rows["purchase"]
    sure = {**purchase.scores, "1": (purchase.scores["1"] > 0.5) * 0.9 + 0.1 * purchase.scores["1"]}
    rows["purchase"] = HeadRows(
        "purchase", purchase.users, purchase.num_instants, purchase.labels, sure, purchase.cutoffs
    )

    reasons = judged(rows, **{"1": SOUND})["verdicts"]["1"]["reasons"]

    assert any(reason.startswith("purchase: expected calibration error 0.") for reason in reasons)


def test_the_champion_compared_with_itself_differs_by_nothing():
    """It is judged like any other, and is never worse than itself."""
    document = judged(head_rows({"1": 1.0}), champion="1", **{"1": SOUND})
    against = [c for c in document["comparisons"]["1"] if c["against"] == "champion"]

    assert {(c["difference"], c["low"], c["high"]) for c in against} == {(0.0, 0.0, 0.0)}
    assert document["verdicts"]["1"]["admitted"]


def test_every_measure_of_the_table_has_every_contestant():
    """One line a measure; the measure that decides has an interval for each contestant."""
    rows = head_rows({"1": 1.0})
    table = judged(rows, **{"1": SOUND})["table"]

    assert [line["head"] for line in table if line["decides"]] == list(RULE)
    for line in table:
        assert set(line["values"]) == set(rows[line["head"]].contestants)
        if line["decides"]:
            assert all(
                low <= line["values"][name] <= high
                for name, (low, high) in line["intervals"].items()
            )


def test_slices_share_out_all_rows():
    """New, occasional and frequent users are all the users."""
    rows = head_rows({"1": 1.0})
    found = [line for line in judged(rows, **{"1": SOUND})["slices"] if line["head"] == "spend"]

    assert [line["slice"] for line in found] == ["new", "occasional", "frequent"]
    assert sum(line["rows"] for line in found) == len(rows["spend"].users)


def test_the_same_evaluation_twice_says_the_same():
    """No draw is left to chance."""
    rows = head_rows({"1": 0.9})
    first, second = (
        compare_all(rows["spend"], ["1"], champion=None, num_bootstrap=50, confidence=0.9)
        for _ in range(2)
    )

    assert first == second


def test_no_rows_have_no_value():
    """An empty slice is not a perfect one."""
    rows = head_rows({"1": 1.0})["purchase"]

    assert np.isnan(point(rows.only(rows.num_instants > 10**6), "auroc", "1"))
