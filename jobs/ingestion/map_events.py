"""From the lines of a log to events, as its mapping says; what cannot become one gets a reason.

Pure: frames in, frames out. A line keeps its place (source, line) all the way.
"""

from collections.abc import Sequence
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from contracts.money import COMES_BACK, LARGEST
from contracts.windows import CLOCK_DAYS
from jobs.ingestion.key_text import flawed_value, unfit_key
from jobs.ingestion.local_clocks import SECOND_PASS, clock_of
from jobs.ingestion.parse_lines import has_control_at_edge, has_end_mark, has_unclosed_quote
from jobs.ingestion.read_values import (
    is_unreadable,
    read_local,
    read_number,
    read_time,
    read_type,
)
from jobs.lake.money_columns import as_signed
from jobs.sources.parts import (
    Csv,
    CsvWithoutHeader,
    IdFromColumns,
    NaiveTime,
    PatternTime,
    UserOrUnknown,
    column_of,
)
from jobs.sources.rows import Log


def map_events(parsed: DataFrame, log: Log, *, zone: str, first_bit: int = 0) -> DataFrame:
    """Add the columns of `events`, and ``reason``: null for an event, else why it is none.

    ``present`` has a bit, from ``first_bit`` on, for each of the log's columns: does the line give
    it a value?
    """
    text = {name: F.col("fields").getField(name) for name in log.columns}
    # Two selects: what is expensive to read is read once, then named many times.
    typed = parsed.select(
        *("source", "line", "ingest_date", "broken", "raw", "bytes", "problem", "fields", "flaws"),
        _event_id(log, text).alias("event_id"),
        _user_id(log, text).alias("user_id"),
        read_type(log.event_type, text).alias("event_type"),
        _event_time(log, text, parsed.columns).alias("event_time"),
        _clock(log, text).alias("clock"),
        *(read_number(number, text).alias(name) for name, number in log.numbers.items()),
    )
    price, quantity, amount = _numbers(log)
    reason = F.coalesce(
        _reason(log, text, zone),
        F.when(F.abs(amount) > LARGEST, F.lit("amount too large")),
    )
    return typed.select(
        *("source", "line", "ingest_date", "broken"),
        _present(text, first_bit).alias("present"),
        reason.alias("reason"),
        F.when(reason.isNull(), F.col("clock")).alias("clock"),
        F.coalesce("bytes", F.col("raw").cast("binary")).alias("raw"),
        "event_id",
        "user_id",
        text[log.item_id].alias("item_id"),
        "event_type",
        "event_time",
        _optional(text, log.category).alias("category"),
        F.when(F.abs(price) <= LARGEST, price).alias("price"),  # of a hair's breadth: none
        quantity.alias("quantity"),
        amount.alias("amount"),
        _optional(text, log.session_hint).alias("session_hint"),
        F.nullif(F.trim(_optional(text, log.text)), F.lit("")).alias("text"),
        _properties(log).alias("properties"),
    )


def _event_time(log: Log, text: dict[str, Column], columns: Sequence[str]) -> Column:
    first = read_time(log.event_time, text)
    if SECOND_PASS not in columns:
        return first
    return first + F.make_dt_interval(secs=F.coalesce(F.col(SECOND_PASS), F.lit(0)))


def _clock(log: Log, text: dict[str, Column]) -> Column:
    """Did the clock show that time twice or never? Null where it is any other."""
    time = log.event_time
    if not isinstance(time, NaiveTime | PatternTime):
        return F.lit(None).cast("string")
    return clock_of(read_local(time, text[time.column]), read_time(time, text), time.zone)


def _numbers(log: Log) -> tuple[Column, Column, Column]:
    """Price, quantity and amount; what comes back has a price above 0, the others below.

    However the log writes a return: with a minus in one of them, in two, or in none.
    """
    kind = F.col("event_type")
    quantity = as_signed(F.col("quantity"), kind)
    count = F.coalesce("quantity", F.lit(1.0))
    amount = F.col("amount") if log.amount is not None else F.col("price") * count
    amount = as_signed(amount, kind)
    if log.price is None:
        signed_count = as_signed(count, kind)
        price = F.when(signed_count != 0, amount / signed_count)
    else:
        price = F.when(kind.isin(*COMES_BACK), F.abs("price")).otherwise(F.col("price"))
    return price, quantity, amount


def _reason(log: Log, text: dict[str, Column], zone: str) -> Column:
    """The first check that the line fails, in words; null when it fails none."""
    allows_unknown = isinstance(log.user_id, UserOrUnknown)
    # A day's grace for clocks and zones.
    too_late = F.to_utc_timestamp(F.date_add("ingest_date", CLOCK_DAYS).cast("timestamp"), zone)
    unread = [
        *(_checks_of_csv(log.format) if isinstance(log.format, Csv | CsvWithoutHeader) else []),
        ("unreadable line", F.col("fields").isNull()),
    ]
    keys = {
        "user_id": F.col("user_id"),
        "item_id": text[log.item_id],
        "session_hint": _optional(text, log.session_hint),
        "category": _optional(text, log.category),
        "event_id": F.col("event_id"),  # last, because it may be made of the others
    }
    checks = [
        ("missing event_id", F.col("event_id").isNull()),
        *([] if allows_unknown else [("missing user_id", F.col("user_id").isNull())]),
        ("missing item_id", F.coalesce(F.trim(text[log.item_id]), F.lit("")) == ""),
        ("missing event_time", text[log.event_time.column].isNull()),
        ("unreadable event_time", F.col("event_time").isNull()),
        ("unknown event_type", F.col("event_type").isNull()),
        *(
            (f"unreadable {name}", is_unreadable(number, F.col(name), text))
            for name, number in log.numbers.items()
            if number is not None
        ),
        ("event_time after its ingestion day", F.col("event_time") >= too_late),
        ("event_time before 1970", F.unix_micros("event_time") < 0),
    ]
    return F.coalesce(
        F.col("problem"),
        *(F.when(is_bad, F.lit(why)) for why, is_bad in unread),
        flawed_value(log.columns_of),
        *(F.when(is_bad, F.lit(why)) for why, is_bad in checks),
        unfit_key(keys),
    )


def _checks_of_csv(form: Csv | CsvWithoutHeader) -> list[tuple[str, Column]]:
    return [
        ("unclosed quote", has_unclosed_quote()),
        ("U+FFFF in a line of CSV", has_end_mark()),
        ("control character at the edge of a field", has_control_at_edge(form.delimiter)),
    ]


def _present(text: dict[str, Column], first_bit: int) -> Column:
    bits = [
        F.when(value.isNotNull(), F.lit(1 << n)).otherwise(F.lit(0))
        for n, value in enumerate(text.values(), first_bit)
    ]
    return reduce(lambda left, right: left + right, bits).cast("bigint")


def _optional(text: dict[str, Column], name: str | None) -> Column:
    return F.lit(None).cast("string") if name is None else text[name]


def _event_id(log: Log, text: dict[str, Column]) -> Column:
    if isinstance(log.event_id, IdFromColumns):
        parts = [text[name] for name in log.event_id.columns]
        is_whole = reduce(lambda left, right: left & right, (part.isNotNull() for part in parts))
        if len(parts) > 1:  # "a-b" and "c" are not "a" and "b-c"
            parts = [F.regexp_replace(part, r"([\\-])", r"\\$1") for part in parts]
        return F.when(is_whole, F.concat_ws("-", *parts))
    if log.event_id.equal_lines == "repeats":
        return content_hash()
    number = F.concat(F.lit("-"), F.col("occurrence").cast("string"))  # of the second on
    return F.concat(content_hash(), F.coalesce(number, F.lit("")))


def content_hash() -> Column:
    """A hash of the line, however lines end."""
    return F.substring(F.sha2(F.rtrim("raw", F.lit("\r")), 256), 1, 32)


def number_equal_lines(parsed: DataFrame, log: Log) -> DataFrame:
    """Add ``occurrence``: of lines of a file that are equal, the second is 2; else null.

    Only hashes and places are shuffled, and only the places of equal lines come back to the rows.
    Lines without what every event has, such as blank ones, are not numbered, however many they are.
    """
    if isinstance(log.event_id, IdFromColumns) or log.event_id.equal_lines == "repeats":
        return parsed
    needed = [log.item_id, log.event_time.column]
    if not isinstance(log.user_id, UserOrUnknown):
        needed.append(column_of(log.user_id))
    text = [F.trim(F.col("fields").getField(name)) for name in needed]
    lines = parsed.where(reduce(and_, (F.coalesce(one, F.lit("")) != "" for one in text)))
    alike = (
        lines.groupBy("source", content_hash().alias("hash"))
        .agg(F.sort_array(F.collect_list("line")).alias("lines"))
        .where(F.size("lines") > 1)
        .select("source", F.posexplode("lines").alias("before", "line"))
        .where(F.col("before") > 0)
        .select("source", "line", (F.col("before") + 1).alias("occurrence"))
        .persist()  # few, and asked for by every job that reads the lines
    )
    return parsed.join(F.broadcast(alike), on=["source", "line"], how="left").select(
        *parsed.columns, "occurrence"
    )


def _user_id(log: Log, text: dict[str, Column]) -> Column:
    """Null where the line does not say who it was: in blanks, or in a word that means it."""
    named = text[column_of(log.user_id)]
    words = log.user_id.unknown if isinstance(log.user_id, UserOrUnknown) else ()
    return F.when(~F.trim(named).isin("", *words), named)


def _properties(log: Log) -> Column:
    if not log.properties:
        return F.create_map().cast("map<string,string>")
    pairs = [
        part for name in log.properties for part in (F.lit(name), F.col("fields").getField(name))
    ]
    return F.map_filter(F.create_map(*pairs), lambda _, value: value.isNotNull())
