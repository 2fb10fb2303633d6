"""What a second file says of the items, given to the events about them.

The file lies in the raw folder, beside the days. A row with an instant holds from that instant on,
so that a later row never changes an earlier event; an empty value takes the attribute away.
"""

from dataclasses import dataclass
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.ingestion.key_text import flawed_value, unfit_key
from jobs.ingestion.load_logs import Place
from jobs.ingestion.read_values import read_time
from jobs.ingestion.second_file import load_beside, refuse_bad
from jobs.sources.rows import ColumnAttributes, ItemAttributes

_HISTORY = "history_of_"


@dataclass(frozen=True)
class Attributes:
    """One row an item: for each attribute its values, oldest first."""

    histories: DataFrame
    mapping: ItemAttributes

    def give(self, events: DataFrame) -> DataFrame:
        """The events, each with its item's category and properties as of its own instant."""
        joined = events.join(self.histories, on="item_id", how="left")
        values = {
            name: _value_at_event(F.col(f"{_HISTORY}{n}"))
            for n, name in enumerate(self.mapping.attributes)
        }
        if self.mapping.category is not None:
            joined = joined.withColumn("category", values[self.mapping.category])
        pairs = [part for name in self.mapping.properties for part in (F.lit(name), values[name])]
        if pairs:
            known = F.map_filter(F.create_map(*pairs), lambda _, value: value.isNotNull())
            joined = joined.withColumn("properties", F.map_concat("properties", known))
        return joined.select(*events.columns)


def read_attributes(
    spark: SparkSession, mapping: ItemAttributes, place: Place, max_bad_fraction: float
) -> Attributes:
    """Read and check the file. Raises DataError, MissingColumnsError, BadLinesError."""
    rows = _typed(load_beside(spark, mapping, place, part="item_attributes"), mapping)
    refuse_bad(rows, mapping, place, max_bad_fraction=max_bad_fraction)
    return Attributes(_histories(rows.where(F.col("reason").isNull()), mapping), mapping)


def _typed(parsed: DataFrame, mapping: ItemAttributes) -> DataFrame:
    text = {name: F.col("fields").getField(name) for name in mapping.columns}
    since = F.lit(None).cast("timestamp")
    if mapping.since is not None:
        since = read_time(mapping.since, text)
    checks = [
        ("unreadable line", F.col("fields").isNull()),
        ("missing item_id", text[mapping.item_id].isNull()),
    ]
    if mapping.since is not None:
        checks.append(("unreadable since", since.isNull()))
    keys = {"item_id": text[mapping.item_id], "category": _category(mapping, text)}
    return parsed.select(
        *("source", "line", "broken"),
        F.coalesce(
            F.col("problem"),
            *(F.when(is_bad, F.lit(why)) for why, is_bad in checks),
            flawed_value({"item_id": [mapping.item_id]}),
            _flawed_category(mapping, text),
            unfit_key(keys),
        ).alias("reason"),
        text[mapping.item_id].alias("item_id"),
        since.alias("since"),
        *(
            _given(mapping, name, text).alias(f"{_HISTORY}{n}")
            for n, name in enumerate(mapping.attributes)
        ),
    )


def _category(mapping: ItemAttributes, text: dict[str, Column]) -> Column:
    if mapping.category is None:
        return F.lit(None).cast("string")
    if isinstance(mapping, ColumnAttributes):
        return text[mapping.category]
    return F.when(text[mapping.attribute] == mapping.category, text[mapping.value])


def _flawed_category(mapping: ItemAttributes, text: dict[str, Column]) -> Column:
    if mapping.category is None:
        return F.lit(None).cast("string")
    if isinstance(mapping, ColumnAttributes):
        return flawed_value({"category": [mapping.category]})
    is_meant = text[mapping.attribute] == mapping.category
    return F.when(is_meant, flawed_value({"category": [mapping.value]}))


def _given(mapping: ItemAttributes, name: str, text: dict[str, Column]) -> Column:
    """Whether the row speaks of the attribute, and its value: a struct, or null."""
    if isinstance(mapping, ColumnAttributes):
        return F.struct(text[name].alias("value"))
    is_meant = text[mapping.attribute] == name
    return F.when(is_meant, F.struct(text[mapping.value].alias("value")))


def _histories(rows: DataFrame, mapping: ItemAttributes) -> DataFrame:
    columns = [F.col(f"{_HISTORY}{n}") for n in range(len(mapping.attributes))]
    # Most rows may speak of attributes that nobody asked for.
    asked = rows.where(reduce(or_, (column.isNotNull() for column in columns)))
    found = []
    for n, column in enumerate(columns):
        # The order of the fields is that of the sort: the later line of an instant counts.
        entry = F.struct("since", "source", "line", column.getField("value").alias("value"))
        entries = F.sort_array(F.collect_list(F.when(column.isNotNull(), entry)))
        found.append(entries.alias(f"{_HISTORY}{n}"))
    return asked.groupBy("item_id").agg(*found)


def _value_at_event(history: Column) -> Column:
    held = F.filter(
        history,
        lambda entry: entry["since"].isNull() | (entry["since"] <= F.col("event_time")),
    )
    return F.try_element_at(held, F.lit(-1)).getField("value")
