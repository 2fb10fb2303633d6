"""Money and units in Spark: as the written rule says, and as numpy counts them."""

import numpy as np
import pytest

from jobs.lake.money_columns import counted_amount, counted_quantity
from models.money import counted_amounts

pytestmark = pytest.mark.spark

# event_type, amount, quantity → money and units, net; money and units, gross
CASES = [
    (("purchase", 10.0, 2.0), (10.0, 2.0), (10.0, 2.0)),
    (("purchase", 10.0, None), (10.0, 1.0), (10.0, 1.0)),
    (("purchase", None, 3.0), (0.0, 3.0), (0.0, 3.0)),
    (("purchase", -4.0, -1.0), (-4.0, -1.0), (0.0, 0.0)),  # a correction
    (("return", -10.0, -2.0), (-10.0, -2.0), (0.0, 0.0)),
    (("return", 10.0, 2.0), (-10.0, -2.0), (0.0, 0.0)),  # of an older commit, without its minus
    (("return", -10.0, None), (-10.0, -1.0), (0.0, 0.0)),
    (("view", 10.0, 2.0), (0.0, 0.0), (0.0, 0.0)),
    (("cart", 10.0, None), (0.0, 0.0), (0.0, 0.0)),
]


@pytest.mark.parametrize("money", ["net", "gross"])
def test_only_purchases_and_returns_move_money_and_units(spark, money):
    lines = [(n, *line) for n, (line, *_) in enumerate(CASES)]
    frame = spark.createDataFrame(lines, "n int, event_type string, amount double, quantity double")
    found = frame.orderBy("n").select(counted_amount(money), counted_quantity(money)).collect()
    amounts = np.array([amount or 0.0 for (_, amount, _), *_ in CASES])
    names, codes = np.unique([kind for (kind, *_), *_ in CASES], return_inverse=True)
    expected = [gross if money == "gross" else net for _, net, gross in CASES]

    assert [tuple(row) for row in found] == expected
    assert counted_amounts(amounts, names, codes, money=money).tolist() == [m for m, _ in expected]
