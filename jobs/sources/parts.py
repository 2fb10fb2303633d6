"""The forms that a part of a mapping may have: formats, ids, users, types, times, weeks, numbers.

Each form is a type of its own, told apart by a key that only it has: what a form does not know
cannot be written into it.
"""

import re
from datetime import date
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PositiveFloat,
    Tag,
)
from pydantic_core import PydanticCustomError

from models.configuration import Section

WORD = "a column's name"
# The letters of a time pattern that Spark reads, each as often as it may stand.
_PATTERN = r"(yyyy|yy|MM?|dd?|HH?|hh?|mm?|ss?|S{1,9}|a|[^A-Za-z'\[\]{}#]|'[^']+')+"


def _by_key(*forms: str) -> Discriminator:
    """Tell forms apart by the key that only they have; a plain word is the form ``WORD``."""

    def form_of(value: Any) -> str | None:
        if isinstance(value, str):
            return WORD
        found = (key for key in forms if isinstance(value, dict) and key in value)
        return next((f"<{key}>" for key in found), None)  # no key of a file looks like this

    return Discriminator(
        form_of,
        custom_error_type="form",
        custom_error_message=f"one of these forms: {', '.join(forms)}",
    )


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("a name of the IANA time zone database") from None
    return name


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error:
        raise ValueError("a regular expression") from None
    return text


def _time_pattern(text: str) -> str:
    if re.fullmatch(_PATTERN, text) is None:
        raise ValueError("a pattern of y, M, d, H, h, m, s, S and a, such as M/d/yyyy H:mm")
    return text


ColumnName = Annotated[str, Field(min_length=1)]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Zone = Annotated[str, AfterValidator(_zone)]


class Part(Section):
    pass


def unfit(*, found: str, expected: str) -> PydanticCustomError:
    """What is wrong with keys that do not fit together."""
    return PydanticCustomError("unfit", "{expected}", {"found": found, "expected": expected})


# ---- files ---------------------------------------------------------------------------------------


class JsonLines(Part):
    """One JSON object a line."""

    name: Literal["jsonl"]


class Csv(Part):
    """A header, then one record a line; a quoted field may hold the delimiter, not a line break."""

    name: Literal["csv"]
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","


class CsvWithoutHeader(Part):
    name: Literal["csv_without_header"]
    columns: Annotated[tuple[ColumnName, ...], Field(min_length=1)]  # of the file, in order
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","


class Parquet(Part):
    """A row is a line; its number is that of the row in the file, its text the row as JSON."""

    name: Literal["parquet"]


def _spelt_out(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Format = Annotated[
    Annotated[JsonLines | Csv | CsvWithoutHeader | Parquet, Field(discriminator="name")],
    BeforeValidator(_spelt_out),
]

# ---- who, what -----------------------------------------------------------------------------------


class IdFromColumns(Part):
    columns: Annotated[tuple[ColumnName, ...], Field(min_length=1)]  # joined by "-"


class IdFromContent(Part):
    """A hash of the line, and of what two equal lines of a file are."""

    content: Literal[True]
    # separate: two events, told apart by their number within the file, so that a second delivery
    # of it is recognised. repeats: one event.
    equal_lines: Literal["separate", "repeats"] = "separate"


EventId = Annotated[
    Annotated[IdFromColumns, Tag("<columns>")] | Annotated[IdFromContent, Tag("<content>")],
    _by_key("columns", "content"),
]


def _unknown_words(value: Any) -> Any:
    if value == "allowed":
        return ()
    if not isinstance(value, list | tuple) or not all(
        isinstance(word, str | int) and not isinstance(word, bool) for word in value
    ):
        raise ValueError("allowed, or a list of the words that mean it, such as ['NULL', 0]")
    return tuple(str(word).strip() for word in value)


class UserOrUnknown(Part):
    """A line without a known user is an event of nobody: it counts for items, not for a user."""

    column: ColumnName
    # `allowed`: an empty value means that the user is not known; the words of a list mean it too.
    unknown: Annotated[tuple[str, ...], BeforeValidator(_unknown_words)]


UserId = Annotated[
    Annotated[ColumnName, Tag(WORD)] | Annotated[UserOrUnknown, Tag("<unknown>")],
    _by_key(WORD, "unknown"),
]


class ConstantType(Part):
    constant: ColumnName


class MappedType(Part):
    column: ColumnName
    map: Annotated[dict[str, str], Field(min_length=1)]  # the log's word → ours; others are refused


class MatchedType(Part):
    column: ColumnName
    # A regular expression for the whole word → ours. The first that matches counts; others are
    # refused.
    matches: Annotated[
        dict[Annotated[str, AfterValidator(_regular_expression)], str], Field(min_length=1)
    ]


EventType = Annotated[
    Annotated[ConstantType, Tag("<constant>")]
    | Annotated[MappedType, Tag("<map>")]
    | Annotated[MatchedType, Tag("<matches>")],
    _by_key("constant", "map", "matches"),
]

# ---- when ----------------------------------------------------------------------------------------


class IsoTime(Part):
    """`2017-01-01T06:53:26-05:00`; an instant without an offset is refused.

    In Parquet, a timestamp that is adjusted to UTC.
    """

    column: ColumnName
    format: Literal["iso8601"]


class EpochTime(Part):
    column: ColumnName
    format: Literal["epoch_s", "epoch_ms", "epoch_us"]


class NaiveTime(Part):
    """`2017-01-01 06:53:26` by the clocks of a zone; an instant with an offset is refused.

    In Parquet, a timestamp that is not adjusted to UTC, INT96 among them.
    """

    column: ColumnName
    format: Literal["naive"]
    zone: Zone


class PatternTime(Part):
    """`12/31/2009 7:45`, written as the pattern says, by the clocks of a zone."""

    column: ColumnName
    format: Literal["pattern"]
    pattern: Annotated[str, AfterValidator(_time_pattern)]  # M/d/yyyy H:mm
    zone: Zone


Time = Annotated[IsoTime | EpochTime | NaiveTime | PatternTime, Field(discriminator="format")]


class NumberedWeek(Part):
    """Weeks are counted; `week_one` is the first day of week 1."""

    column: ColumnName
    week_one: date


class DatedWeek(Part):
    """Any day of the week, `2017-11-29`, with or without a time; its weeks begin on a weekday."""

    column: ColumnName
    begins_on: Weekday


Week = Annotated[
    Annotated[NumberedWeek, Tag("<week_one>")] | Annotated[DatedWeek, Tag("<begins_on>")],
    _by_key("week_one", "begins_on"),
]

# ---- how much ------------------------------------------------------------------------------------


class NumberOrUnknown(Part):
    """A shop that writes 0 where it does not know the price would seem to give it away."""

    column: ColumnName
    unknown: Annotated[tuple[float, ...], Field(min_length=1)]  # values that mean: not known


class DecimalComma(Part):
    """`1.234,50`: a comma before the decimals, and points, if any, between the thousands."""

    column: ColumnName
    decimal: Literal[","]
    unknown: tuple[float, ...] = ()


class Divided(Part):
    """A price in cents is divided by 100."""

    column: ColumnName
    divide_by: PositiveFloat
    unknown: tuple[float, ...] = ()  # as the log writes it


Number = Annotated[
    Annotated[ColumnName, Tag(WORD)]
    | Annotated[DecimalComma, Tag("<decimal>")]
    | Annotated[Divided, Tag("<divide_by>")]
    | Annotated[NumberOrUnknown, Tag("<unknown>")],
    _by_key(WORD, "decimal", "divide_by", "unknown"),
]


class Marked(Part):
    """Yes, but where the column is empty or holds one of the words that say no."""

    column: ColumnName
    unless: tuple[str, ...] = ()


def column_of(part: "str | UserOrUnknown | NumberOrUnknown | DecimalComma | Divided") -> str:
    """The column that a user or a number is read from."""
    return part if isinstance(part, str) else part.column
