"""What equal lines, and equal ids, come to in the first rows of a log: for `sources check`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyspark.sql import Row

from jobs.sources.parts import IdFromColumns
from jobs.sources.rows import Log

_CONTENT = ("user_id", "item_id", "event_type", "event_time", "quantity", "price", "amount")


def compare_equal_lines(events: Sequence[Row], log: Log) -> dict[str, Any] | None:
    """How many lines equal an earlier one, and what each choice makes of them.

    None where the mapping names the columns of an id.
    """
    if isinstance(log.event_id, IdFromColumns):
        return None
    first = {row["event_id"].partition("-")[0]: row for row in reversed(events)}
    return {
        "lines": len(events) - len(first),
        "mapping": log.event_id.equal_lines,
        "separate": {"events": len(events), "amount": _amount(events)},
        "repeats": {"events": len(first), "amount": _amount(list(first.values()))},
    }


def count_altered_rows(events: Sequence[Row]) -> int:
    """Events that say something else than the first that has their id."""
    first: dict[str, tuple[Any, ...]] = {}
    contents = [(row["event_id"], tuple(row[name] for name in _CONTENT)) for row in events]
    return sum(first.setdefault(event_id, content) != content for event_id, content in contents)


def say_equal_lines(compared: Mapping[str, Any] | None, altered: int) -> Iterator[str]:
    """The same for people; nothing where no line is equal and no id comes with other content."""
    if compared and compared["lines"]:
        yield f"{compared['lines']:,} lines equal an earlier one; equal_lines may be"
        for choice in ("separate", "repeats"):
            said = compared[choice]
            mark = " (as the mapping says)" if choice == compared["mapping"] else ""
            yield f"  {choice}: {said['events']:,} events, amount {said['amount']:,.2f}{mark}"
    if altered:
        yield f"{altered:,} repeat an id with other content: only the first of each is taken"


def _amount(events: Sequence[Row]) -> float:
    return round(sum(row["amount"] or 0.0 for row in events), 4)
