"""The raw files of the ingestion days, and their lines with file and line number.

A file is read by one task, as a stream, so that line numbers are exact and memory does not grow
with it; a file that ends in .gz or .zst is decompressed. A line is what stands before a line feed,
whatever its bytes are; its text is null where they are no UTF-8. Files are found and opened through
pyarrow, so the raw folder may be a path or a URI (s3, hdfs, gs).
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

LINES = "source string, line long, ingest_date date, raw string, bytes binary, broken string"
FILES = "path string, source string, ingest_date date, skip int, most long"
_BLOCK_BYTES = 4 * 1024 * 1024
_LONGEST_BYTES = 64 * 1024 * 1024  # a longer line is no line: the file is refused as broken
_MARK = b"\xef\xbb\xbf"  # that some programs write before a file's first line
_ARROW_LINES = pa.schema(
    [
        ("source", pa.string()),
        ("line", pa.int64()),
        ("ingest_date", pa.date32()),
        ("raw", pa.string()),  # null where the bytes are no UTF-8
        ("bytes", pa.binary()),  # where they are not those of the text
        ("broken", pa.string()),  # why the rest of the file could not be read
    ]
)


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
        selector = fs.FileSelector(f"{root}/{name}", recursive=True, allow_not_found=True)
        found = [
            info
            for info in filesystem.get_file_info(selector)
            if info.type == fs.FileType.File and not info.base_name.startswith((".", "_"))
        ]
        if not found and not may_lack(day):
            empty.append(f"{folder}/{name}")
        for info in sorted(found, key=lambda info: info.path):
            source = info.path.removeprefix(root).lstrip("/")
            files.append(RawFile(scheme + quote(info.path), source, day))
    if empty:
        raise MissingRawError(*empty)
    return files


def find_beside(folder: str, pattern: str) -> list[RawFile]:
    """The files in the raw folder itself, beside its days, whose names have the pattern, sorted."""
    filesystem, root, scheme = _open(folder)
    infos = filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True))
    return [
        RawFile(scheme + quote(info.path), info.base_name, date.min)
        for info in sorted(infos, key=lambda info: info.path)
        if info.type == fs.FileType.File and fnmatchcase(info.base_name, pattern)
    ]


def read_header(file: RawFile) -> str:
    """The first line of a file; empty when the file is. Raises OSError where it is broken."""
    with _stream(file.path) as stream:
        text = bytes(stream.read(_BLOCK_BYTES))
    return text.split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8-sig", errors="replace")


def first_lines(file: RawFile, most: int) -> list[str]:
    """The first lines of a file, as text; those that are none are left out."""
    batches = _lines_of_file(file.path, file.source, file.ingest_date, 0, most)
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
    """The error for a file that ends in the middle of what it says it holds."""
    return DataError(
        f"{folder}/{source}",
        found=f"a file that cannot be read to its end ({why})",
        expected="a whole file",
        do="Nothing was committed. Ask the collector for the file again, then run this again.",
    )


def _lines_of(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for file in batch.to_pylist():
            yield from _lines_of_file(**file)


def _lines_of_file(
    path: str, source: str, ingest_date: date, skip: int, most: int | None = None
) -> Iterator[pa.RecordBatch]:
    number = 0
    try:
        for lines in _blocks(path):
            if most is not None and number >= most:
                return
            lines = lines if most is None else lines[: most - number]
            texts = lines[max(skip - number, 0) :]
            if texts:
                first = number + len(lines) - len(texts) + 1
                yield _batch(source, ingest_date, first, texts, None)
            number += len(lines)
    except (OSError, EOFError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        yield _batch(source, ingest_date, number + 1, [b""], why)


def _blocks(path: str) -> Iterator[list[bytes]]:
    """The file's lines, a block at a time. The end of the last line may be missing."""
    rest: list[bytes] = []  # of a line that may be longer than many blocks: joined once
    with _stream(path) as stream:
        while block := bytes(stream.read(_BLOCK_BYTES)):
            first, *lines = block.split(b"\n")
            rest.append(first)
            if sum(map(len, rest)) > _LONGEST_BYTES:
                raise OSError(f"a line of more than {_LONGEST_BYTES:,} bytes")
            if lines:
                *whole, begun = lines
                yield [b"".join(rest), *whole]
                rest = [begun]
    if last := b"".join(rest):
        yield [last]


def _batch(
    source: str, ingest_date: date, first: int, texts: list[bytes], broken: str | None
) -> pa.RecordBatch:
    count = len(texts)
    kept = pa.nulls(count, pa.binary())
    spoken = [texts[0].removeprefix(_MARK), *texts[1:]] if first == 1 else texts
    try:
        raw = pa.array(spoken, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        raw = pa.array([_text(line) for line in spoken], pa.string())
    if raw.null_count or spoken[0] != texts[0]:
        same = zip(texts, spoken, raw.is_valid().to_pylist(), strict=True)
        kept = pa.array([None if ok and a == b else a for a, b, ok in same], pa.binary())
    columns = [
        pa.repeat(source, count),
        pa.array(range(first, first + count), pa.int64()),
        pa.repeat(pa.scalar(ingest_date, pa.date32()), count),
        raw,
        kept,
        pa.repeat(pa.scalar(broken, pa.string()), count),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_ARROW_LINES)


def _text(line: bytes) -> str | None:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def _open(folder: str) -> tuple[fs.FileSystem, str, str]:
    """The filesystem, the path in it, and what makes such a path a URI again."""
    if "://" not in folder:
        return fs.LocalFileSystem(), folder.rstrip("/"), "file://"
    filesystem, root = fs.FileSystem.from_uri(folder)
    return filesystem, root.rstrip("/"), folder.rstrip("/").removesuffix(root.rstrip("/"))


def _stream(path: str) -> pa.NativeFile:
    filesystem, name = fs.FileSystem.from_uri(path)
    return filesystem.open_input_stream(name)  # decompressed as the name's ending says
