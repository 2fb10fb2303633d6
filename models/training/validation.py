"""How well a network answers at the validation cutoffs: what picks the best epoch.

C cutoffs, N users, k items, Y event types and the unknown one, or none where the log has but one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray

from models.metrics import auroc, cross_entropy, log_loss, mae, ndcg_at_k, tweedie_deviance
from models.sequences.history import Floats, Ints
from models.training.calibration import Calibration, fit_factor, fit_platt, sigmoid
from models.training.losses import LOWEST_LOG_MEAN
from models.training.validation_data import ValidationData

TOP_K = 10


@dataclass(frozen=True)
class Answers:
    """What the network said of each user at each cutoff; 0 where it was not asked."""

    purchase: Floats  # (C, N) logit
    churn: Floats  # (C, N) logit
    spend: Floats  # (C, N) currency, expected
    spend_median: Floats  # (C, N) currency, as often above it as below
    best_items: Floats  # (C, N, k)
    event_types: Floats  # (C, N, Y) probabilities of the next instant's

    @classmethod
    def empty(cls, data: ValidationData) -> "Answers":
        shape = (len(data.cutoffs), data.num_users)
        return cls(
            purchase=np.zeros(shape),
            churn=np.zeros(shape),
            spend=np.zeros(shape),
            spend_median=np.zeros(shape),
            best_items=np.zeros((*shape, TOP_K)),
            event_types=np.zeros(data.event_types.shape),
        )

    def put(
        self,
        place: int,
        users: Ints,
        *,
        purchase: NDArray[Any],
        churn: NDArray[Any],
        spend: NDArray[Any],
        spend_median: NDArray[Any],
        best_items: NDArray[Any],
    ) -> None:
        self.purchase[place, users] = purchase
        self.churn[place, users] = churn
        self.spend[place, users] = spend
        self.spend_median[place, users] = spend_median
        self.best_items[place, users, : best_items.shape[1]] = best_items

    def of_all_ranks(self) -> "Answers":
        """Each user was asked by one rank, so the sum over ranks has everyone's answer."""
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return self
        scalars = (self.purchase, self.churn, self.spend, self.spend_median)
        parts = [np.stack(scalars, axis=-1), self.best_items, self.event_types]
        together = torch.from_numpy(np.concatenate(parts, axis=-1))
        if torch.distributed.get_backend() == "nccl":
            together = together.cuda()
        torch.distributed.all_reduce(together)
        summed = together.cpu().numpy()
        ends = np.cumsum([part.shape[-1] for part in parts])[:-1]
        found, best_items, event_types = np.split(summed, ends, axis=-1)
        purchase, churn, spend, spend_median = np.moveaxis(found, -1, 0)
        return Answers(purchase, churn, spend, spend_median, best_items, event_types)


def validation_metrics(data: ValidationData, answers: Answers) -> dict[str, float]:
    """Metrics by name; ``val/score`` is the mean over heads of what each gains on knowing nothing.

    1 - loss / (loss of the base rate) for purchase and churn, 1 - deviance / (deviance of the
    mean) for spend, NDCG@10 for items. Where nothing was ever paid for, or more came back than was
    paid, spend is not measured; its absolute error is the median's. The next event type is measured
    beside them and chooses no epoch, for no table says it.
    """
    metrics: dict[str, float] = {}
    gains: list[float] = []
    for name, truth, logits in (
        ("purchase", data.purchase, answers.purchase),
        ("churn", data.churn, answers.churn),
    ):
        asked = np.isfinite(truth)
        if not asked.any():
            continue
        labels, probability = truth[asked], sigmoid(logits[asked])
        loss = log_loss(labels, probability)
        base = log_loss(labels, np.full(len(labels), labels.mean()))
        metrics[f"val/{name}_auroc"] = auroc(labels, probability)
        metrics[f"val/{name}_log_loss"] = loss
        gains.append(1 - loss / max(base, 1e-6))
    asked = np.isfinite(data.spend)
    if data.has_amounts and asked.any() and (mean := data.spend[asked].mean()) > 0:
        values, said = data.spend[asked], answers.spend[asked]
        lowest = float(mean * np.exp(LOWEST_LOG_MEAN))
        deviance = tweedie_deviance(values, said, lowest=lowest)
        base = tweedie_deviance(values, np.full(len(values), mean), lowest=lowest)
        metrics["val/spend_mae"] = mae(values, answers.spend_median[asked])
        metrics["val/spend_deviance"] = deviance
        gains.append(1 - deviance / max(base, 1e-6))
    ndcg = [
        ndcg_at_k(bought, answers.best_items[place].astype(np.int64), k=TOP_K)
        for place, bought in enumerate(data.bought)
    ]
    metrics["val/next_item_ndcg"] = mean_of_known(np.concatenate(ndcg))
    gains.append(metrics["val/next_item_ndcg"])
    metrics["val/score"] = float(np.mean(gains))
    came = np.isfinite(data.event_types).all(axis=-1)  # (C, N)
    if data.event_types.shape[-1] and came.any():
        shares = data.event_types[came]  # (P, Y)
        mean = np.broadcast_to(shares.mean(axis=0), shares.shape)
        said = cross_entropy(shares, answers.event_types[came])
        metrics["val/next_event_type_log_loss"] = said
        metrics["val/next_event_type_base_log_loss"] = cross_entropy(shares, mean)
    return metrics


def fit_calibration(data: ValidationData, answers: Answers) -> Calibration:
    """From validation cutoffs alone."""
    bought, left = np.isfinite(data.purchase), np.isfinite(data.churn)
    spent = np.isfinite(data.spend)
    return Calibration(
        purchase=fit_platt(answers.purchase[bought], data.purchase[bought]),
        churn=fit_platt(answers.churn[left], data.churn[left]),
        spend=fit_factor(answers.spend[spent], data.spend[spent]),
    )


def outcomes(
    data: ValidationData, answers: Answers, calibration: Calibration
) -> dict[str, tuple[Floats, Floats]]:
    """Head → what came true, and what the calibrated network said of it: (P,) and (P,)."""
    bought, left = np.isfinite(data.purchase), np.isfinite(data.churn)
    spent = np.isfinite(data.spend)
    return {
        "purchase": (data.purchase[bought], calibration.purchase(answers.purchase[bought])),
        "churn": (data.churn[left], calibration.churn(answers.churn[left])),
        "spend": (data.spend[spent], calibration.spend * answers.spend[spent]),
    }


def mean_of_known(values: Floats) -> float:
    """The mean of what is not nan; 0 where nothing is known."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0
