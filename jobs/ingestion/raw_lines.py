"""The raw files of the ingestion days, and their lines with file and line number.

A file is read by one task, as a stream, so that line numbers are exact. Files are found and opened
through pyarrow, so the raw folder may be a path or a URI (s3, hdfs, gs).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from urllib.parse import quote

import pyarrow as pa
from pyarrow import fs
from pyspark.sql import DataFrame, SparkSession

from contracts.errors import DataError, MissingRawError, UnreachableError
from contracts.windows import Window
from jobs.ingestion.containers import LINES_EXPECTED, UNPACK, WHAT_TO_DO
from jobs.ingestion.line_batches import LINES, NOT_LINES, first_line, lines_of_file
from jobs.ingestion.links import files_in, files_under, is_hidden

FILES = "path string, source string, ingest_date date, skip int, most long"


@dataclass(frozen=True)
class RawFile:
    path: str  # URI
    source: str  # the path inside the raw folder, the same on every machine
    ingest_date: date


def find_raw(
    folder: str, window: Window, *, may_lack: Callable[[date], bool] = lambda day: False
) -> list[RawFile]:
    """The files of every day. Raises UnreachableError, or MissingRawError that names all days."""
    filesystem, root, scheme = _open(folder)
    if filesystem.get_file_info(root).type != fs.FileType.Directory:
        raise UnreachableError(
            "the raw folder",
            address=folder,
            reason="no such folder",
            do="Check `home` and `raw` in the configuration, and that the folder is mounted.",
        )
    files, empty = [], []
    for day in window.days:
        name = f"ingest_date={day}"
        if isinstance(filesystem, fs.LocalFileSystem):
            paths = files_under(f"{root}/{name}", within=root)
        else:
            selector = fs.FileSelector(f"{root}/{name}", recursive=True, allow_not_found=True)
            infos = filesystem.get_file_info(selector)
            paths = [info.path for info in infos if info.type == fs.FileType.File]
        sources = {path.removeprefix(root).lstrip("/"): path for path in paths}
        found = [source for source in sorted(sources) if not is_hidden(source)]
        if not found and not may_lack(day):
            empty.append(f"{folder}/{name}")
        files += [RawFile(scheme + quote(sources[source]), source, day) for source in found]
    if empty:
        raise MissingRawError(*empty)
    return files


def find_beside(folder: str, pattern: str) -> list[RawFile]:
    """The files in the raw folder itself, beside its days, whose names have the pattern, sorted."""
    filesystem, root, scheme = _open(folder)
    if isinstance(filesystem, fs.LocalFileSystem):
        paths = files_in(root, pattern)
    else:
        infos = filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True))
        paths = [info.path for info in infos if info.type == fs.FileType.File]
    names = {path.rsplit("/", 1)[-1]: path for path in paths}
    return [
        RawFile(scheme + quote(names[name]), name, date.min)
        for name in sorted(names)
        if fnmatchcase(name, pattern)
    ]


def read_header(file: RawFile) -> str:
    """The first line of a file; empty when the file is. Raises OSError, EOFError where broken."""
    return first_line(file.path).rstrip(b"\r").decode("utf-8-sig", errors="replace")


def first_lines(file: RawFile, most: int) -> list[str]:
    """The first lines of a file, as text; those that are none are left out."""
    batches = lines_of_file(file.path, file.source, file.ingest_date, 0, most)
    texts = [text for batch in batches for text in batch.column("raw").to_pylist()]
    return [text for text in texts if text is not None]


def read_lines(
    spark: SparkSession, files: list[RawFile], *, skip: int, most: int | None = None
) -> DataFrame:
    """Every line but the first ``skip`` of each file: source, line from 1, day, text.

    With ``most``, only the lines up to that number.
    """
    return list_files(spark, files, skip=skip, most=most).mapInArrow(_lines_of, LINES)


def list_files(
    spark: SparkSession, files: list[RawFile], *, skip: int, most: int | None
) -> DataFrame:
    """The files as rows, spread over the tasks that are to read them."""
    rows = [(file.path, file.source, file.ingest_date, skip, most) for file in files]
    tasks = min(len(rows), 4 * spark.sparkContext.defaultParallelism)
    return spark.createDataFrame(rows, FILES).repartition(tasks)


def refuse_broken(source: str, folder: str, why: str) -> DataError:
    """The error for a file that ends too early, or is something else than lines."""
    if why.startswith(NOT_LINES):
        found = why.removeprefix(NOT_LINES)
        return DataError(
            f"{folder}/{source}",
            found=found,
            expected=LINES_EXPECTED,
            do=f"Nothing was committed. {WHAT_TO_DO.get(found, UNPACK)}",
        )
    return DataError(
        f"{folder}/{source}",
        found=f"a file that cannot be read to its end ({why})",
        expected="a whole file",
        do="Nothing was committed. Ask the collector for the file again, then run this again.",
    )


def _lines_of(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for file in batch.to_pylist():
            yield from lines_of_file(**file)


def _open(folder: str) -> tuple[fs.FileSystem, str, str]:
    """The filesystem, the path in it, and what makes such a path a URI again."""
    if "://" not in folder:
        return fs.LocalFileSystem(), folder.rstrip("/"), "file://"
    filesystem, root = fs.FileSystem.from_uri(folder)
    return filesystem, root.rstrip("/"), folder.rstrip("/").removesuffix(root.rstrip("/"))
