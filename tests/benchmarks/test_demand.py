"""The demand benchmark's table: pooled over cutoffs, beside each rule, closed days left out."""

from datetime import date

import numpy as np
import pytest

pytestmark = pytest.mark.torch
pytest.importorskip("torch")

from benchmarks.demand import Case, rows_of  # noqa: E402
from models.demand.forecast import Forecast  # noqa: E402


def case(day, sold, rule, model):
    made = Case(
        "2 products", date(2017, 10, day), np.full((2, 60), 3.0), sold, sold >= 0, {"flat": rule}
    )
    quantiles = np.stack([model - 1, model, model + 1], axis=-1)
    made.models.append(Forecast(quantiles, model))
    return made


def test_a_cell_pools_the_cutoffs_and_names_the_best_rule():
    """Errors 28 and 56 of units 56 and 112, beside twice as many of the rule."""
    sold = np.ones((2, 28))
    cases = [case(4, sold, sold + 1, sold + 0.5), case(18, 2 * sold, 2 * sold + 2, 2 * sold + 1)]
    found = [row for row in rows_of(cases) if row["measure"] == "WAPE"]

    assert [row["case"] for row in found] == ["2 products, 7 days", "2 products, 28 days"]
    assert {(row["nightshift"], row["against"], row["ratio"]) for row in found} == {(0.5, 1.0, 0.5)}
    assert found[0]["against_name"] == "flat, the best"


def test_a_day_that_is_not_known_counts_for_none():
    sold = np.ones((2, 28))
    sold[:, 3] = -1.0  # closed
    said = np.where(sold < 0, 99.0, 2.0)
    found = {row["measure"]: row for row in rows_of([case(4, sold, said, said - 0.5)])}

    assert found["WAPE"]["against"] == 1.0
    assert found["p10 to p90, inside"]["nightshift"] == 1.0


def test_each_answer_has_rules_of_its_own():
    """A median is no rule for a mean, nor a point for a quantile."""
    sold = np.ones((2, 28))
    one = case(4, sold, sold + 1, sold)
    one.rules["weekday_median"] = sold + 2
    against = {}
    for row in rows_of([one]):
        against.setdefault(row["measure"], set()).add(
            row["against_name"].removesuffix(", the best")
        )

    assert against["WAPE"] == {"flat", "weekday_median"}
    assert against["squared error of the mean"] == {"flat"}
    assert "weekday_quantile_8_weeks" in against["pinball loss of p90"]
