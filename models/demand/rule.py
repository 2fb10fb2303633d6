"""The rule by which a forecaster becomes champion. Its values live in `configs/nightshift.yaml`."""

from pydantic import PositiveFloat

from models.config import Config


class DemandRule(Config):
    max_ratio_to_rules: PositiveFloat  # of its WAPE to that of the best simple rule, in each cell
    max_ratio_to_champion: PositiveFloat  # of its WAPE to that of the champion, in each cell
    max_mean_ratio_to_rules: PositiveFloat  # the same of its mean, which is no median: WAPE's least
    max_mean_bias: PositiveFloat  # by which all its means of a cell may miss what was sold, a share
    max_tail_error: PositiveFloat  # by which the share above p90, or below p10, may miss a tenth
