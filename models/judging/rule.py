"""The rule by which a candidate may become champion, as `configs/nightshift.yaml` writes it.

Every text, verdict and picture that tells of the rule is made from these values. A baseline or
measure that a head does not have is refused when the configuration is read.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from models.config import Config

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

PROBABILITIES = ("purchase", "churn")
_PROBABILITY = ("auroc", "average_precision", "brier", "log_loss", "ece")
MEASURES: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(PROBABILITIES, _PROBABILITY),
    "spend": ("mae", "rmse", "total_bias"),
    "next_item": ("ndcg@10", "recall@10"),
}
BASELINES: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(PROBABILITIES, ("base_rate", "recency", "lightgbm")),
    "spend": ("constant", "persistence", "lightgbm", "lightgbm_mean"),
    "next_item": ("popularity", "personal_frequency"),
}
NAMES = {
    "base_rate": "the base rate",
    "recency": "the recency rule",
    "constant": "the best constant",
    "persistence": "the window before",
    "popularity": "popularity",
    "lightgbm": "LightGBM",
    "lightgbm_mean": "LightGBM for the mean",  # told beside the rule, which need not ask for it
    "personal_frequency": "personal frequency",
    "champion": "the champion",
}


class HeadRule(Config):
    """What one head must show on the rows of the matured cutoffs."""

    measure: str  # that decides, against the strong baseline and the champion
    better_than: Mapping[str, str]  # naive baseline → the measure on which it is to be beaten
    not_worse_than: str  # the strong baseline


class ProbabilityRule(HeadRule):
    max_calibration_error: PositiveFloat  # expected calibration error


class HeadRules(Config):
    purchase: ProbabilityRule
    churn: ProbabilityRule
    spend: HeadRule
    next_item: HeadRule


class GateRule(Config):
    judged_users: PositiveInt = 200_000  # about so many are judged, of however many there are
    num_bootstrap: PositiveInt  # resamples of users for each paired interval
    confidence: Annotated[float, Field(gt=0.0, lt=1.0)]
    heads: HeadRules

    @property
    def by_head(self) -> dict[str, HeadRule]:
        return {head: getattr(self.heads, head) for head in HeadRules.model_fields}

    @model_validator(mode="after")
    def _names_what_there_is(self) -> "GateRule":
        for head, rule in self.by_head.items():
            for measure in (rule.measure, *rule.better_than.values()):
                if measure not in MEASURES[head] or measure == "ece":
                    known = ", ".join(name for name in MEASURES[head] if name != "ece")
                    raise ValueError(f"a measure of heads.{head} ({known}), not {measure}")
            for baseline in (rule.not_worse_than, *rule.better_than):
                if baseline not in BASELINES[head]:
                    known = ", ".join(BASELINES[head])
                    raise ValueError(f"a baseline of heads.{head} ({known}), not {baseline}")
        return self
