"""Clocks of a zone that go back or forward: which instant a local time without an offset means.

The hour that a clock passes twice is its first pass, summer time, until the clock in the file goes
back; from there on it is the second. That tells only a file that is in order otherwise, from a day
before the hour to a day after it. Where lines go back anywhere else, or more than once, or not at
all, the file tells no order: all of it is the first pass. The hour that a clock leaves out is moved
on by as much as the clock was. Both are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as Rows
from pyspark.sql import functions as F

from jobs.ingestion.read_values import read_local
from jobs.sources.parts import NaiveTime, PatternTime
from jobs.sources.rows import Log

DOUBLED, MISSING = "doubled hour", "missing hour"
SECOND_PASS = "second_pass_seconds"  # column: by how much later than the first pass; or null
ORDER_DAYS = 35  # a file that was ingested later after the doubled hour tells no order
_NEAR = timedelta(days=1)  # around the hour: lines that show whether their file is in order
_JITTER_SECONDS = 60  # by which lines of a file may be out of order
_PUT_BACK = (1800, 3600)  # seconds by which clocks are


@dataclass(frozen=True)
class Overlap:
    """The local times that a zone's clock passes twice."""

    start: datetime  # local, without an offset
    end: datetime

    @property
    def seconds(self) -> int:
        return int((self.end - self.start).total_seconds())


def overlaps(zone: ZoneInfo, first: date, last: date) -> list[Overlap]:
    """Those that begin on the days from ``first`` to ``last``, in order."""
    found, moment = [], datetime.combine(first, time(), tzinfo=UTC)
    while moment.date() <= last:
        later = moment + timedelta(days=1)
        if _offset(later, zone) < _offset(moment, zone):
            change = _change(moment, later, zone)
            before, after = _offset(moment, zone), _offset(later, zone)
            local = change.replace(tzinfo=None)
            found.append(Overlap(local + after, local + before))
        moment = later
    return found


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _change(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The first instant of the new offset, to the second."""
    before = _offset(low, zone)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    return high


def mark_second_pass(parsed: DataFrame, log: Log, days: Sequence[date]) -> DataFrame:
    """Add ``SECOND_PASS``, from the order of the lines in each file; ``days``: of the files.

    The lines are read for it only where a doubled hour lies in the ORDER_DAYS before such a day.
    """
    nothing = parsed.withColumn(SECOND_PASS, F.lit(None).cast("int"))
    if not isinstance(log.event_time, NaiveTime | PatternTime) or not days:
        return nothing
    zone, first = ZoneInfo(log.event_time.zone), min(days) - timedelta(days=ORDER_DAYS)
    found = overlaps(zone, first, max(days)) if max(days).year < 9999 else []
    if not found:
        return nothing
    local = read_local(log.event_time, F.col("fields").getField(log.event_time.column))
    # Few, and asked for by every job that reads the lines.
    second = find_second_pass(parsed.withColumn("local", local), found).persist()
    return parsed.join(F.broadcast(second), on=["source", "line"], how="left").select(
        *parsed.columns, SECOND_PASS
    )


def find_second_pass(lines: DataFrame, found: Sequence[Overlap]) -> DataFrame:
    """The lines whose file says that they are of a second pass: source, line, ``SECOND_PASS``."""
    hour, seconds = F.lit(None).cast("timestamp"), F.lit(None).cast("int")
    is_in = F.lit(False)
    for one in found:
        is_near = F.col("local").between(_instant(one.start - _NEAR), _instant(one.end + _NEAR))
        hour = F.when(is_near, _instant(one.start)).otherwise(hour)
        seconds = F.when(is_near, F.lit(one.seconds)).otherwise(seconds)
        is_in |= (F.col("local") >= _instant(one.start)) & (F.col("local") < _instant(one.end))
    near = lines.select(
        *("source", "line", "ingest_date"),
        F.col("local").cast("long").alias("local"),
        *(hour.alias("hour"), seconds.alias(SECOND_PASS), is_in.alias("is_in")),
    ).where(F.datediff("ingest_date", F.to_date("hour")).between(-1, ORDER_DAYS))
    in_file = Rows.partitionBy("source", "hour")
    in_order = in_file.orderBy("line")
    in_part = Rows.partitionBy("source", "hour", "steps").orderBy("line")
    before = F.struct("local", "is_in")
    goes_back = F.col("before.local") - F.col("local") > _JITTER_SECONDS
    is_in_hour = F.col("is_in") & F.col("before.is_in")
    is_late = F.max("local").over(in_part) - F.col("local") > _JITTER_SECONDS
    return (
        near.withColumn("before", F.lag(before).over(in_order))
        .withColumn("goes_back", F.coalesce(goes_back, F.lit(False)))
        .withColumn("steps", F.count_if("goes_back").over(in_order))
        .withColumn("is_late", is_late)  # of the lines since the last step
        .withColumn("times", F.count_if("goes_back").over(in_file))
        .withColumn("in_hour", F.count_if(F.col("goes_back") & is_in_hour).over(in_file))
        .withColumn("late", F.count_if("is_late").over(in_file))
        .where((F.col("times") == 1) & (F.col("in_hour") == 1) & (F.col("late") == 0))
        .where((F.col("steps") == 1) & F.col("is_in"))
        .select("source", "line", SECOND_PASS)
    )


def clock_of(local: Column, first: Column, zone: str) -> Column:
    """``DOUBLED`` or ``MISSING`` where the zone's clock shows that time twice or never, or null.

    ``first``: the instant of its first pass.
    """
    is_doubled = F.lit(False)
    for seconds in _PUT_BACK:
        again = F.from_utc_timestamp(first + F.make_dt_interval(secs=F.lit(seconds)), zone)
        is_doubled = is_doubled | (again == local)
    return F.when(F.from_utc_timestamp(first, zone) != local, F.lit(MISSING)).when(
        is_doubled, F.lit(DOUBLED)
    )


def _instant(local: datetime) -> Column:
    return F.to_timestamp(F.lit(local.isoformat(sep=" ")))  # the session's zone is UTC
