"""The sequences as of a cutoff: a whole partition and the nights upon it, folded where they lie.

The only way for our programs: by cutoff, or by the snapshot that a run has recorded. Each night's
commit recorded the snapshot of the partition that it builds upon, so what is read never changes,
whatever happens to those partitions later.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from contracts.errors import OtherMoneyError
from contracts.money import DEFINITIONS, Money
from contracts.tables import EVENTS, SEQUENCES
from jobs.histories.sequence_buckets import ROW_COLUMNS, Earlier, find_buckets
from jobs.histories.sequence_parts import Folded, Part, Whole
from jobs.lake.column_types import arrow_schema, spark_schema
from jobs.lake.commits import Commit
from jobs.lake.lake import Lake

BATCH_ROWS = 10_000
WHOLE_SEQUENCES = Path(__file__).parent / "whole_sequences.sql"  # for those who read with DuckDB

# Facts of a commit.
SINCE = "since"  # the cutoff upon which a night builds; a whole partition does not say it
NUM_USERS = "users"  # everybody known as of the cutoff
EVENTS_KEPT = "events_kept"  # in the arrays of the commit's own rows
MAX_EVENTS = "max_events"  # what a row may hold: partitions have to share it to be folded
GAP_MINUTES = "gap_minutes"
MONEY = "money"  # how `lifetime_spend` was counted; commits of before there was a choice do not say


@dataclass(frozen=True)
class Sequences:
    lake: Lake
    commits: tuple[Commit, ...]  # a whole partition, then the nights upon it, oldest first

    @property
    def cutoff(self) -> date:
        return self.commits[-1].window.start

    @property
    def snapshot_id(self) -> int:
        """By which they are found again."""
        return self.commits[-1].snapshot_id

    @property
    def events_id(self) -> int | None:
        """The snapshot of `events` that they were made of; None of another program's."""
        return self.commits[-1].reads.get(EVENTS.name)

    @property
    def num_nights(self) -> int:
        return len(self.commits) - 1

    @property
    def num_users(self) -> int:
        newest = self.commits[-1]
        return int(newest.facts.get(NUM_USERS, newest.num_rows))

    @property
    def money(self) -> Money | None:
        """How their totals were counted; None of a lake from before there was a choice."""
        counted = self.commits[-1].facts.get(MONEY)
        return next((money for money in DEFINITIONS if money == counted), None)

    def require_money(self, money: Money) -> None:
        """Raise OtherMoneyError unless totals were counted so."""
        if self.money != money:
            raise OtherMoneyError(
                f"{SEQUENCES.name}/cutoff={self.cutoff}",
                counted=self.money,
                money=money,
                do=f"Run `nightshift sequences --cutoff {self.cutoff} --full`, then run this again",
            )

    @property
    def content(self) -> str:
        """The same for the same rows in the same partitions."""
        return "+".join(commit.content_hash for commit in self.commits)

    def earlier(self) -> Earlier:
        """Where the rows lie."""
        groups = [
            group
            for commit in self.commits
            for group in self.lake.row_groups(
                SEQUENCES, window=commit.window, snapshot_id=commit.snapshot_id
            )
        ]
        return Earlier(groups, sum(int(c.facts.get(EVENTS_KEPT, 0)) for c in self.commits))

    def parts(self) -> list[Part]:
        """Everybody's rows, in parts that tasks read alone: row groups, or buckets to be folded."""
        earlier = self.earlier()
        if not self.num_nights:
            return [Whole(group) for group in earlier.row_groups]
        plan = find_buckets(earlier)
        if plan is None:  # files of another program: all at once
            paths = dict.fromkeys(group.path for group in earlier.row_groups)
            buckets = [list(paths)] if paths else []
        else:
            buckets = [plan.files[bucket] for bucket in sorted(plan.files)]
        facts = self.commits[-1].facts
        limits = int(facts[MAX_EVENTS]), int(facts[GAP_MINUTES])
        money = self.money or "net"  # no event is added here, so none is counted
        return [Folded(paths, self.cutoff, *limits, money) for paths in buckets]

    def read(self, spark: SparkSession) -> DataFrame:
        """Every user's row."""
        parts, filesystem = self.parts(), self.lake.filesystem()

        def rows(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            pa.set_cpu_count(1)  # as many tasks as cores run beside each other
            for batch in numbers:
                for number in batch.column("id").to_pylist():
                    yield from parts[number].batches(filesystem, BATCH_ROWS, ROW_COLUMNS)

        schema = spark_schema(SEQUENCES)
        tasks = spark.range(0, len(parts), 1, max(len(parts), 1))
        return tasks.mapInArrow(rows, StructType([schema[name] for name in ROW_COLUMNS]))

    def read_buckets(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Columns of everybody's row, a bucket of users at a time."""
        if not self.num_nights:
            whole = self.commits[0]
            yield from self.lake.read_buckets(
                SEQUENCES, window=whole.window, snapshot_id=whole.snapshot_id, columns=columns
            )
            return
        filesystem, schema = self.lake.filesystem(), arrow_schema(SEQUENCES, list(columns))
        for part in self.parts():
            batches = [*part.batches(filesystem, BATCH_ROWS, list(columns))]
            yield pa.Table.from_batches(batches, schema)

    def user_ids(self) -> pa.ChunkedArray:
        """Everybody, each once."""
        parts = [
            self.lake.read_arrow(
                SEQUENCES,
                window=commit.window,
                columns=["user_id"],
                snapshot_id=commit.snapshot_id,
            )["user_id"]
            for commit in self.commits
        ]
        every = pa.chunked_array([chunk for part in parts for chunk in part.chunks], pa.string())
        return pa.chunked_array([pc.unique(every)]) if self.num_nights else every

    def first_event_time(self) -> datetime | None:
        """The earliest event of all; None where the table's metadata does not say it."""
        firsts = [
            self.lake.earliest(
                SEQUENCES,
                "first_event_time",
                window=commit.window,
                snapshot_id=commit.snapshot_id,
            )
            for commit in self.commits
        ]
        return min((first for first in firsts if first), default=None) if firsts[0] else None

    def require_files(self) -> None:
        """Raise MissingSnapshotError unless every file of every partition still lies there."""
        for commit in self.commits:
            self.lake.require_files(SEQUENCES, window=commit.window, snapshot_id=commit.snapshot_id)


def sequences_as_of(lake: Lake, cutoff: date) -> Sequences:
    """Those that the newest run of the cutoff made.

    Raises MissingPartitionError where there was none, MissingSnapshotError.
    """
    producer = f"nightshift sequences --cutoff {cutoff}"
    return _upon(lake, lake.require(SEQUENCES, cutoff, producer=producer))


def sequences_at(lake: Lake, snapshot_id: int) -> Sequences:
    """Those that the run which made this snapshot made. Raises MissingSnapshotError."""
    return _upon(lake, lake.commit_at(SEQUENCES, snapshot_id))


def _upon(lake: Lake, commit: Commit) -> Sequences:
    """The commit, and back to the whole partition upon which it stands."""
    commits = [commit]
    while SINCE in commits[0].facts:
        commits.insert(0, lake.commit_at(SEQUENCES, commits[0].reads[SEQUENCES.name]))
    return Sequences(lake, tuple(commits))
