"""The rule: every cell beside the best simple rule and the champion, and the tails."""

from models.demand.gate import Cell, reasons_against
from models.demand.judging import Coverage
from models.demand.rule import DemandRule

RULE = DemandRule(max_ratio_to_rules=1.0, max_ratio_to_champion=1.05, max_tail_error=0.05)


def cell(wape=0.9, above=0.1, below=0.1, **others):
    coverage = Coverage(below=below, above=above, at_low=0.0, at_high=0.0)
    return Cell("items/7d", wape, {"seasonal_naive": 1.2, "mean_28_days": 1.0, **others}, coverage)


def test_the_best_of_the_rules_has_to_be_reached():
    assert reasons_against([cell()], RULE) == []
    assert reasons_against([cell(1.1)], RULE) == [
        "items/7d: WAPE 1.1000, above 1.0 x 1.0000 of mean_28_days"
    ]


def test_the_champion_may_be_missed_by_little():
    assert reasons_against([cell(champion=0.87)], RULE) == []
    assert reasons_against([cell(champion=0.8)], RULE) == [
        "items/7d: WAPE 0.9000, above 1.05 x 0.8000 of champion"
    ]


def test_a_tail_that_holds_too_much_or_too_little_is_a_reason():
    """Below p10 there may be nothing: what seldom sells has p10 = 0."""
    assert reasons_against([cell(below=0.0)], RULE) == []
    assert len(reasons_against([cell(below=0.2)], RULE)) == 1
    assert len(reasons_against([cell(above=0.2)], RULE)) == 1
    assert len(reasons_against([cell(above=0.01)], RULE)) == 1
