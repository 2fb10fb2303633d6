"""Where a mapping names an array or an object: which value of it was probably meant."""

import json
from typing import Any

from jobs.ingestion.json_lines import exact, paths_of, value_at

_MOST_NAMED = 5
_LIKELY = ("id", "$oid", "key", "sku", "code", "value", "name", "amount", "$date")  # in this order


def suggest(line: str, columns: list[str]) -> str:
    """What to do about the first of the columns whose value in the line is no scalar."""
    row = exact(line) or {}
    for column in columns:
        value = _unpacked(value_at(row, column))
        if isinstance(value, dict):
            paths = sorted((f"{column}.{path}" for path in paths_of(value)), key=_rank)
            if not paths:
                return f"{column} is an empty object: ask the collector for a value"
            others = f" (or {', '.join(paths[1:_MOST_NAMED])})" if len(paths) > 1 else ""
            return f"{column} is an object: did you mean {paths[0]}{others}?"
        if isinstance(value, list):
            return f"{column} is an array: a line is one event, so write a line for each element"
    return "map a column whose values are text or numbers"


def _rank(path: str) -> tuple[int, str]:
    last = path.rsplit(".", 1)[-1].lower()
    if last in _LIKELY:
        return _LIKELY.index(last), path
    return (len(_LIKELY) if last.endswith("id") else len(_LIKELY) + 1), path


def _unpacked(value: Any) -> Any:
    """Of a Parquet row, an array or an object is text in the line."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
