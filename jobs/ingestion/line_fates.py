"""What becomes of each line: an event, a duplicate of one, a robot's, or refused by its mapping.

Pure: frames in, frames out. Only ids and places are shuffled, never what a line says.
"""

from collections.abc import Collection

from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as Rows
from pyspark.sql import functions as F

from contracts.windows import CLOCK_DAYS

ROBOT = "user above max_events_per_user_day"
USER_DAY = ("user_id", "ingest_date", "event_day")
_PLACE = ("ingest_date", "source", "line")
_SAID = (*_PLACE, "reason", "present", "broken", "user_id", "event_day", "content", "clock")
# What makes an event what it is, besides its id.
_CONTENT = ("user_id", "item_id", "event_type", "event_time", "quantity", "price", "amount")


def event_day(zone: str) -> Column:
    """The business day on which an event happened, by its own time."""
    return F.to_date(F.from_utc_timestamp("event_time", zone))


def identity() -> Column:
    """What an event shares with its duplicates."""
    return F.concat(F.lit("="), F.col("event_id"))


def content() -> Column:
    """A number of what an event says: another one under the same id is other content."""
    return F.xxhash64(*_CONTENT)


def mark_duplicates(
    mapped: DataFrame, earlier: DataFrame, *, dedupe_days: int, repeated: Collection[str] = ()
) -> DataFrame:
    """Where each line is and what becomes of it: ``is_duplicate`` if its event came before.

    A line is a duplicate when an event with its id is in the lake, or earlier in the load, from its
    own ingestion day or one of the ``dedupe_days`` before: the same whether days are loaded one by
    one or together. An event that is older than these days itself is one, however long ago its id
    came. Of equal ids in a day, the first by file and line is the event. ``earlier`` holds the ids
    of the days before the load. So are the events of ``repeated`` files, whatever their ids.

    ``came_before``: of an earlier day, not of the same.
    """
    place = F.concat_ws("\0", "source", F.col("line").cast("string"))
    is_event = F.col("reason").isNull()
    is_repeated = F.col("source").isin(*repeated) if repeated else F.lit(False)
    load = mapped.select(
        # A refused line shares its identity with no other, nor with any event.
        F.when(is_event & ~is_repeated, identity())
        .otherwise(F.concat(F.lit("!"), place))
        .alias("identity"),
        F.lit(False).alias("is_known"),
        (is_event & is_repeated).alias("is_repeated"),
        is_old(dedupe_days).alias("is_old"),
        *_SAID,
    )
    known = earlier.select(identity().alias("identity"), F.lit(True).alias("is_known"), _PLACE[0])
    in_order = Rows.partitionBy("identity").orderBy(
        "ingest_date", F.desc("is_known"), "source", "line"
    )
    day_before = F.lag("ingest_date").over(in_order)
    is_first = day_before.isNull() | (day_before < F.col("ingest_date"))
    seen = F.when(F.col("is_first"), F.struct("ingest_date", "is_known", "is_old"))
    days = F.collect_list(seen).over(in_order.rowsBetween(Rows.unboundedPreceding, 0))
    is_taken = F.col("is_first") & (_last_taken(days, dedupe_days) == F.col("ingest_date"))
    return (
        load.unionByName(known, allowMissingColumns=True)
        .withColumn("is_first", is_first)
        .withColumn("is_duplicate", ~is_taken | F.col("is_repeated"))
        .where(~F.col("is_known"))
        .withColumn("came_before", F.col("is_duplicate") & F.col("is_first"))
        .select("identity", *_SAID, "is_old", "is_duplicate", "came_before")
    )


def is_old(dedupe_days: int) -> Column:
    """Happened so long before its ingestion day that its id may have come before `dedupe_days`.

    With 0 days nothing is looked for, so nothing is old.
    """
    if not dedupe_days:
        return F.lit(False)
    # An event is ingested on its own day, or at most CLOCK_DAYS - 1 before it.
    return F.col("event_day") < F.date_add("ingest_date", CLOCK_DAYS - 1 - dedupe_days)


def old_events(fates: DataFrame) -> DataFrame:
    """The events that may be in the lake from before the days in which ids were looked for."""
    is_asked = F.col("reason").isNull() & ~F.col("is_duplicate") & F.col("is_old")
    return fates.where(is_asked).select("identity", "event_day")


def count_altered(fates: DataFrame, earlier: DataFrame) -> dict[str, int]:
    """Source → its duplicates that say something else than the event which has their id."""
    is_event = F.col("reason").isNull()
    asked = fates.where(is_event & F.col("is_duplicate") & F.col("identity").startswith("="))
    taken = fates.where(is_event & ~F.col("is_duplicate")).select("identity", "content")
    known = taken.unionByName(
        earlier.select(identity().alias("identity"), content().alias("content"))
    )
    rows = (
        asked.join(known, on=["identity", "content"], how="left_anti")
        .groupBy("source")
        .agg(F.count(F.lit(1)).alias("lines"))
    )
    return {row["source"]: row["lines"] for row in rows.collect()}


def find_robots(marked: DataFrame, *, max_events: int) -> DataFrame:
    """The users' days with more events than that in one ingestion day. They are few.

    Events without a known user are of many people: however many there are, they are no robot's.
    """
    is_asked = F.col("user_id").isNotNull() & F.col("reason").isNull() & ~F.col("is_duplicate")
    return (
        marked.where(is_asked)
        .groupBy(*USER_DAY)
        .agg(F.count(F.lit(1)).alias("num_events"))
        .where(F.col("num_events") > max_events)
        .select(*USER_DAY)
    )


def mark_robots(marked: DataFrame, robots: DataFrame) -> DataFrame:
    """Give the events of these users' days the reason ROBOT."""
    named = F.broadcast(robots.withColumn("is_robot", F.lit(True)))
    is_set_aside = F.col("reason").isNull() & ~F.col("is_duplicate") & F.col("is_robot").isNotNull()
    reason = F.when(is_set_aside, F.lit(ROBOT)).otherwise(F.col("reason"))
    return marked.join(named, on=[*USER_DAY], how="left").select(
        *(reason.alias(name) if name == "reason" else name for name in marked.columns)
    )


def taken_whole(marked: DataFrame, sources: Collection[str]) -> set[str]:
    """Those of the files that brought events, and of which no line is set aside."""
    is_event = F.col("reason").isNull() & ~F.col("is_duplicate")
    rows = (
        marked.where(F.col("source").isin(*sources))
        .groupBy("source")
        .agg(F.count("reason").alias("quarantined"), F.count_if(is_event).alias("events"))
        .collect()
    )
    return {row["source"] for row in rows if row["events"] and not row["quarantined"]}


def _last_taken(days: Column, dedupe_days: int) -> Column:
    """The latest of the days, in order, on which an event was taken."""

    def step(last: Column, day: Column) -> Column:
        today = day.getField("ingest_date")
        is_late = day.getField("is_old") & ~day.getField("is_known")
        is_new = last.isNull() | ((today > F.date_add(last, dedupe_days)) & ~is_late)
        return F.when(is_new | day.getField("is_known"), today).otherwise(last)

    return F.aggregate(days, F.lit(None).cast("date"), step)
