"""What a quantile costs: Koenker & Bassett, 1978, https://doi.org/10.2307/1913643."""

import numpy as np

from models.demand.panel import Floats


def pinball(said: Floats, sold: Floats, quantile: float) -> Floats:
    """Least where ``quantile`` of the truths lie below what is said, of counts too."""
    above = sold - said
    cost: Floats = np.maximum(quantile * above, (quantile - 1.0) * above)
    return cost
