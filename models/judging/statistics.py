"""One measure of one contestant on one head's rows, on the rows themselves and on resamples.

P rows (a user at a cutoff), R resamples of users.
"""

import numpy as np

from models.judging.comparison import Array, Resamples
from models.judging.contestants import SEED, HeadRows
from models.metrics import expected_calibration_error


def statistic(rows: HeadRows, resamples: Resamples, measure: str, contestant: str) -> Array:
    """(R + 1,) of one measure: on the rows themselves, then on each resample."""
    if rows.head == "next_item":
        return resamples.mean(rows.scores[f"{measure}/{contestant}"])
    labels, scores = rows.labels, rows.scores[contestant]
    match measure:
        case "auroc":
            return resamples.auroc(labels, scores)
        case "average_precision":
            return resamples.average_precision(labels, scores)
        case "brier":
            return resamples.mean((scores - labels) ** 2)
        case "log_loss":
            p = np.clip(scores, 1e-7, 1 - 1e-7)
            return resamples.mean(-labels * np.log(p) - (1 - labels) * np.log1p(-p))
        case "mae":
            return resamples.mean(np.abs(rows.medians.get(contestant, scores) - labels))
        case "rmse":
            return np.sqrt(resamples.mean((scores - labels) ** 2))
        case "total_bias":
            off, total = resamples.mean(scores - labels), resamples.mean(labels)
            share: Array = np.divide(
                off, np.abs(total), out=np.full(len(off), np.nan), where=total != 0
            )
            return share
        case _:
            raise AssertionError(f"no statistic for {measure}")


def point(rows: HeadRows, measure: str, contestant: str) -> float:
    """One measure on the rows themselves; NaN where it has no answer."""
    if not len(rows.users):
        return float("nan")
    if measure == "ece":
        return expected_calibration_error(rows.labels, rows.scores[contestant])
    alone = Resamples(np.zeros(len(rows.users), dtype=np.int64), num_bootstrap=0, seed=SEED)
    return float(statistic(rows, alone, measure, contestant)[0])


def base_rate(rows: HeadRows) -> float:
    """Share of positives; of spend the mean; of items how many a buyer buys."""
    return float(rows.labels.mean()) if len(rows.labels) else float("nan")
