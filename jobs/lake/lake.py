"""The lake: Iceberg tables, and the only file that knows where they are and how they are committed.

Spark writes Parquet files into a folder of its own run, `<location>/<table>/data/run=<run key>/`;
the driver then commits them in one Iceberg snapshot that drops the partition's old files and adds
the new ones. The snapshot's summary says which run made it, from which snapshots, for which days,
with how many rows and which content hash (keys ``nightshift.*``). A run that dies leaves files that
no snapshot names; two runs that replace the same days cannot both commit.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, ValidationException
from pyiceberg.expressions import BooleanExpression
from pyiceberg.expressions.parser import parse
from pyiceberg.io.pyarrow import parquet_files_to_data_files
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Snapshot, ancestors_of
from pyspark.sql import DataFrame, SparkSession

from contracts.errors import BusyError, MissingPartitionError, MissingSnapshotError
from contracts.tables import Table
from contracts.windows import Window
from jobs.lake.catalog import NAMESPACE, open_catalog
from jobs.lake.column_types import (
    arrow_schema,
    follow_contract,
    iceberg_schema,
    partition_spec,
    with_columns,
)
from jobs.lake.commits import Commit, Staged, audit, read_commit, summary_of
from jobs.lake.damage import UNREADABLE, Restored, damaged, restore
from jobs.lake.durable import sync_files
from jobs.lake.files import (
    RowGroup,
    as_table,
    earliest_of,
    latest_of,
    list_parquet,
    list_row_groups,
    read_files,
    resolve,
    summarize,
    with_nulls,
    write_files,
)
from jobs.lake.files import lay_out as lay_out
from jobs.lake.leftovers import Leftover, find_leftovers, remove_files
from jobs.lake.writer import FileWriter
from jobs.running.settings import Settings


class Lake:
    def __init__(self, catalog: Catalog, location: str) -> None:
        self._catalog, self._location = catalog, location.rstrip("/")

    # ---- reading ---------------------------------------------------------------------------------

    def read(
        self,
        spark: SparkSession,
        table: Table,
        *,
        window: Window | None = None,
        snapshot_id: int | None = None,
    ) -> DataFrame:
        """The rows whose partition lies in the window; no row where nothing was committed.

        Raises MissingSnapshotError.
        """
        files = self._data_files(table, window, snapshot_id)
        return read_files(spark, table, sorted(file.file_path for file in files))

    def row_groups(
        self, table: Table, *, window: Window, snapshot_id: int, null_in: str | None = None
    ) -> list[RowGroup]:
        """The parts of the files in which those rows are, for executors that read them alone.

        With ``null_in``, those of files that may have a null in that column. Raises
        MissingSnapshotError.
        """
        files, found = self._data_files(table, window, snapshot_id), self._find(table)
        if null_in is not None and found is not None:
            files = with_nulls(files, found.schema(), null_in)
        return list_row_groups(files)

    def filesystem(self) -> FileSystem:
        """Where the lake's files are; it travels to the executors."""
        return resolve(self._location, self._catalog.properties)[0]

    def read_arrow(
        self,
        table: Table,
        *,
        window: Window | None = None,
        columns: list[str] | None = None,
        snapshot_id: int | None = None,
    ) -> pa.Table:
        """The same without Spark, in memory."""
        schema = arrow_schema(table, columns)
        found = self._find(table)
        _require_snapshot(table, found, snapshot_id)
        if found is None or found.current_snapshot() is None:
            return schema.empty_table()
        scan = found.scan(selected_fields=tuple(schema.names), snapshot_id=snapshot_id)
        if window:
            scan = scan.filter(_in_window(table, window))
        return scan.to_arrow().select(schema.names).cast(schema)

    def read_buckets(
        self, table: Table, *, window: Window, snapshot_id: int, columns: Sequence[str]
    ) -> Iterator[pa.Table]:
        """The same, a file at a time: of a table whose files hold a bucket of its keys each.

        Raises MissingSnapshotError.
        """
        schema = arrow_schema(table, list(columns))
        groups = self.row_groups(table, window=window, snapshot_id=snapshot_id)
        for path in dict.fromkeys(group.path for group in groups):
            with self.filesystem().open_input_file(path) as file:
                yield with_columns(pq.ParquetFile(file).read(schema.names), schema).cast(schema)

    def earliest(
        self, table: Table, column: str, *, window: Window, snapshot_id: int
    ) -> datetime | None:
        """The earliest instant of a column in the window; None where nothing says it.

        The table's metadata knows it of each file: no file is opened. Raises MissingSnapshotError.
        """
        files, found = self._data_files(table, window, snapshot_id), self._find(table)
        return earliest_of(files, found.schema(), column) if found else None

    def latest(
        self, table: Table, column: str, *, window: Window, snapshot_id: int
    ) -> datetime | None:
        """The latest instant of a column in the window, in the same way."""
        files, found = self._data_files(table, window, snapshot_id), self._find(table)
        return latest_of(files, found.schema(), column) if found else None

    def partitions(self, table: Table) -> list[date]:
        """The days or cutoffs that were committed, oldest first, those without rows included."""
        days = {day for commit in self.commits(table) for day in commit.window.days}
        return sorted(days)

    def commits(self, table: Table) -> Iterator[Commit]:
        """The table's commits, newest first."""
        found = self._find(table)
        for snapshot in _history(found) if found else iter(()):
            commit = read_commit(table, snapshot)
            if commit is not None:
                yield commit

    def commit_at(self, table: Table, snapshot_id: int) -> Commit:
        """What the run that made this snapshot said of itself. Raises MissingSnapshotError."""
        found = self._find(table)
        _require_snapshot(table, found, snapshot_id)
        snapshot = found.snapshot_by_id(snapshot_id) if found else None
        commit = read_commit(table, snapshot) if snapshot else None
        if commit is None:
            raise MissingSnapshotError(
                table.name, snapshot_id=snapshot_id, found="a commit of another program"
            )
        return commit

    def has(self, table: Table, window: Window) -> bool:
        """Does any file of the table hold rows of the window?"""
        return bool(self._data_files(table, window, None))

    def require_files(self, table: Table, *, window: Window, snapshot_id: int) -> None:
        """Raise MissingSnapshotError unless every file of the window still lies there."""
        named = {file.file_path for file in self._data_files(table, window, snapshot_id)}
        lost = sorted(named - {*list_parquet(self._folder(table), self._catalog.properties)})
        if lost:
            raise MissingSnapshotError(
                table.name,
                snapshot_id=snapshot_id,
                found=f"{len(lost)} of {len(named)} files gone, the first {lost[0]}",
            )

    def snapshot_id(self, table: Table) -> int | None:
        found = self._find(table)
        snapshot = found.current_snapshot() if found else None
        return snapshot.snapshot_id if snapshot else None

    def require(
        self, table: Table, cutoff: date, *, producer: str, run_key: str | None = None
    ) -> Commit:
        """The commit that made the partition ``cutoff``, or that of one run which did.

        Raises MissingPartitionError.
        """
        for commit in self.commits(table):
            is_wanted = run_key in (None, commit.run_key)
            if is_wanted and commit.window.start <= cutoff < commit.window.end:
                return commit
        raise MissingPartitionError(
            table.name, partition=f"{table.partition}={cutoff}", producer=producer
        )

    def require_snapshot(self, table: Table, day: date, *, producer: str) -> int:
        """The table's snapshot of now, with the partition ``day``. Raises MissingPartitionError."""
        self.require(table, day, producer=producer)
        snapshot = self.snapshot_id(table)
        assert snapshot is not None, "a table with a commit has a snapshot"
        return snapshot

    def windows_since(self, table: Table, snapshot_id: int) -> list[Window] | None:
        """The windows replaced after that snapshot; None when the table no longer tells."""
        found = self._find(table)
        windows: list[Window] = []
        for snapshot in _history(found) if found else iter(()):
            if snapshot.snapshot_id == snapshot_id:
                return windows
            commit = read_commit(table, snapshot)
            if commit is None:
                return None
            windows.append(commit.window)
        return None

    # ---- writing ---------------------------------------------------------------------------------

    def replace(
        self,
        frame: DataFrame,
        table: Table,
        *,
        window: Window,
        run_key: str,
        reads: Mapping[str, int],
        facts: Mapping[str, str] | None = None,
    ) -> Commit:
        """Make the frame the table's only rows in the window. Raises BusyError, AuditError.

        Rows are sorted by key inside each file; how they lie in files is the caller's choice.
        """
        staged = self.stage(frame, table, window=window, run_key=run_key)
        return self.commit(staged, reads=reads, facts=facts)

    def stage(self, frame: DataFrame, table: Table, *, window: Window, run_key: str) -> Staged:
        """Write the files of a run, read them back, count and hash. Nothing is visible yet."""
        folder = self._run_folder(table, run_key)
        write_files(frame, table, folder)
        paths = list_parquet(folder, self._catalog.properties)
        return self.stage_files(frame.sparkSession, paths, table, window=window, run_key=run_key)

    def writer(self, table: Table, *, run_key: str) -> FileWriter:
        """For executors that write a run's files themselves; then `stage_files`."""
        folder = self._run_folder(table, run_key)
        filesystem, path, prefix = resolve(folder, self._catalog.properties)
        return FileWriter(table.name, table.partition, filesystem, path, prefix)

    def stage_files(
        self, spark: SparkSession, paths: list[str], table: Table, *, window: Window, run_key: str
    ) -> Staged:
        """Read the files of a run back, count and hash. Raises AuditError. Nothing is visible."""
        counts = summarize(read_files(spark, table, sorted(paths)), table)
        audit(table, window, counts.nulls, counts.first, counts.last)
        return Staged(table, sorted(paths), window, run_key, counts.num_rows, counts.content_hash)

    def read_staged(self, spark: SparkSession, staged: Staged) -> DataFrame:
        """The rows of a run as they were written, before anyone else can see them."""
        return read_files(spark, staged.table, staged.paths)

    def commit(
        self, staged: Staged, *, reads: Mapping[str, int], facts: Mapping[str, str] | None = None
    ) -> Commit:
        """Switch the window to the staged files, in one snapshot. Raises BusyError."""
        table, window = staged.table, staged.window
        sync_files(staged.paths, self._location)  # what the catalog will name is on the disk
        found = self._create(table)
        row_filter = _in_window(table, window)
        try:
            with found.transaction() as transaction:
                update = transaction.update_snapshot(
                    snapshot_properties=summary_of(staged, reads=reads, facts=facts or {})
                )
                with update.overwrite() as snapshot:
                    # pyiceberg refuses what conflicts with runs that landed meanwhile: with the
                    # filter those of the same days only, without it those of any day.
                    snapshot.delete_by_predicate(row_filter)
                    for old in _files(found, row_filter, None):
                        snapshot.delete_data_file(old)
                    for new in parquet_files_to_data_files(
                        found.io, transaction.table_metadata, iter(staged.paths)
                    ):
                        snapshot.append_data_file(new)
        except (ValidationException, CommitFailedException) as error:
            raise BusyError(
                f"{table.name}/{table.partition}={window.start}",
                found="another run that committed the same days meanwhile",
                expected="one run at a time",
                do="Its rows stand, this run's are not visible. Run this again if it has to win.",
            ) from error
        # Not "the current snapshot": another run may have landed on other days since.
        return next(commit for commit in self.commits(table) if commit.run_key == staged.run_key)

    def restore(self, table: Table) -> Restored:
        """Go back from a damaged metadata file. Raises ConfigError, DamagedMetadataError."""
        return restore(self._catalog, NAMESPACE, table.name)

    # ---- what killed runs have left --------------------------------------------------------------

    def leftovers(self, table: Table, *, older_than: datetime) -> list[Leftover]:
        """Files of ours that no snapshot names, and no run still writes. Raises ConfigError."""
        properties = self._catalog.properties
        return find_leftovers(
            lambda: self._find(table), self._folder(table), properties, older_than=older_than
        )

    def remove(self, leftovers: Iterable[Leftover]) -> None:
        """Remove these files, and the folders of runs that are empty then."""
        remove_files([leftover.path for leftover in leftovers], self._catalog.properties)

    # ---- inside ----------------------------------------------------------------------------------

    def _find(self, table: Table) -> IcebergTable | None:
        """Raises DamagedMetadataError."""
        try:
            return self._catalog.load_table((NAMESPACE, table.name))
        except NoSuchTableError:
            return None
        except UNREADABLE as error:
            raise damaged(self._catalog, NAMESPACE, table.name, error) from error

    def _data_files(
        self, table: Table, window: Window | None, snapshot_id: int | None
    ) -> list[DataFile]:
        """The files with the window's rows. Raises MissingSnapshotError."""
        found = self._find(table)
        _require_snapshot(table, found, snapshot_id)
        row_filter = _in_window(table, window) if window else None
        return _files(found, row_filter, snapshot_id) if found else []

    def _create(self, table: Table) -> IcebergTable:
        found = self._find(table)
        if found is None:  # else pyiceberg would write its first metadata and throw it away
            schema = iceberg_schema(table)
            found = self._catalog.create_table_if_not_exists(
                (NAMESPACE, table.name),
                schema=schema,
                location=self._folder(table),
                partition_spec=partition_spec(table),
                properties={
                    "schema.name-mapping.default": schema.name_mapping.model_dump_json(),
                    # What lets the second of two runs of the same new day learn of the first.
                    "write.delete.isolation-level": "serializable",
                },
            )
        return follow_contract(found, table)

    def _folder(self, table: Table) -> str:
        return f"{self._location}/{table.name}"

    def _run_folder(self, table: Table, run_key: str) -> str:
        return f"{self._folder(table)}/data/run={run_key}"


def open_lake(settings: Settings) -> Lake:
    """Open the catalog. Raises UnreachableError when it or the tables' folder does not answer."""
    return Lake(open_catalog(settings), settings.lake_location)


def new_run_key(job: str, cutoff: date) -> str:
    return f"{job}-{cutoff}-{secrets.token_hex(4)}"


def content_of(rows: DataFrame, table: Table) -> tuple[int, str]:
    """How many rows and which content hash a commit of them would record; nothing is written."""
    counts = summarize(as_table(rows, table), table)
    return counts.num_rows, counts.content_hash


def _in_window(table: Table, window: Window) -> BooleanExpression:
    column = table.partition
    return parse(f"{column} >= '{window.start}' and {column} < '{window.end}'")


def _files(
    found: IcebergTable, row_filter: BooleanExpression | None, snapshot_id: int | None
) -> list[DataFile]:
    if found.current_snapshot() is None:
        return []
    scan = found.scan(snapshot_id=snapshot_id)
    return [task.file for task in (scan.filter(row_filter) if row_filter else scan).plan_files()]


def _require_snapshot(table: Table, found: IcebergTable | None, snapshot_id: int | None) -> None:
    """pyiceberg reads a snapshot that it does not know as one without rows."""
    if snapshot_id is None or (found is not None and found.snapshot_by_id(snapshot_id)):
        return
    raise MissingSnapshotError(table.name, snapshot_id=snapshot_id, found="no such snapshot")


def _history(found: IcebergTable) -> Iterator[Snapshot]:
    return iter(ancestors_of(found.current_snapshot(), found.metadata))
