"""From the lines of a log to events, as its mapping says; what cannot become one gets a reason.

Pure: frames in, frames out. A line keeps its place (source, line) all the way.
"""

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.sources import (
    ConstantType,
    EpochTime,
    IdFromColumns,
    IsoTime,
    NaiveTime,
    Source,
)

LARGEST = 1e12  # a number beyond it is a mistake, and would not fit sums of decimals
_LAST_SECOND = 253_402_300_799  # of the year 9999
_DATE_AND_TIME = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?"
_OFFSET = r" ?(Z|UTC|[+-]\d{2}(:?\d{2})?)$"
_CORRUPT = "_corrupt_line"


def parse_json(lines: DataFrame, source: Source) -> DataFrame:
    """Add ``fields``, a struct of the mapped columns as text, null where the line is unreadable."""
    return _parsed(lines, F.from_json("raw", _schema(source.columns), {**_options()}), source)


def parse_csv(lines: DataFrame, source: Source, *, header: list[str]) -> DataFrame:
    """The same for CSV. A column that the header lacks is null."""
    return _parsed(lines, F.from_csv("raw", _schema(header), _options()), source, header)


def map_events(parsed: DataFrame, source: Source, *, zone: str) -> DataFrame:
    """Add the columns of `events`, and ``reason``: null for an event, else why it is none."""
    text = {name: _text(name) for name in source.columns}
    event_id = _event_id(source, text)
    event_time = _event_time(source, text)
    event_type = _event_type(source, text)
    quantity, price, amount = (
        _number(text, name) for name in (source.quantity, source.price, source.amount)
    )
    numbers = [("quantity", source.quantity, quantity), ("price", source.price, price)]
    numbers.append(("amount", source.amount, amount))
    # 00:00 of the second day after the ingestion day: a day's grace for clocks and zones.
    too_late = F.to_utc_timestamp(F.date_add("ingest_date", 2).cast("timestamp"), zone)
    checks = [
        ("unreadable line", F.col("fields").isNull()),
        ("missing event_id", event_id.isNull()),
        ("missing user_id", text[source.user_id].isNull()),
        ("missing item_id", text[source.item_id].isNull()),
        ("missing event_time", text[source.event_time.column].isNull()),
        ("unreadable event_time", event_time.isNull()),
        ("unknown event_type", event_type.isNull()),
        *(
            (f"unreadable {name}", text[column].isNotNull() & value.isNull())
            for name, column, value in numbers
            if column is not None
        ),
        ("event_time after its ingestion day", event_time >= too_late),
    ]
    reason = F.coalesce(*(F.when(is_bad, F.lit(why)) for why, is_bad in checks))
    count = F.coalesce(quantity, F.lit(1.0))
    of_one = price if source.price else F.when(count > 0, amount / count)
    of_line = amount if source.amount else price * count
    return parsed.select(
        *("source", "line", "ingest_date", "broken", "fields"),
        reason.alias("reason"),
        F.when(reason.isNotNull(), F.col("raw")).alias("raw"),
        event_id.alias("event_id"),
        text[source.user_id].alias("user_id"),
        text[source.item_id].alias("item_id"),
        event_type.alias("event_type"),
        event_time.alias("event_time"),
        _optional(text, source.category).alias("category"),
        of_one.alias("price"),
        quantity.alias("quantity"),
        of_line.alias("amount"),
        _optional(text, source.session_hint).alias("session_hint"),
        _properties(source).alias("properties"),
    )


def _options() -> dict[str, str]:
    return {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT}


def _schema(columns: list[str]) -> str:
    names = [*columns, _CORRUPT]
    return ", ".join(f"`{name.replace('`', '``')}` STRING" for name in names)


def _parsed(
    lines: DataFrame, parsed: Column, source: Source, header: list[str] | None = None
) -> DataFrame:
    known = source.columns if header is None else header
    fields = [
        (F.col("parsed").getField(name) if name in known else F.lit(None).cast("string")).alias(
            name
        )
        for name in source.columns
    ]
    is_readable = (F.trim("raw") != "") & F.col("parsed").getField(_CORRUPT).isNull()
    return lines.withColumn("parsed", parsed).select(
        *("source", "line", "ingest_date", "broken", "raw"),
        F.when(is_readable, F.struct(*fields)).alias("fields"),
    )


def _text(name: str) -> Column:
    value = F.trim(F.col("fields").getField(name))
    return F.when(value != "", value)


def _optional(text: dict[str, Column], name: str | None) -> Column:
    return F.lit(None).cast("string") if name is None else text[name]


def _number(text: dict[str, Column], name: str | None) -> Column:
    if name is None:
        return F.lit(None).cast("double")
    value = text[name].try_cast("double")
    return F.when(F.abs(value) <= LARGEST, value)  # neither NaN nor infinite


def _event_id(source: Source, text: dict[str, Column]) -> Column:
    if isinstance(source.event_id, IdFromColumns):
        parts = [text[name] for name in source.event_id.columns]
        is_whole = reduce(lambda left, right: left & right, (part.isNotNull() for part in parts))
        return F.when(is_whole, F.concat_ws("-", *parts))
    return F.substring(F.sha2(F.col("raw"), 256), 1, 32)


def _event_type(source: Source, text: dict[str, Column]) -> Column:
    if isinstance(source.event_type, ConstantType):
        return F.lit(source.event_type.constant)
    words = text[source.event_type.column]
    known = [(words == theirs, F.lit(ours)) for theirs, ours in source.event_type.map.items()]
    return F.coalesce(*(F.when(is_it, ours) for is_it, ours in known))


def _event_time(source: Source, text: dict[str, Column]) -> Column:
    mapped = source.event_time
    words = text[mapped.column]
    if isinstance(mapped, IsoTime):
        return F.when(words.rlike(_DATE_AND_TIME + _OFFSET), words.try_cast("timestamp"))
    if isinstance(mapped, NaiveTime):
        local = F.when(words.rlike(_DATE_AND_TIME + "$"), words.try_cast("timestamp"))
        return F.to_utc_timestamp(local, mapped.zone)
    return _epoch(mapped, words)


def _epoch(mapped: EpochTime, words: Column) -> Column:
    micros = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}[mapped.format]
    number = words.try_cast("decimal(30,6)")
    is_possible = F.abs(number) <= _LAST_SECOND * (1_000_000 // micros)
    return F.timestamp_micros(F.when(is_possible, number * micros).cast("bigint"))


def _properties(source: Source) -> Column:
    if not source.properties:
        return F.create_map().cast("map<string,string>")
    pairs = [
        part for name in source.properties for part in (F.lit(name), F.col("fields").getField(name))
    ]
    return F.map_filter(F.create_map(*pairs), lambda _, value: value.isNotNull())
