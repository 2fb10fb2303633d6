"""What a request to a served model may say; anything else is refused, never read as something near.

A date written `03/11/2017` is March to some and November to others, an amount of infinity spoils
every sum, and a cutoff that nobody gave would be another day's answer.
"""

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contracts.errors import ConfigError, CutoffError, MissingColumnsError
from contracts.money import LARGEST

MAX_TOP_K = 1000
_DAY = r"\d{4}-\d{2}-\d{2}"
_INSTANT = re.compile(
    rf"{_DAY}([T ]\d{{2}}:\d{{2}}(:\d{{2}}(\.\d+)?)?\s?(Z|[+-]\d{{2}}:?\d{{2}})?)?"
)


def require_columns(frame: pd.DataFrame, columns: Sequence[str], *, rows: str) -> None:
    """Raises MissingColumnsError; ``rows`` is what the request's rows are."""
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        present = [str(name) for name in frame.columns]
        raise MissingColumnsError(rows, missing=missing, present=present, mapping="the request")


def cutoff_of(text: str) -> date:
    """The parameter `cutoff`. Raises CutoffError where it is no day written YYYY-MM-DD."""
    day = _day(text)
    if day is None:
        raise CutoffError(
            "the request: cutoff",
            found=repr(text) if text else "none",
            expected="a day written YYYY-MM-DD, the first that the model may not see",
            do='Send {"params": {"cutoff": "YYYY-MM-DD"}}: the answer is as of that day.',
        )
    return day


def top_k_of(value: Any) -> int:
    """The parameter `top_k`, items to recommend. Raises ConfigError."""
    if isinstance(value, bool) or not 1 <= value <= MAX_TOP_K or value != int(value):
        raise ConfigError(
            "the request: top_k",
            found=repr(value),
            expected=f"a whole number from 1 to {MAX_TOP_K}",
            do="Correct the value, or leave it out for 10.",
        )
    return int(value)


def instants(column: pd.Series) -> pd.Series:
    """Event times as UTC. Raises ConfigError for what is no instant written as ISO 8601.

    An instant without an offset is of UTC.
    """
    is_typed = pd.api.types.is_datetime64_any_dtype(column.dtype)
    odd = column.isna() if is_typed else ~column.map(_is_instant).astype(bool)
    times = pd.to_datetime(column.where(~odd), utc=True, format="ISO8601", errors="coerce")
    _refuse(column, odd | times.isna(), "an instant such as 2017-11-03T17:20:00Z")
    return times.astype("datetime64[us, UTC]")


def days(column: pd.Series) -> NDArray[np.datetime64]:
    """(N,) days. Raises ConfigError for what is no day written YYYY-MM-DD."""
    is_typed = pd.api.types.is_datetime64_dtype(column.dtype)
    parsed = column if is_typed else column.map(_day)
    _refuse(column, parsed.isna(), "a day such as 2017-11-03")
    return np.asarray(parsed.to_numpy(), dtype="datetime64[D]")


def numbers(column: pd.Series, *, unknown: float | None = None) -> pd.Series:
    """Numbers that a night takes, too; ``unknown`` stands for the empty ones, if they may be.

    Raises ConfigError.
    """
    values = pd.to_numeric(column, errors="coerce").astype(float)
    is_empty, is_odd = column.isna(), ~(values.abs() <= LARGEST)
    if unknown is not None:
        values, is_odd = values.where(~is_empty, unknown), is_odd & ~is_empty
    _refuse(column, is_odd, f"a number of at most {LARGEST:,.0f}")
    return values


def _refuse(column: pd.Series, odd: pd.Series, expected: str) -> None:
    """The first odd value, with its row and how many there are."""
    if odd.any():
        place = int(np.argmax(odd.to_numpy()))
        value = column.iloc[place]
        shown = value.item() if isinstance(value, np.generic) else value
        raise ConfigError(
            f"the request: {column.name} of row {column.index[place]}",
            found=f"{shown!r}, and {int(odd.sum()) - 1} more like it",
            expected=expected,
            do="Correct the rows and send them again; nothing was answered.",
        )


def _day(value: Any) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or re.fullmatch(_DAY, value) is None:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _is_instant(value: Any) -> bool:
    if isinstance(value, datetime):
        return value is not pd.NaT
    return isinstance(value, str) and _INSTANT.fullmatch(value) is not None
