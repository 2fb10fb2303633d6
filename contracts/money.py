"""What counts as money and as units: one definition for features, labels, totals, series, tables.

In words, for people: `docs/money.md`. The setting `money` chooses one of two:

net    purchases less returns, each on its own day; what comes back is negative
gross  purchases above 0 alone

A view or a cart with a price moves neither money nor units. Code that sums amounts or units asks
`models.money` (numpy) or `jobs.lake.money_columns` (Spark), which read what is written here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from contracts.tables import PURCHASE, RETURN

Money = Literal["net", "gross"]


@dataclass(frozen=True)
class Definition:
    event_types: tuple[str, ...]  # whose amounts and units count; of any other type nothing does
    counts_negative: bool  # do amounts and units below 0 count, or are they 0?


DEFINITIONS: Mapping[Money, Definition] = {
    "net": Definition((PURCHASE, RETURN), counts_negative=True),
    "gross": Definition((PURCHASE,), counts_negative=False),
}
LARGEST = 1e12  # an amount or a quantity beyond it is a mistake, and would not fit sums of decimals
COMES_BACK = (RETURN,)  # types whose amounts and units are below 0, however the log signs them
UNITS_WHERE_UNKNOWN: Mapping[str, float] = {PURCHASE: 1.0, RETURN: -1.0}
