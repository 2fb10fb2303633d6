"""The rule by which a forecaster becomes champion. Its values live in `configs/nightshift.yaml`."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat

from models.config import Config


class DemandRule(Config):
    max_ratio_to_rules: PositiveFloat  # of each loss to that of the best simple rule, in each cell
    max_ratio_to_champion: PositiveFloat  # of each loss to that of the champion
    max_mean_bias: NonNegativeFloat  # by which all its means of a cell may miss what was sold
    max_tail_error: NonNegativeFloat  # by which the share beyond p10, or p90, may miss a tenth
    # Beyond these, what so few days bring by chance is allowed for: so sure must a miss be.
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)]
