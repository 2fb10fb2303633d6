"""The lines of one file, a batch at a time: numbered, with their text, or with what hinders it.

A line is what stands before a line feed, whatever its bytes are; its text is null where they are no
UTF-8, or too many for an event. Neither a long file nor a long line takes more memory than a batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import groupby

import pyarrow as pa

from jobs.ingestion.containers import NotLinesError, read_blocks

LINES = (
    "source string, line long, ingest_date date, raw string, bytes binary, problem string, "
    "broken string"
)
LONGEST_BYTES = 1024 * 1024  # of an event's line; Kafka, too, takes no longer message unasked
KEPT_BYTES = 64 * 1024  # of a longer one
NOT_UTF8, TOO_LONG = "not UTF-8", "line longer than 1 MiB"
NOT_LINES = "not lines: "  # how `broken` begins where the whole file is something else
_BATCH_LINES = 4096
_MARK = b"\xef\xbb\xbf"  # that some programs write before a file, also before one joined to others
_ARROW_LINES = pa.schema(
    [
        ("source", pa.string()),
        ("line", pa.int64()),
        ("ingest_date", pa.date32()),
        ("raw", pa.string()),  # null where there is a problem
        ("bytes", pa.binary()),  # where they are not those of the text
        ("problem", pa.string()),  # why the line has no text
        ("broken", pa.string()),  # why the rest of the file could not be read
    ]
)


def lines_of_file(
    path: str, source: str, ingest_date: date, skip: int, most: int | None = None
) -> Iterator[pa.RecordBatch]:
    """The lines of a file in batches of `LINES`; one that cannot be read on ends in ``broken``."""
    number = 0
    try:
        for lines in _lines_in(path):
            if most is not None and number >= most:
                return
            texts = lines.texts if most is None else lines.texts[: most - number]
            first = number + max(skip - number, 0)
            if number + len(texts) > first:
                rest = Lines(texts[first - number :], lines.is_cut)
                yield _batch(source, ingest_date, first + 1, rest)
            number += len(texts)
    except (OSError, EOFError) as error:
        yield broken_batch(source, ingest_date, number + 1, reason_of(error))


@dataclass(frozen=True)
class Lines:
    """Some lines without their line feeds; if ``is_cut``, the beginning of one too long line."""

    texts: list[bytes]
    is_cut: bool = False


def _lines_in(path: str) -> Iterator[Lines]:
    """The file's lines, some at a time. The end of the last line may be missing."""
    begun = bytearray()  # the line that the block before has left open, or enough of it
    for block in read_blocks(path):
        first, *lines = block.split(b"\n")
        if len(begun) <= LONGEST_BYTES:
            begun += first
        if lines:
            last = lines.pop()
            yield from _in_batches([bytes(begun), *lines])
            begun = bytearray(last)
    if begun:
        yield from _in_batches([bytes(begun)])


def _in_batches(lines: list[bytes]) -> Iterator[Lines]:
    if max(map(len, lines)) <= LONGEST_BYTES:
        yield from _batched(lines)
        return
    for is_too_long, alike in groupby(lines, key=lambda line: len(line) > LONGEST_BYTES):
        if is_too_long:
            yield from (Lines([line[:KEPT_BYTES]], is_cut=True) for line in alike)
        else:
            yield from _batched([*alike])


def _batched(lines: list[bytes]) -> Iterator[Lines]:
    for start in range(0, len(lines), _BATCH_LINES):
        yield Lines(lines[start : start + _BATCH_LINES])


def first_line(path: str) -> bytes:
    """The first line of a file; empty when the file is. Raises OSError, EOFError where broken."""
    first = next(_lines_in(path), Lines([b""]))
    if first.is_cut:
        raise OSError(f"its first line is longer than {LONGEST_BYTES:,} bytes")
    return first.texts[0]


def _batch(source: str, ingest_date: date, first: int, lines: Lines) -> pa.RecordBatch:
    if lines.is_cut:
        nothing, problems = pa.nulls(1, pa.string()), pa.array([TOO_LONG])
        return _arranged(source, ingest_date, first, nothing, pa.array(lines.texts), problems)
    texts = lines.texts
    count = len(texts)
    kept, problems = pa.nulls(count, pa.binary()), pa.nulls(count, pa.string())
    spoken = [line.removeprefix(_MARK) for line in texts]
    try:
        raw = pa.array(spoken, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        raw = pa.array([_text(line) for line in spoken], pa.string())
    if raw.null_count or spoken != texts:
        readable = raw.is_valid().to_pylist()
        same = zip(texts, spoken, readable, strict=True)
        kept = pa.array([None if ok and a == b else a for a, b, ok in same], pa.binary())
        problems = pa.array([None if ok else NOT_UTF8 for ok in readable], pa.string())
    return _arranged(source, ingest_date, first, raw, kept, problems)


def broken_batch(source: str, ingest_date: date, number: int, why: str) -> pa.RecordBatch:
    """The one row that says why a file could not be read from a line on."""
    empty, nothing = pa.array([b""]), pa.nulls(1, pa.string())
    return _arranged(source, ingest_date, number, pa.array([""]), empty, nothing, why)


def _arranged(
    source: str,
    ingest_date: date,
    first: int,
    raw: pa.Array,
    kept: pa.Array,
    problems: pa.Array,
    broken: str | None = None,
) -> pa.RecordBatch:
    count = len(raw)
    columns = [
        pa.repeat(source, count),
        pa.array(range(first, first + count), pa.int64()),
        pa.repeat(pa.scalar(ingest_date, pa.date32()), count),
        raw,
        kept,
        problems,
        pa.repeat(pa.scalar(broken, pa.string()), count),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_ARROW_LINES)


def _text(line: bytes) -> str | None:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def reason_of(error: Exception) -> str:
    """What `refuse_broken` needs to know of an error, as a word of a row."""
    if isinstance(error, NotLinesError):
        return f"{NOT_LINES}{error.found}"
    return (str(error).splitlines() or [type(error).__name__])[0]
