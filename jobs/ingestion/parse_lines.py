"""From the text of a line, or the row of a Parquet file, to the columns that a mapping names.

Pure: frames in, frames out. Each adds ``fields``, a struct of the named columns as text, in which
an empty value is null; the struct itself is null where the line is unreadable.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.sources.rows import Rows

_CORRUPT = "_corrupt_line"
_MOST_CELLS = 20_000


def parse_json(lines: DataFrame, rows: Rows) -> DataFrame:
    """Lines of one JSON object each.

    Where something follows a closing brace, the whole line is read again, so that of two objects on
    one line none is lost without a word.
    """
    parsed = F.from_json("raw", _schema(rows.columns), _options())
    num_objects = F.json_array_length(F.concat(F.lit("["), "raw", F.lit("]")))
    is_one = ~F.col("raw").rlike(r"\}\s*\S") | F.coalesce(num_objects == 1, F.lit(False))
    return _parsed(lines.withColumn("parsed", F.when(is_one, parsed)), rows, known=rows.columns)


def parse_csv(
    lines: DataFrame, rows: Rows, *, header: list[str], delimiter: str = ","
) -> DataFrame:
    """Lines of one record each, as RFC 4180 quotes them. A column that the header lacks is null."""
    options = {
        **_options(),
        "sep": delimiter,
        "escape": '"',  # a quote within quotes is doubled
        "ignoreLeadingWhiteSpace": "true",
        "ignoreTrailingWhiteSpace": "true",
    }
    # Beyond 20,480 cells Spark's parser fails, and the job with it: such a line is unreadable.
    num_delimiters = F.length("raw") - F.length(F.replace("raw", F.lit(delimiter)))
    is_possible = (F.length("raw") < _MOST_CELLS) | (num_delimiters < _MOST_CELLS)
    text = F.when(is_possible & ~has_unclosed_quote(), F.col("raw"))
    parsed = F.from_csv(text, _schema(header), options)
    return _parsed(lines.withColumn("parsed", parsed), rows, known=header)


def take_rows(found: DataFrame, rows: Rows, *, known: list[str]) -> DataFrame:
    """Rows of Parquet files, whose ``parsed`` is text already; ``raw`` is the row as JSON."""
    raw = F.to_json("parsed", {"ignoreNullFields": "false"})
    whole = found.withColumn("raw", raw).withColumn("bytes", F.lit(None).cast("binary"))
    return _parsed(whole, rows, known=known, is_whole=F.lit(True))


def has_unclosed_quote() -> Column:
    """A quoted field that is not closed on its line: a line break within quotes is not read."""
    raw = F.col("raw")
    return (F.length(raw) - F.length(F.replace(raw, F.lit('"'), F.lit("")))) % 2 == 1


def _options() -> dict[str, str]:
    return {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT}


def _schema(columns: list[str]) -> str:
    names = [*columns, _CORRUPT]
    return ", ".join(f"{quoted(name)} STRING" for name in names)


def quoted(name: str) -> str:
    """A column's name in a schema."""
    return f"`{name.replace('`', '``')}`"


def _parsed(
    lines: DataFrame, rows: Rows, *, known: list[str], is_whole: Column | None = None
) -> DataFrame:
    nothing = F.lit(None).cast("string")
    fields = []
    for name in rows.columns:
        value = F.col("parsed").getField(name) if name in known else nothing
        fields.append(F.when(value != "", value).alias(name))
    if is_whole is None:
        is_whole = F.col("parsed").getField(_CORRUPT).isNull()
    is_readable = (F.trim("raw") != "") & F.col("parsed").isNotNull() & is_whole
    return lines.select(
        *("source", "line", "ingest_date", "broken", "raw", "bytes"),
        F.when(is_readable, F.struct(*fields)).alias("fields"),
    )
