"""From the text of a line of CSV, or the row of a Parquet file, to the columns of a mapping.

Pure: frames in, frames out. Each adds ``fields``, a struct of the named columns as text, in which
an empty value is null; the struct itself is null where the line is unreadable; and ``flaws``, which
says what is wrong with the value of a column, null where nothing is.
"""

import re
from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.sources.rows import Rows

_CORRUPT = "_corrupt_line"
_MOST_CELLS = 20_000


def parse_csv(
    lines: DataFrame, rows: Rows, *, header: list[str], delimiter: str = ","
) -> DataFrame:
    """Lines of one record each, as RFC 4180 quotes them. A column that the header lacks is null."""
    options = {
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": _CORRUPT,
        "sep": delimiter,
        "escape": '"',  # a quote within quotes is doubled
        "ignoreLeadingWhiteSpace": "true",
        "ignoreTrailingWhiteSpace": "true",
    }
    # Beyond 20,480 cells Spark's parser fails, and the job with it: such a line is unreadable.
    num_delimiters = F.length("raw") - F.length(F.replace("raw", F.lit(delimiter)))
    is_possible = (F.length("raw") < _MOST_CELLS) | (num_delimiters < _MOST_CELLS)
    is_possible &= ~has_unclosed_quote() & ~has_end_mark()
    text = F.when(is_possible, F.col("raw"))
    cells = [f"cell_{n}" for n in range(len(header))]  # names may stand twice in a header
    schema = ", ".join(f"{name} STRING" for name in (*cells, _CORRUPT))
    parsed = F.col("parsed")
    values = {name: parsed.getField(cells[n]) for n, name in reversed([*enumerate(header)])}
    is_whole = parsed.getField(_CORRUPT).isNull()
    read = lines.withColumn("parsed", F.from_csv(text, schema, options))
    return _with_fields(read.withColumn("flaws", _no_flaws()), rows, values, is_whole=is_whole)


def take_rows(
    read: DataFrame, rows: Rows, *, columns: list[str], paths: Sequence[str] = ()
) -> DataFrame:
    """Rows of Parquet files, whose ``parsed`` is text already; ``raw`` is the row as JSON.

    ``parsed`` has the file's columns, and after them the values at some paths within these.
    """
    parsed = {name: F.col("parsed").getField(name) for name in (*columns, *paths)}
    row = F.struct(*(parsed[name].alias(name) for name in columns))
    whole = (
        read.withColumn("raw", F.to_json(row, {"ignoreNullFields": "false"}))
        .withColumn("bytes", F.lit(None).cast("binary"))
        .withColumn("problem", F.lit(None).cast("string"))
    )
    return _with_fields(whole, rows, parsed, is_whole=F.lit(True))


def has_unclosed_quote() -> Column:
    """A quoted field that is not closed on its line: a line break within quotes is not read."""
    raw = F.col("raw")
    return (F.length(raw) - F.length(F.replace(raw, F.lit('"'), F.lit("")))) % 2 == 1


def has_end_mark() -> Column:
    """U+FFFF, no letter of any language: Spark's parser ends there, and loses the line after it."""
    return F.col("raw").contains("\uffff")


def has_control_at_edge(delimiter: str) -> Column:
    """A control character that would go with the blanks around a field, and make two ids one."""
    control = "".join(f"\\x{n:02x}" for n in range(32) if chr(n) not in ("\t", delimiter))
    edge = re.escape(delimiter)
    pattern = rf"(?:^|{edge})[ \t]*[{control}]|[{control}][ \t]*(?:{edge}|$)"
    return F.rtrim("raw", F.lit("\r")).rlike(pattern)


def _no_flaws() -> Column:
    return F.lit(None).cast("map<string,string>")


def _with_fields(
    read: DataFrame, rows: Rows, values: Mapping[str, Column], *, is_whole: Column
) -> DataFrame:
    nothing = F.lit(None).cast("string")
    fields = [F.nullif(values.get(name, nothing), F.lit("")).alias(name) for name in rows.columns]
    is_readable = (F.trim("raw") != "") & F.col("parsed").isNotNull() & is_whole
    return read.select(
        *("source", "line", "ingest_date", "broken", "raw", "bytes", "problem"),
        F.when(is_readable, F.struct(*fields)).alias("fields"),
        "flaws",
    )
