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
_MOST_CELLS = 20_000


def parse_json(lines: DataFrame, source: Source) -> DataFrame:
    """Add ``fields``, a struct of the mapped columns as text, null where the line is unreadable.

    A line is one object: where something follows a closing brace, the whole line is read again, so
    that of two objects on one line none is lost without a word.
    """
    parsed = F.from_json("raw", _schema(source.columns), _options())
    num_objects = F.json_array_length(F.concat(F.lit("["), "raw", F.lit("]")))
    is_one = ~F.col("raw").rlike(r"\}\s*\S") | F.coalesce(num_objects == 1, F.lit(False))
    return _parsed(lines, F.when(is_one, parsed), source)


def parse_csv(lines: DataFrame, source: Source, *, header: list[str]) -> DataFrame:
    """The same for CSV. A column that the header lacks is null."""
    options = {
        **_options(),
        "ignoreLeadingWhiteSpace": "true",
        "ignoreTrailingWhiteSpace": "true",
    }
    # Beyond 20,480 cells Spark's parser fails, and the job with it: such a line is unreadable.
    num_commas = F.length("raw") - F.length(F.replace("raw", F.lit(",")))
    is_possible = (F.length("raw") < _MOST_CELLS) | (num_commas < _MOST_CELLS)
    parsed = F.from_csv(F.when(is_possible, F.col("raw")), _schema(header), options)
    return _parsed(lines, parsed, source, header)


def map_events(parsed: DataFrame, source: Source, *, zone: str) -> DataFrame:
    """Add the columns of `events`, and ``reason``: null for an event, else why it is none.

    ``present`` has a bit for each of the mapping's columns: does the line give it a value?
    """
    text = {name: F.col("fields").getField(name) for name in source.columns}
    numbers = {"quantity": source.quantity, "price": source.price, "amount": source.amount}
    # Two selects: what is expensive to read is read once, then named many times.
    typed = parsed.select(
        *("source", "line", "ingest_date", "broken", "raw", "bytes", "fields"),
        _event_id(source, text).alias("event_id"),
        _event_type(source, text).alias("event_type"),
        _event_time(source, text).alias("event_time"),
        *(_number(text, column).alias(name) for name, column in numbers.items()),
    )
    count = F.coalesce("quantity", F.lit(1.0))
    price = F.when(count > 0, F.col("amount") / count) if source.price is None else F.col("price")
    amount = F.col("price") * count if source.amount is None else F.col("amount")
    reason = F.coalesce(
        _reason(source, text, numbers, zone),
        F.when(F.abs(amount) > LARGEST, F.lit("amount too large")),
    )
    return typed.select(
        *("source", "line", "ingest_date", "broken"),
        _present(text).alias("present"),
        reason.alias("reason"),
        F.coalesce("bytes", F.col("raw").cast("binary")).alias("raw"),
        "event_id",
        text[source.user_id].alias("user_id"),
        text[source.item_id].alias("item_id"),
        "event_type",
        "event_time",
        _optional(text, source.category).alias("category"),
        F.when(F.abs(price) <= LARGEST, price).alias("price"),  # of a hair's breadth: none
        "quantity",
        amount.alias("amount"),
        _optional(text, source.session_hint).alias("session_hint"),
        _properties(source).alias("properties"),
    )


def _reason(
    source: Source, text: dict[str, Column], numbers: dict[str, str | None], zone: str
) -> Column:
    """The first check that the line fails, in words; null when it fails none."""
    # 00:00 of the second day after the ingestion day: a day's grace for clocks and zones.
    too_late = F.to_utc_timestamp(F.date_add("ingest_date", 2).cast("timestamp"), zone)
    checks = [
        ("not UTF-8", F.col("raw").isNull()),
        ("unreadable line", F.col("fields").isNull()),
        ("missing event_id", F.col("event_id").isNull()),
        ("missing user_id", text[source.user_id].isNull()),
        ("missing item_id", text[source.item_id].isNull()),
        ("missing event_time", text[source.event_time.column].isNull()),
        ("unreadable event_time", F.col("event_time").isNull()),
        ("unknown event_type", F.col("event_type").isNull()),
        *(
            (f"unreadable {name}", text[column].isNotNull() & F.col(name).isNull())
            for name, column in numbers.items()
            if column is not None
        ),
        ("event_time after its ingestion day", F.col("event_time") >= too_late),
        ("event_time before 1970", F.unix_micros("event_time") < 0),
    ]
    return F.coalesce(*(F.when(is_bad, F.lit(why)) for why, is_bad in checks))


def _present(text: dict[str, Column]) -> Column:
    bits = [
        F.when(value.isNotNull(), F.lit(1 << n)).otherwise(F.lit(0))
        for n, value in enumerate(text.values())
    ]
    return reduce(lambda left, right: left + right, bits).cast("bigint")


def _options() -> dict[str, str]:
    return {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT}


def _schema(columns: list[str]) -> str:
    names = [*columns, _CORRUPT]
    return ", ".join(f"`{name.replace('`', '``')}` STRING" for name in names)


def _parsed(
    lines: DataFrame, parsed: Column, source: Source, header: list[str] | None = None
) -> DataFrame:
    known = source.columns if header is None else header
    nothing = F.lit(None).cast("string")
    fields = []
    for name in source.columns:
        value = F.col("parsed").getField(name) if name in known else nothing
        fields.append(F.when(value != "", value).alias(name))
    is_whole = F.col("parsed").isNotNull() & F.col("parsed").getField(_CORRUPT).isNull()
    is_readable = (F.trim("raw") != "") & is_whole
    return lines.withColumn("parsed", parsed).select(
        *("source", "line", "ingest_date", "broken", "raw", "bytes"),
        F.when(is_readable, F.struct(*fields)).alias("fields"),
    )


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
    return F.substring(F.sha2(F.rtrim("raw", F.lit("\r")), 256), 1, 32)  # however lines end


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
