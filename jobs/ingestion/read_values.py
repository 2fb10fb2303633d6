"""What a log's words say, as column expressions: times, weeks, numbers, types, marks.

Spark's own functions only; a word that cannot be read is null, never an error.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F

from contracts.money import LARGEST
from jobs.sources.parts import (
    ConstantType,
    DecimalComma,
    Divided,
    EpochTime,
    EventType,
    IsoTime,
    MappedType,
    Marked,
    NaiveTime,
    Number,
    NumberedWeek,
    PatternTime,
    Time,
    Week,
    column_of,
)

_LAST_SECOND = 253_402_300_799  # of the year 9999
_DATE_AND_TIME = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?"
_OFFSET = r" ?(Z|UTC|[+-]\d{2}(:?\d{2})?)$"
_DECIMAL = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*\z"  # not 1d, 1f, 0x1p3
_WITH_COMMA = r"^[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?$"


def read_time(time: Time, text: dict[str, Column]) -> Column:
    """The instant, in UTC."""
    words = text[time.column]
    match time:
        case IsoTime():
            return F.when(words.rlike(_DATE_AND_TIME + _OFFSET), words.try_cast("timestamp"))
        case NaiveTime() | PatternTime():
            # Of a doubled hour the first pass; a missing one is moved on (local_clocks.py).
            return F.to_utc_timestamp(read_local(time, words), time.zone)
        case EpochTime():
            return _epoch(time, words)


def read_local(time: NaiveTime | PatternTime, words: Column) -> Column:
    """What the clock showed, as if it were UTC."""
    if isinstance(time, NaiveTime):
        return F.when(words.rlike(_DATE_AND_TIME + "$"), words.try_cast("timestamp"))
    return F.try_to_timestamp(words, F.lit(time.pattern))


def _epoch(time: EpochTime, words: Column) -> Column:
    micros = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}[time.format]
    number = words.try_cast("decimal(30,6)")
    is_possible = F.abs(number) <= _LAST_SECOND * (1_000_000 // micros)
    return F.timestamp_micros(F.when(is_possible, number * micros).cast("bigint"))


def read_number(number: Number | None, text: dict[str, Column]) -> Column:
    """Neither NaN nor infinite nor beyond ``LARGEST``; null where the log does not know it."""
    if number is None:
        return F.lit(None).cast("double")
    value = _as_written(number, text)
    if unknown := _unknown(number):
        value = F.when(~value.isin(*unknown), value)
    if isinstance(number, Divided):
        value = value / F.lit(number.divide_by)
    return F.when(F.abs(value) <= LARGEST, value)


def is_unreadable(number: Number, read: Column, text: dict[str, Column]) -> Column:
    """Does the line hold a word that is neither a number nor one that means "not known"?"""
    is_refused = text[column_of(number)].isNotNull() & read.isNull()
    if unknown := _unknown(number):
        is_refused &= ~F.coalesce(_as_written(number, text).isin(*unknown), F.lit(False))
    return is_refused


def _unknown(number: Number) -> tuple[float, ...]:
    return () if isinstance(number, str) else number.unknown


def _as_written(number: Number, text: dict[str, Column]) -> Column:
    """The number in the line, before it is divided."""
    words = text[column_of(number)]
    if isinstance(number, DecimalComma):
        plain = F.translate(words, ",.", ".")  # the comma becomes a point, a point vanishes
        words = F.when(words.rlike(_WITH_COMMA), plain)
    # A cast alone would take what Java writes in its programs; -0 + 0 is 0.
    return F.when(words.rlike(_DECIMAL), words.try_cast("double")) + F.lit(0.0)


def read_type(kind: EventType, text: dict[str, Column]) -> Column:
    """Ours for the log's word."""
    if isinstance(kind, ConstantType):
        return F.lit(kind.constant)
    words = text[kind.column]
    if isinstance(kind, MappedType):
        known = [(words == theirs, ours) for theirs, ours in kind.map.items()]
    else:
        known = [(words.rlike(f"^(?:{like})$"), ours) for like, ours in kind.matches.items()]
    return F.coalesce(*(F.when(is_it, F.lit(ours)) for is_it, ours in known))


def read_week(week: Week, text: dict[str, Column]) -> Column:
    """The first day of the week that is meant."""
    words = text[week.column]
    if isinstance(week, NumberedWeek):
        return F.date_add(F.lit(week.week_one), (words.try_cast("int") - 1) * 7)
    day = F.substring(words, 1, 10).try_cast("date")
    return F.date_sub(F.next_day(day, week.begins_on), 7)  # the next one is a later day always


def read_mark(mark: Marked | None, text: dict[str, Column]) -> Column:
    """Is it so? Never null."""
    if mark is None:
        return F.lit(False)
    return ~F.coalesce(text[mark.column], F.lit("")).isin("", *mark.unless)
