"""AutoETS and AutoTheta of statsforecast, in an environment of its own (`make bench-demand`).

    .venv-forecasters/bin/python -m benchmarks.demand_peers HISTORIES.npz FORECASTS.npz HORIZON_DAYS

Each array of the first file is (S, D), units before a cutoff; the second gets two for it, (S, H).
Hyndman & Khandakar, 2008, https://doi.org/10.18637/jss.v027.i03; Fiorucci et al., 2016,
https://doi.org/10.1016/j.ijforecast.2016.02.005.
"""

import json
import sys
import time
import warnings
from typing import Any

import numpy as np
from statsforecast.models import AutoETS, AutoTheta

WEEK = 7


def main(histories: str, forecasts: str, horizon_days: str) -> None:
    warnings.filterwarnings("ignore")
    begun = time.monotonic()
    found: dict[str, Any] = {}
    for name, units in np.load(histories).items():
        for kind in (AutoETS, AutoTheta):
            said = [
                kind(season_length=WEEK).forecast(y=of_one.astype(np.float64), h=int(horizon_days))
                for of_one in units
            ]
            found[f"{name} {kind.__name__}"] = np.maximum([each["mean"] for each in said], 0.0)
    np.savez(forecasts, **found)
    print(json.dumps({"seconds": round(time.monotonic() - begun, 1)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
