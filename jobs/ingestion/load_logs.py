"""From a mapping and the files of the days to parsed rows, each kind of file in its own way.

CSV files are read by their own headers and Parquet files by their own columns; JSON Lines have no
header, so whether a column is there is known only once the lines are read.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame, SparkSession

from contracts.errors import DataError, MissingColumnsError, MissingRawError
from jobs.ingestion.json_lines import read_objects, read_paths
from jobs.ingestion.line_batches import reason_of
from jobs.ingestion.local_clocks import mark_second_pass
from jobs.ingestion.map_events import map_events, number_equal_lines
from jobs.ingestion.parse_lines import parse_csv, take_rows
from jobs.ingestion.raw_lines import RawFile, read_header, read_lines, refuse_broken
from jobs.ingestion.raw_rows import Columns, read_columns, read_rows
from jobs.sources.mapping import ManyLogs, Source
from jobs.sources.parts import Csv, CsvWithoutHeader, JsonLines, Parquet
from jobs.sources.rows import Log, Rows

_MOST_NAMES, _LONGEST_NAME = 50, 60  # of a file's columns, in a message


@dataclass(frozen=True)
class Place:
    """Where the files and their mapping are, for what is said about them."""

    folder: str
    mapping: str

    def missing(self, missing: list[str], present: Iterable[str]) -> MissingColumnsError:
        return MissingColumnsError(
            self.folder,
            missing=missing,
            present=_shown(sorted(present)),
            mapping=self.mapping,
        )


def _shown(names: list[str]) -> list[str]:
    """Names that may come from a file of any kind, as a message can show them."""
    shown = [name if name.isprintable() else ascii(name) for name in names[:_MOST_NAMES]]
    more = [f"… and {len(names) - len(shown)} more"] if len(names) > len(shown) else []
    return [
        name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…" for name in shown
    ] + more


def share_out(files: list[RawFile], source: Source, place: Place) -> list[list[RawFile]]:
    """The files of each of the source's logs.

    Raises DataError for a file of no log, MissingRawError for a day without a log's file.
    """
    if not isinstance(source, ManyLogs):
        return [files]
    shares: dict[str, list[RawFile]] = {name: [] for name in source.logs}
    for file in files:
        shares[_name_of(file, source, place)].append(file)
    for day in sorted({file.ingest_date for file in files}):
        for name, share in shares.items():
            if all(file.ingest_date != day for file in share):
                pattern = source.logs[name].files
                raise MissingRawError(f"{place.folder}/ingest_date={day}/{pattern}")
    return [*shares.values()]


def log_of(file: RawFile, source: Source, place: Place) -> Log:
    """The log that a file is of. Raises DataError for a file of none."""
    return source.logs[_name_of(file, source, place)] if isinstance(source, ManyLogs) else source


def _name_of(file: RawFile, source: ManyLogs, place: Place) -> str:
    name = source.name_of(file.path)
    if name is None:
        patterns = ", ".join(log.files for log in source.logs.values())
        raise DataError(
            f"{place.folder}/{file.source}",
            found="a file of none of the logs, or of several",
            expected=f"a name that has exactly one of the patterns {patterns}",
            do=f"Correct `files` in {place.mapping}, or take the file out of the day's folder.",
        )
    return name


def load_rows(
    spark: SparkSession, files: list[RawFile], rows: Rows, place: Place, *, most: int | None = None
) -> DataFrame:
    """The files' rows, parsed; with ``most``, those up to that line of each.

    Raises MissingColumnsError when no header has a column, DataError for a file without its head.
    """
    match rows.format:
        case JsonLines():
            return read_objects(spark, files, rows.columns, most=most)
        case CsvWithoutHeader(columns=columns, delimiter=delimiter):
            lines = read_lines(spark, files, skip=0, most=most)
            return parse_csv(lines, rows, header=[*columns], delimiter=delimiter)
        case Csv(delimiter=delimiter):
            return _load_csv(spark, files, rows, place, delimiter=delimiter, most=most)
        case Parquet():
            return _load_parquet(spark, files, rows, place, most=most)


def _load_csv(
    spark: SparkSession,
    files: list[RawFile],
    rows: Rows,
    place: Place,
    *,
    delimiter: str,
    most: int | None,
) -> DataFrame:
    heads: dict[tuple[str, ...], list[RawFile]] = {}
    for file in files:
        head = _header(file, delimiter, place)
        _refuse_twice(file, rows, place, twice=[name for name in head if head.count(name) > 1])
        heads.setdefault(tuple(head), []).append(file)
    _require(rows, place, present={name for head in heads for name in head} - {""})
    parts = [
        parse_csv(
            read_lines(spark, alike, skip=1, most=most), rows, header=[*head], delimiter=delimiter
        )
        for head, alike in heads.items()
    ]
    return reduce(DataFrame.unionByName, parts)


def _load_parquet(
    spark: SparkSession, files: list[RawFile], rows: Rows, place: Place, *, most: int | None
) -> DataFrame:
    heads: dict[Columns, list[RawFile]] = {}
    for file in files:
        found = read_columns(file, place.folder)
        _refuse_twice(file, rows, place, twice=found.twice)
        heads.setdefault(found, []).append(file)
    _require(rows, place, present={name for head in heads for name in (*head.names, *head.paths)})
    parts = []
    for head, alike in heads.items():
        paths = [name for name in rows.columns if name in head.paths and name not in head.names]
        read = read_rows(spark, alike, columns=head.names, paths=paths, most=most)
        parts.append(take_rows(read, rows, columns=[*head.names], paths=paths))
    return reduce(DataFrame.unionByName, parts)


def _require(rows: Rows, place: Place, *, present: set[str]) -> None:
    missing = [name for name in rows.columns if name not in present]
    if missing and present:
        raise place.missing(missing, present)


def _refuse_twice(file: RawFile, rows: Rows, place: Place, *, twice: Iterable[str]) -> None:
    """Which of two columns of one name is meant, nobody can say."""
    meant = [name for name in rows.columns if name in twice]
    if meant:
        raise DataError(
            f"{place.folder}/{file.source}",
            found=f"more than one column {', '.join(meant)}",
            expected=f"one column of each name that {place.mapping} uses",
            do="Nothing was committed. Ask the collector for different names.",
        )


def load_events(
    spark: SparkSession, shares: list[list[RawFile]], source: Source, place: Place, *, zone: str
) -> DataFrame:
    """The rows of all logs, mapped. Their ``present`` bits follow one another, log by log."""
    parts, first_bit = [], 0
    for log, files in zip(source.all_logs, shares, strict=True):
        parsed = in_file_order(load_rows(spark, files, log, place), log, files)
        parts.append(map_events(parsed, log, zone=zone, first_bit=first_bit))
        first_bit += len(log.columns)
    return reduce(DataFrame.unionByName, parts)


def in_file_order(parsed: DataFrame, log: Log, files: list[RawFile]) -> DataFrame:
    """What only the other lines of its file say of a line: its number, and its clock's pass."""
    days = sorted({file.ingest_date for file in files})
    return number_equal_lines(mark_second_pass(parsed, log, days), log)


def require_columns(
    spark: SparkSession,
    shares: list[list[RawFile]],
    source: Source,
    place: Place,
    *,
    present: int,
) -> None:
    """Raise MissingColumnsError where JSON Lines never have a column; ``present``: bits of all.

    A column without one value may be a wrong name: look at the keys of the lines themselves.
    """
    first_bit = 0
    for log, files in zip(source.all_logs, shares, strict=True):
        empty = [n for bit, n in enumerate(log.columns, first_bit) if not present >> bit & 1]
        first_bit += len(log.columns)
        if empty and isinstance(log.format, JsonLines):
            known = read_paths(spark, files)
            above = {path[: n.start()] for path in known for n in re.finditer(r"\.", path)}
            missing = [name for name in empty if name not in known | above]
            if missing and known:
                raise place.missing(missing, known)


def read_head(file: RawFile, rows: Rows, place: Place) -> list[str]:
    """The names of a file's columns; none for JSON Lines, whose lines each have their own."""
    match rows.format:
        case Csv(delimiter=delimiter):
            return _header(file, delimiter, place)
        case CsvWithoutHeader(columns=columns):
            return [*columns]
        case Parquet():
            found = read_columns(file, place.folder)
            return [*found.names, *found.paths]
        case JsonLines():
            return []


def _header(file: RawFile, delimiter: str, place: Place) -> list[str]:
    try:
        line = read_header(file)
        names = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [""])
    except csv.Error:
        why = "its first line is no header of CSV"
        raise refuse_broken(file.source, place.folder, why) from None
    except (OSError, EOFError) as error:
        raise refuse_broken(file.source, place.folder, reason_of(error)) from None
    return [name.strip() for name in names]
