"""Money as `contracts.money` counts it, summed in whole ten-thousandths.

Such sums are the same in whatever order, and however they are split. An amount counts as it is
written: 0.00005 is half a ten-thousandth, and is rounded away from zero, though no float64 is
exactly that.

Read by `jobs/histories` too, so that the lake, training and the served model sum in one way; it
needs numpy alone. Letters beside arrays: N amounts, S sums, Y event types.
"""

from decimal import ROUND_HALF_UP, Decimal

import numpy as np

from contracts.money import COMES_BACK, DEFINITIONS, Money

PLACES = 4
_UNIT = 10**PLACES
_EXACT = 2**53  # up to here every whole number is a float64
_SAFE = 2**42  # up to here a product of floats is right to a two-thousandth of a unit
_HALF = 1e-3  # what is that near to half a unit is rounded by its decimals


def signed(values: np.ndarray, event_types: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(N,) amounts or quantities, (Y,) names, (N,) codes of these -> (N,): below 0 if come back."""
    comes_back = np.isin(event_types.astype(str), COMES_BACK)[codes]
    return np.where(comes_back, 0.0 - np.abs(values), values)


def counted_amounts(
    amounts: np.ndarray, event_types: np.ndarray, codes: np.ndarray, *, money: Money
) -> np.ndarray:
    """(N,) amounts, (Y,) names, (N,) codes of these -> (N,) what each adds to spend; nan adds 0."""
    definition = DEFINITIONS[money]
    counts = np.isin(event_types.astype(str), definition.event_types)[codes] & ~np.isnan(amounts)
    values = signed(amounts, event_types, codes)
    lowest = -np.inf if definition.counts_negative else 0.0
    return np.where(counts, np.maximum(values, lowest), 0.0)


def is_bought(amounts: np.ndarray, is_purchase: np.ndarray) -> np.ndarray:
    """(N,) amounts, nan where unknown, (N,) bools -> (N,) does the line make its user a buyer?

    A purchase does for which something was paid, or of which the log does not say what: a line of
    price 0 (a gift, a sample) or below it (a correction) moves units and money, and buys nothing.
    """
    bought: np.ndarray = is_purchase & ~(amounts <= 0)
    return bought


def whole_units(amounts: np.ndarray) -> np.ndarray:
    """(N,) float64 → (N,) int64 ten-thousandths, or Python's integers where 64 bits are too few."""
    scaled = amounts * _UNIT
    is_large = np.abs(scaled) >= _SAFE
    units = np.rint(np.where(is_large, 0.0, scaled)).astype(np.int64)
    if (np.abs(scaled) >= _EXACT).any():
        units = units.astype(object)
    is_near_half = np.abs(scaled - np.floor(scaled) - 0.5) < _HALF
    for place in np.flatnonzero(is_large | is_near_half):
        decimals = Decimal(repr(float(amounts[place]))).scaleb(PLACES)
        units[place] = int(decimals.to_integral_value(ROUND_HALF_UP))
    return units


def sums(units: np.ndarray, first: np.ndarray) -> np.ndarray:
    """(N,) units → (S,) units: of each run, the runs beginning at the places ``first`` (S,)."""
    if not len(first):
        return np.zeros(0, dtype=np.int64)
    may_overflow = float(np.abs(units).max()) * len(units) >= 2**62
    wide = units.astype(object) if may_overflow else units
    added: np.ndarray = np.add.reduceat(wide, first)
    return added


def running(units: np.ndarray, *, may_wrap: bool = False) -> np.ndarray:
    """(N,) whole numbers → (N + 1,) the exact totals of what comes before each place, and of all.

    Totals that ``may_wrap`` at 64 bits have exact differences still, where these fit 64 bits.
    """
    may_overflow = not may_wrap and float(np.abs(units.astype(np.float64)).sum()) >= 2**62
    wide = units.astype(object) if may_overflow else units
    totals: np.ndarray = np.concatenate([np.zeros(1, dtype=wide.dtype), np.cumsum(wide)])
    return totals


def in_money(units: np.ndarray) -> np.ndarray:
    """(S,) units, or of any shape → float64, each the nearest to the exact sum."""
    money: np.ndarray = units.astype(np.float64) / _UNIT
    for place in zip(*np.nonzero(np.abs(money) >= _EXACT / _UNIT), strict=True):
        money[place] = float(Decimal(int(units[place])).scaleb(-PLACES))
    return money
