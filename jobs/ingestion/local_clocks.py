"""Clocks of a zone that go back or forward: which instant a local time without an offset means.

The hour that a clock passes twice is its first pass, summer time, until the clock in the file goes
back; from there on it is the second. A file whose clock goes back more than once in that hour, or
not at all, tells no order: all of it is the first pass. The hour that a clock leaves out is moved
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
    for one in found:
        is_in = (F.col("local") >= _instant(one.start)) & (F.col("local") < _instant(one.end))
        hour = F.when(is_in, _instant(one.start)).otherwise(hour)
        seconds = F.when(is_in, F.lit(one.seconds)).otherwise(seconds)
    age = F.datediff("ingest_date", F.to_date("local"))
    in_hour = lines.where(age.between(-1, ORDER_DAYS)).select(
        "source", "line", "local", hour.alias("hour"), seconds.alias(SECOND_PASS)
    )
    in_hour = in_hour.where(F.col("hour").isNotNull())
    in_file = Rows.partitionBy("source", "hour")
    in_order = in_file.orderBy("line")
    before = F.lag("local").over(in_order).cast("long")
    return (
        in_hour.withColumn("goes_back", before - F.col("local").cast("long") > _JITTER_SECONDS)
        .withColumn("times", F.count_if("goes_back").over(in_file))
        .withColumn("so_far", F.count_if("goes_back").over(in_order))
        .where((F.col("times") == 1) & (F.col("so_far") == 1))
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
