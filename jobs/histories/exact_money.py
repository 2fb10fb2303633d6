"""Sums of money in whole ten-thousandths: the same in whatever order, and however they are split.

An amount counts as it is written: 0.00005 is half a ten-thousandth, and is rounded away from zero,
though no float64 is exactly that. Letters beside arrays: N amounts, S sums.
"""

from decimal import ROUND_HALF_UP, Decimal

import numpy as np

PLACES = 4
_UNIT = 10**PLACES
_EXACT = 2**53  # up to here every whole number is a float64
_SAFE = 2**42  # up to here a product of floats is right to a two-thousandth of a unit
_HALF = 1e-3  # what is that near to half a unit is rounded by its decimals


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


def in_money(units: np.ndarray) -> np.ndarray:
    """(S,) units → (S,) float64, each the nearest to the exact sum."""
    money: np.ndarray = units.astype(np.float64) / _UNIT
    for place in np.flatnonzero(np.abs(money) >= _EXACT / _UNIT):
        money[place] = float(Decimal(int(units[place])).scaleb(-PLACES))
    return money
