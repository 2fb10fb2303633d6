"""How two versions of the same rows differ: which keys, which columns, how many."""

from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from contracts.tables import Table

EXAMPLES = 3


def say_differences(stored: DataFrame, rebuilt: DataFrame, table: Table) -> dict[str, Any]:
    """Counts of rows that only one side has and of rows that changed, the columns, some keys."""
    sides = [
        rows.select(*table.key, F.struct(*table.column_names).alias(side))
        for side, rows in (("stored", stored), ("rebuilt", rebuilt))
    ]
    both = sides[0].join(sides[1], on=list(table.key), how="full")
    changed = {column.name: _is_changed(column.name) for column in table.columns if column.in_hash}
    kinds = {
        "only_stored": F.col("rebuilt").isNull(),
        "only_rebuilt": F.col("stored").isNull(),
        "changed": _any(list(changed.values())),
    }
    counts: Any = both.select(
        *(F.count_if(is_so).alias(name) for name, is_so in kinds.items()),
        *(F.count_if(is_so).alias(f"column {name}") for name, is_so in changed.items()),
    ).first()
    rows = {name: counts[name] for name in kinds}
    columns = {name: counts[f"column {name}"] for name in changed if counts[f"column {name}"]}
    examples = both.where(_any(list(kinds.values()))).orderBy(*table.key).limit(EXAMPLES)
    keys = [[str(row[name]) for name in table.key] for row in examples.select(*table.key).collect()]
    return {**rows, "columns": columns, "keys": keys, "said": _sentence(rows, columns, keys)}


def _is_changed(name: str) -> Column:
    differs = ~F.col(f"stored.{name}").eqNullSafe(F.col(f"rebuilt.{name}"))
    return F.col("stored").isNotNull() & F.col("rebuilt").isNotNull() & differs


def _any(conditions: list[Column]) -> Column:
    found = F.lit(False)
    for condition in conditions:
        found = found | condition
    return found


def _sentence(rows: dict[str, int], columns: dict[str, int], keys: list[list[str]]) -> str:
    parts = [f"{count} rows {name.replace('_', ' ')}" for name, count in rows.items() if count]
    if columns:
        parts.append("in " + ", ".join(f"{name} {count}" for name, count in columns.items()))
    if keys:
        parts.append("such as " + ", ".join("/".join(key) for key in keys))
    return ", ".join(parts) or "the same rows"
