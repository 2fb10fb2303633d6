"""Money and units as `contracts.money` counts them, as column expressions of `events`."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from contracts.money import COMES_BACK, DEFINITIONS, UNITS_WHERE_UNKNOWN, Money


def moves_money(money: Money) -> Column:
    """Do the line's amount and units count?"""
    return F.col("event_type").isin(*DEFINITIONS[money].event_types)


def counted_amount(money: Money) -> Column:
    """What the line adds to spend: 0 where nothing counts or the amount is unknown."""
    return _counted(F.coalesce("amount", F.lit(0.0)), money)


def counted_quantity(money: Money) -> Column:
    """The units that the line adds: one where unknown, or minus one where it comes back."""
    one = [
        F.when(F.col("event_type") == kind, F.lit(units))
        for kind, units in UNITS_WHERE_UNKNOWN.items()
    ]
    return _counted(F.coalesce("quantity", *one, F.lit(0.0)), money)


def as_signed(value: Column, event_type: Column) -> Column:
    """An amount or a quantity in its normal form: below 0 for what comes back."""
    # 0 - 0 is 0; -0 would be another number to a content hash.
    return F.when(event_type.isin(*COMES_BACK), F.lit(0.0) - F.abs(value)).otherwise(value)


def _counted(value: Column, money: Money) -> Column:
    value = as_signed(value, F.col("event_type"))
    if not DEFINITIONS[money].counts_negative:
        value = F.greatest(value, F.lit(0.0))
    return F.when(moves_money(money), value).otherwise(F.lit(0.0))
