"""What a forecast costs: by quantile where it is one, as a count where it is a mean."""

import torch
from torch import Tensor

from models.demand.network import QUANTILES, Answers

MIDDLE_WEIGHT = 2.0  # the median is what WAPE judges
MEAN_WEIGHT = 0.3
MAX_COUNTED = 20.0  # levels beyond which a day, either way, adds nothing to the mean's cost
LEAST_MEAN = 1e-4


def pinball(said: Tensor, truth: Tensor, quantile: float) -> Tensor:
    """Koenker & Bassett, 1978: least where ``quantile`` of the truths lie below what is said."""
    above = truth - said
    return torch.maximum(quantile * above, (quantile - 1.0) * above)


def demand_loss(answers: Answers, truth: Tensor, known: Tensor) -> Tensor:
    """(B, H) each, in levels -> () the mean over the days that are known."""
    low, middle, high = QUANTILES
    cost = pinball(answers.p10, truth, low) + pinball(answers.p90, truth, high)
    cost = cost + MIDDLE_WEIGHT * pinball(answers.p50, truth, middle)
    counted = truth.clamp(-MAX_COUNTED, MAX_COUNTED) * torch.log(answers.mean + LEAST_MEAN)
    cost = cost + MEAN_WEIGHT * (answers.mean - counted)  # of a Poisson count, up to a constant
    return (cost * known).sum() / known.sum().clamp(min=1.0)
