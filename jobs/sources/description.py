"""A mapping in words, for people: what each column of `events` is made from."""

from typing import assert_never

from jobs.sources.parts import (
    ConstantType,
    Csv,
    CsvWithoutHeader,
    DecimalComma,
    Divided,
    EpochTime,
    EventId,
    EventType,
    Format,
    IdFromColumns,
    IsoTime,
    JsonLines,
    MappedType,
    NaiveTime,
    Number,
    NumberOrUnknown,
    Parquet,
    PatternTime,
    Time,
    UserId,
)
from jobs.sources.rows import ItemAttributes, Log

NOTHING = "nothing"


def describe_log(log: Log, attributes: ItemAttributes | None = None) -> dict[str, str]:
    """Each column of `events` that a line decides, and where it comes from."""
    category, properties = log.category, list(log.properties)
    if attributes is not None:
        if attributes.category is not None:
            category = f"{attributes.category} of {attributes.files}"
        properties += [f"{name} of {attributes.files}" for name in attributes.properties]
    count = "1" if log.quantity is None else "quantity"
    price = NOTHING if log.amount is None else f"amount / {count}"
    amount = NOTHING if log.price is None else f"price × {count}"
    return {
        "event_id": describe_id(log.event_id),
        "user_id": describe_user(log.user_id),
        "item_id": log.item_id,
        "event_type": describe_type(log.event_type),
        "event_time": f"{log.event_time.column}, {describe_time(log.event_time)}",
        "category": category or NOTHING,
        "price": price if log.price is None else describe_number(log.price),
        "quantity": NOTHING if log.quantity is None else describe_number(log.quantity),
        "amount": amount if log.amount is None else describe_number(log.amount),
        "session_hint": log.session_hint or NOTHING,
        "text": log.text or NOTHING,
        "properties": ", ".join(properties) or NOTHING,
    }


def describe_format(form: Format) -> str:
    match form:
        case JsonLines():
            return "JSON Lines"
        case Csv(delimiter=delimiter):
            return "CSV" + _delimited(delimiter)
        case CsvWithoutHeader(delimiter=delimiter):
            return "CSV without header" + _delimited(delimiter)
        case Parquet():
            return "Parquet"
        case _:
            assert_never(form)


def _delimited(delimiter: str) -> str:
    return "" if delimiter == "," else f" with {delimiter!r}"


def describe_id(form: EventId) -> str:
    if isinstance(form, IdFromColumns):
        return " and ".join(form.columns)
    return f"a hash of the line; equal lines are {form.equal_lines}"


def describe_user(form: UserId) -> str:
    if isinstance(form, str):
        return form
    words = "".join(f" or {word}" for word in form.unknown)
    return f"{form.column}, unknown where empty{words}"


def describe_type(form: EventType) -> str:
    if isinstance(form, ConstantType):
        return f"always {form.constant}"
    words = form.map if isinstance(form, MappedType) else form.matches
    return f"{form.column}: " + ", ".join(f"{theirs} → {ours}" for theirs, ours in words.items())


def describe_time(form: Time) -> str:
    match form:
        case IsoTime():
            return "ISO-8601 with offset"
        case EpochTime(format=unit):
            return {"epoch_s": "epoch s", "epoch_ms": "epoch ms", "epoch_us": "epoch µs"}[unit]
        case NaiveTime(zone=zone):
            return f"clocks of {zone}"
        case PatternTime(pattern=pattern, zone=zone):
            return f"{pattern}, clocks of {zone}"
        case _:
            assert_never(form)


def describe_number(form: Number) -> str:
    if isinstance(form, str):
        return form
    unknown = "".join(f", {value:g} where unknown" for value in form.unknown)
    match form:
        case DecimalComma(column=column):
            return f"{column}, decimal comma{unknown}"
        case Divided(column=column, divide_by=divisor):
            return f"{column} / {divisor:g}{unknown}"
        case NumberOrUnknown(column=column):
            return f"{column}{unknown}"
