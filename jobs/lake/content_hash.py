"""One short text that says which rows a table holds, whatever their order and whoever stored them.

The hash of a set of rows is ``<16 hex digits>-<number of rows>``. Arithmetic is modulo 2**64, and
``mix`` is the finaliser of SplitMix64 (Steele, Lea, Flood, https://doi.org/10.1145/2660193.2660195).

- A cell becomes a 64-bit word. Whole numbers, booleans, dates (days since 1970-01-01) and instants
  (microseconds since 1970-01-01 UTC) are the word itself; a float is its IEEE-754 bits as float64,
  with one zero and one NaN; a null is a word of its own. A string is the sum over its UTF-8 bytes
  of ``mix(256 * place + byte)``, place from 1, plus ``mix`` of its length in bytes: simple
  tabulation hashing.
- A row starts as 0 and takes its cells in column order: ``row = mix(row * GOLDEN + mix(word))``.
- The rows are added up, so neither their order nor their batches matter, and a repeated row counts.

Two engines that hold the same values agree, because only values enter: no encoding, no width of an
integer, no time zone of a column. It guards against mistakes, not against forgers.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.errors import ConfigError
from contracts.tables import Table

Words = NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
NULL = np.uint64(0xD1B54A32D192ED03)
MAX_ROWS = 65_536  # hashed at once: bounds the memory, changes no hash


def hashed_columns(table: Table) -> list[str]:
    """The columns that say what a row is; those that say when it was made are left out."""
    return [column.name for column in table.columns if column.in_hash]


def content_hash(rows: pa.Table | Iterable[pa.RecordBatch], columns: Sequence[str]) -> str:
    """Hash the rows over these columns, in this order. Raises ConfigError on a nested column."""
    batches = rows.to_batches(max_chunksize=MAX_ROWS) if isinstance(rows, pa.Table) else rows
    total, num_rows = 0, 0
    for batch in batches:
        total += int(_row_words(batch, columns).sum(dtype=np.uint64))
        num_rows += batch.num_rows
    return f"{total % 2**64:016x}-{num_rows}"


def _row_words(batch: pa.RecordBatch, columns: Sequence[str]) -> Words:
    row: Words = np.zeros(batch.num_rows, np.uint64)
    for name in columns:
        row = _mix(row * GOLDEN + _mix(_cell_words(batch.column(name), name)))
    return row


def _cell_words(cells: pa.Array, name: str) -> Words:
    """(N,) words; (1,) where every cell is the same, as a cutoff or a model's name is."""
    if len(cells) > 1 and is_constant(cells):
        cells = cells.slice(0, 1)
    kind = cells.type
    if pa.types.is_dictionary(kind):
        cells, kind = cells.dictionary_decode(), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        words = _string_words(cells.cast(pa.large_string()))
    elif pa.types.is_floating(kind):
        floats = _filled(cells.cast(pa.float64()), 0.0)
        floats = np.where(np.isnan(floats), np.nan, floats + 0.0)  # -0.0 + 0.0 is 0.0
        words = floats.view(np.uint64)
    elif pa.types.is_timestamp(kind):
        words = _filled(cells.cast(pa.timestamp("us", kind.tz)).cast(pa.int64()), 0).view(np.uint64)
    elif pa.types.is_date(kind):
        days = cells.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
        words = _filled(days, 0).view(np.uint64)
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        words = _filled(cells.cast(pa.int64()), 0).view(np.uint64)
    else:
        raise ConfigError(
            f"content hash of column {name}",
            found=f"the type {kind}",
            expected="a string, number, boolean, date or timestamp",
            do="Hash the table without this column, or unnest it first.",
        )
    return np.where(_is_null(cells), NULL, words) if cells.null_count else words


def is_constant(cells: pa.Array | pa.ChunkedArray) -> bool:
    """Is every cell the same, and none a null? Of at least one cell."""
    if cells.null_count or cells[0].as_py() != cells[len(cells) - 1].as_py():
        return False
    return bool(pc.all(pc.equal(cells, cells[0])).as_py())


def _string_words(cells: pa.Array) -> Words:
    """Simple tabulation: what each byte adds depends on the byte and its place only."""
    cells = pc.fill_null(cells, "")
    if not len(cells):
        return np.zeros(0, np.uint64)
    _, offsets_buffer, data_buffer = cells.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[cells.offset : cells.offset + len(cells) + 1]
    lengths = np.diff(offsets)
    num_bytes = int(offsets[-1] - offsets[0])
    sums = np.zeros(num_bytes + 1, np.uint64)
    if num_bytes:
        data = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
        places = np.arange(num_bytes) - np.repeat(offsets[:-1] - offsets[0], lengths) + 1
        words = _mix(places.astype(np.uint64) * np.uint64(256) + data)
        np.cumsum(words, dtype=np.uint64, out=sums[1:])
    ends, starts = offsets[1:] - offsets[0], offsets[:-1] - offsets[0]
    strings: Words = sums[ends] - sums[starts] + _mix(lengths.astype(np.uint64))
    return strings


def _filled(cells: pa.Array, value: float) -> NDArray[Any]:
    if cells.null_count:
        cells = pc.fill_null(cells, value)
    filled: NDArray[Any] = cells.to_numpy(zero_copy_only=False)
    return filled


def _is_null(cells: pa.Array) -> NDArray[np.bool_]:
    null: NDArray[np.bool_] = cells.is_null().to_numpy(zero_copy_only=False)
    return null


def _mix(words: Words) -> Words:
    """(N,) uint64 -> (N,) uint64, a bijection whose every output bit depends on every input bit."""
    words = words + GOLDEN
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Words = words ^ (words >> np.uint64(31))
    return mixed
