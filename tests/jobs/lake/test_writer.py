"""Executors write files; only those that the driver names become rows."""

from collections.abc import Iterator
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.tables import SESSIONS
from contracts.windows import Window
from jobs.lake import writer
from jobs.lake.column_types import arrow_schema
from jobs.lake.lake import open_lake

DAYS = [date(2017, 7, 4), date(2017, 7, 4), date(2017, 7, 6)]
WINDOW = Window(date(2017, 7, 4), date(2017, 7, 7))


def sessions(days):
    columns = {
        "session_id": [f"s{n}" for n in range(len(days))],
        "user_id": ["u"] * len(days),
        "start_time": [0] * len(days),
        "end_time": [0] * len(days),
        "num_events": [1] * len(days),
        "num_items": [1] * len(days),
        "spend": [0.5] * len(days),
        "is_converted": [True] * len(days),
        "session_date": days,
    }
    schema = arrow_schema(SESSIONS)
    return pa.Table.from_arrays(
        [pa.array(columns[field.name], field.type) for field in schema], schema=schema
    )


def test_a_stream_is_written_as_it_comes(settings, monkeypatch):
    """One file, of which no more than a row group is held; no row makes no file."""
    monkeypatch.setattr(writer, "STREAMED_ROWS", 4)
    one = open_lake(settings).writer(SESSIONS, run_key="run")
    batch = sessions(DAYS[:2]).to_batches()[0]
    given, written = 0, []

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal given
        for _ in range(7):
            given += batch.num_rows
            yield batch
            written.extend(settings.home.rglob("*.parquet"))

    (path,) = one.write_stream(batches(), label="00007-")

    with pq.ParquetFile(path.removeprefix("file://")) as file:
        groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert (given, groups) == (14, [4, 4, 4, 2])
    assert written, "the file was begun before the last batch came"
    assert "/partition=2017-07-04/part-00007-" in path
    assert [*one.write_stream(iter([]))] == []


def test_a_file_holds_one_partition(settings):
    """As a commit needs it; no rows make no file."""
    writer = open_lake(settings).writer(SESSIONS, run_key="run")
    paths = [*writer.write(sessions(DAYS))]
    found = [set(pq.read_table(path)["session_date"].to_pylist()) for path in paths]

    assert found == [{DAYS[0]}, {DAYS[2]}]
    assert [*writer.write(sessions([]))] == []


def test_a_file_says_instants_as_differences_and_repeats_no_word(settings):
    """What hardly repeats has no dictionary, which would cost more than all else."""
    rows = sessions([DAYS[0]] * 1000)
    (path,) = open_lake(settings).writer(SESSIONS, run_key="run").write(rows, label="1-of-2-")
    group = pq.ParquetFile(path.removeprefix("file://")).metadata.row_group(0)
    encodings = {
        group.column(n).path_in_schema: group.column(n).encodings for n in range(group.num_columns)
    }

    assert "/partition=2017-07-04/part-1-of-2-" in path
    assert "DELTA_BINARY_PACKED" in encodings["start_time"]
    assert "RLE_DICTIONARY" in encodings["user_id"]
    assert "RLE_DICTIONARY" not in encodings["session_id"]
    assert pq.read_table(path)["start_time"].type == pa.timestamp("us", "UTC")


@pytest.mark.spark
def test_what_another_attempt_has_written_is_no_part_of_the_commit(spark, settings):
    """A task that is tried again, or twice at once, writes again; the first file stays unnamed."""
    lake = open_lake(settings)
    writer = lake.writer(SESSIONS, run_key="run")
    lost, kept = ([*writer.write(sessions(DAYS))] for _ in range(2))
    staged = lake.stage_files(spark, kept, SESSIONS, window=WINDOW, run_key="run")
    lake.commit(staged, reads={})
    committed = {f"s{n}" for n in range(len(DAYS))}

    assert set(lost).isdisjoint(kept)
    assert sorted(lake.read_arrow(SESSIONS)["session_id"].to_pylist()) == sorted(committed)
