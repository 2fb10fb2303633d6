"""JSON Lines: the mapped values of each line as text, digit for digit, and what is wrong with them.

A number is the text that stands in the line: `1.10` is not `1.1`, and an id of twenty digits keeps
them all. `user.id` is the member `id` of the object `user`, unless a key is called so itself.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from jobs.ingestion.containers import JSON_ARRAY, JSON_DOCUMENT, NotLinesError
from jobs.ingestion.flaws import NESTED, SURROGATE, as_array
from jobs.ingestion.line_batches import LINES, broken_batch, lines_of_file, reason_of
from jobs.ingestion.raw_lines import RawFile, list_files
from jobs.ingestion.sql_names import quoted

_MINUS_ZERO = re.compile(r":\s*-0\s*[,}]")  # the one integer that is not its digits any more
_MOST_PATHS, _DEEPEST = 1000, 3


class _Digits(str):
    """A number, as it stands in the line."""


def _no_number(word: str) -> None:
    raise ValueError(word)


_EXACT = json.JSONDecoder(parse_int=_Digits, parse_float=_Digits, parse_constant=_no_number)


def read_objects(
    spark: SparkSession, files: list[RawFile], columns: list[str], *, most: int | None = None
) -> DataFrame:
    """Every line of the files, with ``fields``, null where it is no object, and ``flaws``.

    ``fields`` is a struct of the columns as text, an empty one null; ``flaws`` says of a column
    what is wrong with its value (`NESTED`, `SURROGATE`), and is null where nothing is.
    """
    values = ", ".join(f"{quoted(name)}: string" for name in columns)
    schema = f"{LINES}, fields struct<{values}>, flaws map<string,string>"
    listed = list_files(spark, files, skip=0, most=most)
    return listed.mapInArrow(partial(_objects_of, columns=columns), schema)


def read_paths(spark: SparkSession, files: list[RawFile]) -> set[str]:
    """The paths of the values of all lines, `user.id` for one; at most 1,000 of a file."""
    listed = list_files(spark, files, skip=0, most=None)
    return {row[0] for row in listed.mapInArrow(_paths_of, "path string").distinct().collect()}


def paths_in(line: str) -> list[str]:
    """The paths of the values of a line that is an object; of any other none."""
    found = exact(line)
    return [] if found is None else paths_of(found)


def paths_of(found: dict[str, Any]) -> list[str]:
    """The paths of an object's values, down to the third key."""
    return list(_leaves(found, ""))


def exact(line: str) -> dict[str, Any] | None:
    """The object that the line is, whose numbers are their text; None where it is none."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        found = _EXACT.decode(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def value_at(found: Any, path: str) -> Any:
    """What an object has under a key, or at the end of a path of keys."""
    if isinstance(found, dict) and found.get(path) is not None:
        return found[path]
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _leaves(found: dict[str, Any], before: str, depth: int = 1) -> Iterator[str]:
    for key, value in found.items():
        if isinstance(value, dict) and value and depth < _DEEPEST:
            yield from _leaves(value, f"{before}{key}.", depth + 1)
        else:
            yield f"{before}{key}"


def _paths_of(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for file in batch.to_pylist():
            paths: dict[str, None] = {}
            for lines in lines_of_file(**file):
                for line in lines.column("raw").to_pylist():
                    if line is not None and len(paths) < _MOST_PATHS:
                        paths.update(dict.fromkeys(map(_plain, paths_in(line))))
            names = pa.array([*paths][:_MOST_PATHS], pa.string())
            yield pa.RecordBatch.from_arrays([names], names=["path"])


def _objects_of(
    batches: Iterator[pa.RecordBatch], *, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    objects = Objects(columns)
    for batch in batches:
        for file in batch.to_pylist():
            for lines in lines_of_file(**file):
                found = objects.read(lines)
                try:
                    _refuse_document(found)
                except NotLinesError as error:
                    where = (file["source"], file["ingest_date"])
                    yield objects.read(broken_batch(*where, 1, reason_of(error)))
                    break
                yield found


def _refuse_document(found: pa.RecordBatch) -> None:
    """Raise NotLinesError where a file's first lines are parts of one JSON value."""
    is_first = found.column("line")[0].as_py() == 1 and not found.column("broken")[0].is_valid
    if not is_first or found.num_rows - found.column("fields").null_count > 1:
        return
    kept, raw = found.column("bytes"), found.column("raw")
    for one, text in zip(kept, raw, strict=True):
        line = (one.as_py() or (text.as_py() or "").encode()).removeprefix(b"\xef\xbb\xbf").strip()
        if line:
            if line.startswith(b"["):
                raise NotLinesError(JSON_ARRAY)
            if line == b"{":
                raise NotLinesError(JSON_DOCUMENT)
            return


class Objects:
    """Reads lines for some columns. Built once in a task: a decoder for what they need only."""

    def __init__(self, columns: list[str]) -> None:
        tops = [name.split(".")[0] for name in columns if "." in name]
        self._columns, self._keys = columns, list(dict.fromkeys([*columns, *tops]))
        self._fields = [pa.field(name, pa.string()) for name in columns]
        self._decode = _decoder(self._keys)

    def read(self, lines: pa.RecordBatch) -> pa.RecordBatch:
        """The same lines with ``fields`` and ``flaws``."""
        raw = lines.column("raw").to_pylist()
        rows, num_slow = self._rows(raw)
        nothing = (None,) * len(self._keys)
        whole = zip(*(nothing if row is None else row for row in rows), strict=True)
        by_key = dict(zip(self._keys, whole, strict=True))
        flaws: dict[int, dict[str, str]] = {}
        arrays = []
        for name in self._columns:
            values = _values_of(name, by_key)
            texts = _fast_texts(values) if not num_slow else None
            if texts is None:
                texts = _texts(values, name, raw, flaws)
            arrays.append(pa.array(texts, pa.string()))
        is_none = pa.array([row is None for row in rows], pa.bool_())
        fields = pa.StructArray.from_arrays(arrays, fields=self._fields, mask=is_none)
        columns = [*lines.columns, fields, as_array(flaws, len(raw))]
        return pa.RecordBatch.from_arrays(columns, names=[*lines.schema.names, "fields", "flaws"])

    def _rows(self, raw: list[str | None]) -> tuple[list[tuple[Any, ...] | None], int]:
        """The values of each line under its keys, and how many were read the slow way."""
        rows: list[tuple[Any, ...] | None] = []
        decode, values, num_slow = self._decode, msgspec.structs.astuple, 0
        for line in raw:
            try:
                rows.append(None if line is None else values(decode(line)))
            except (msgspec.MsgspecError, RecursionError):  # or of what it refuses: surrogates,
                found = exact(line or "")  # integers of more than 4,300 digits
                rows.append(None if found is None else tuple(map(found.get, self._keys)))
                num_slow += 1
        return rows, num_slow


def _decoder(keys: list[str]) -> Callable[[str], Any]:
    try:
        fields = [
            (f"value_{n}", Any, msgspec.field(default=None, name=key)) for n, key in enumerate(keys)
        ]
        return msgspec.json.Decoder(msgspec.defstruct("Line", fields), float_hook=str).decode
    except ValueError:  # it knows no key with a quote, a backslash or a control character
        return _refuse_all


def _refuse_all(line: str) -> None:
    raise msgspec.DecodeError(line[:100])


def _values_of(name: str, by_key: dict[str, tuple[Any, ...]]) -> tuple[Any, ...]:
    values = by_key[name]
    if "." not in name:
        return values
    top, path = name.split(".", 1)
    pairs = zip(values, by_key[top], strict=True)
    return tuple(value_at(inner, path) if value is None else value for value, inner in pairs)


def _fast_texts(values: tuple[Any, ...]) -> list[str | None] | None:
    """The texts of values that are all words, or all integers; None for others."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {str}:
        return [value or None for value in values]
    if kinds == {int} and 0 not in values:
        return [None if value is None else str(value) for value in values]
    return None


def _texts(
    values: tuple[Any, ...],
    name: str,
    raw: list[str | None],
    flaws: dict[int, dict[str, str]],
) -> list[str | None]:
    texts = []
    for n, value in enumerate(values):
        text, flaw = _text(value, name, raw[n] or "")
        texts.append(text or None)
        if flaw is not None:
            flaws.setdefault(n, {})[name] = flaw
    return texts


def _text(value: Any, name: str, line: str) -> tuple[str | None, str | None]:
    """A value's text, and what is wrong with it."""
    match value:
        case None:
            return None, None
        case str():
            plain = str(value) if value.isascii() else _plain(value)
            return plain, None if plain == value else SURROGATE
        case bool():
            return ("true" if value else "false"), None
        case int():
            if value == 0 and _MINUS_ZERO.search(line):
                return value_at(exact(line), name), None
            return str(value), None
        case _:
            return _plain(_source(line, name)), NESTED


def _plain(text: str) -> str:
    """The text with a mark in the place of each lone surrogate: what can be written at all."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _source(line: str, path: str) -> str:
    """The text in the line of an array or an object."""
    try:
        return _raw_at(line.encode(), path) or ""
    except (msgspec.MsgspecError, RecursionError):
        return json.dumps(value_at(exact(line), path), ensure_ascii=False)


def _raw_at(text: bytes, path: str) -> str | None:
    if not text.lstrip().startswith(b"{"):
        return None
    members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    if path in members:
        return bytes(members[path]).decode()
    top, _, rest = path.partition(".")
    return _raw_at(bytes(members[top]), rest) if rest and top in members else None
