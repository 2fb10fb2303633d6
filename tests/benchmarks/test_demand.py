"""The demand benchmark's table: pooled over cutoffs, beside each rule, closed days left out."""

from datetime import date

import numpy as np
import pytest

pytestmark = pytest.mark.torch
pytest.importorskip("torch")

from benchmarks.demand import Case, rows_of  # noqa: E402


def case(day, sold, rule, model):
    made = Case(
        "2 products", date(2017, 10, day), np.ones((2, 30)), sold, sold >= 0, {"flat": rule}
    )
    made.models.append(np.stack([model - 1, model, model + 1], axis=-1))
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
