"""The rule as it is configured: it can only name what there is."""

import pytest
import yaml
from pydantic import ValidationError

from models.judging.rule import BASELINES, MEASURES, GateRule
from tests.models.conftest import PROJECT


def with_purchase(**changed: object) -> dict:
    values = yaml.safe_load((PROJECT / "configs" / "nightshift.yaml").read_text())["gate"]
    values["heads"]["purchase"] |= changed
    return values


def test_the_projects_own_rule_asks_every_head_to_beat_a_naive_baseline(gate):
    """A head of which nothing is asked would be admitted whatever it says."""
    assert list(gate.by_head) == list(MEASURES) == list(BASELINES)
    assert all(rule.better_than for rule in gate.by_head.values())


def test_a_measure_that_a_head_does_not_have_is_refused():
    """Also the calibration error, which has a limit of its own and no interval."""
    for measure in ("mae", "ece"):
        with pytest.raises(ValidationError) as refused:
            GateRule.model_validate(with_purchase(measure=measure))

        assert refused.value.errors()[0]["msg"] == (
            "Value error, a measure of heads.purchase (auroc, average_precision, brier, log_loss), "
            f"not {measure}"
        )


def test_a_baseline_that_a_head_does_not_have_is_refused():
    """A slip of the pen must not leave a head without an opponent."""
    with pytest.raises(ValidationError) as refused:
        GateRule.model_validate(with_purchase(better_than={"popularity": "auroc"}))

    assert refused.value.errors()[0]["msg"] == (
        "Value error, a baseline of heads.purchase (base_rate, recency, lightgbm), not popularity"
    )


def test_a_spend_cannot_be_given_a_limit_of_probabilities():
    """A setting that would have no effect cannot be written."""
    values = with_purchase()
    values["heads"]["spend"]["max_calibration_error"] = 0.05

    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        GateRule.model_validate(values)
