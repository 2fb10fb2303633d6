"""Files beside the days of a raw log, which speak of the items: found, parsed, and refused."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.errors import BadLinesError, DataError
from jobs.ingestion.load_logs import Place, load_rows
from jobs.ingestion.raw_lines import find_beside, refuse_broken
from jobs.sources.rows import RowsBeside


def load_beside(spark: SparkSession, mapping: RowsBeside, place: Place, *, part: str) -> DataFrame:
    """The rows of a part of a mapping. Raises DataError, MissingColumnsError."""
    files = find_beside(place.folder, mapping.files)
    if not files:
        raise DataError(
            f"{place.folder}/{mapping.files}",
            found="no such file",
            expected=f"what `{part}` of the mapping reads",
            do=f"Put it into the raw folder, or correct `files` in {place.mapping}.",
        )
    return load_rows(spark, files, mapping, place)


def refuse_bad(
    rows: DataFrame, mapping: RowsBeside, place: Place, *, max_bad_fraction: float
) -> None:
    """Rows of source, broken and reason: raises DataError, BadLinesError where too many are bad."""
    broken = F.when(F.col("broken").isNotNull(), F.struct("source", "broken"))
    counts = rows.groupBy("reason").agg(
        F.count(F.lit(1)).alias("lines"), F.min(broken).alias("broken")
    )
    found = counts.collect()
    for row in found:
        if row["broken"] is not None:
            raise refuse_broken(row["broken"]["source"], place.folder, row["broken"]["broken"])
    reasons = {row["reason"]: row["lines"] for row in found if row["reason"] is not None}
    lines, bad = sum(row["lines"] for row in found), sum(reasons.values())
    if bad > max_bad_fraction * lines:
        raise BadLinesError(
            f"{place.folder}/{mapping.files}",
            bad=bad,
            lines=lines,
            max_bad_fraction=max_bad_fraction,
            reasons=reasons,
        )
