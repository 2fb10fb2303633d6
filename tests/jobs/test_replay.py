"""Replay: a past night from what it read, equal by hash, whatever has happened to it since."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contracts.tables import EVENTS, LAKE, SEQUENCES, SERIES, SESSIONS
from contracts.windows import Window
from jobs import build_sequences, build_series, build_sessions, forecast_demand, replay, score
from jobs.lake.lake import Lake, _files, _in_window, open_lake
from jobs.replay import main
from jobs.running.settings import Settings
from models.registry.registry import Registry

from .admitted import make_champion
from .conftest import settings_in
from .test_score import save_model

pytestmark = [pytest.mark.spark, pytest.mark.torch]

LAST, CUTOFF, NEXT = date(2017, 1, 9), date(2017, 1, 10), date(2017, 1, 11)
DDL = (
    "event_id string, user_id string, item_id string, event_type string, event_time timestamp, "
    "category string, price double, quantity double, amount double, session_hint string, "
    "text string, properties map<string,string>, ingest_date date"
)


def ingest(spark, lake: Lake, start: date, end: date, *, salt: int = 0) -> None:
    """A day of five users, one of whom comes late, and buys what the salt says."""
    days = Window(start, end)
    rows = []
    for day in days.days:
        for n in range(12):
            late = timedelta(days=n // 11)
            time = datetime(day.year, day.month, day.day, 14, 5 * n, tzinfo=UTC) - late
            name, item = f"{day}-{n}-{salt}", f"item {(n + salt) % 4}"
            paid = (n + 1) / 7
            rows.append(
                (
                    name,
                    f"u{n % 5}",
                    item,
                    "purchase",
                    time,
                    "c",
                    None,
                    1.0,
                    paid,
                    None,
                    None,
                    {},
                    day,
                )
            )
    frame = spark.createDataFrame(rows, DDL)
    key = f"ingest-{start}-{salt}"
    lake.replace(frame, EVENTS, window=days, run_key=key, reads={})


def run(program, settings: Settings, cutoff: date) -> None:
    assert program.main(["--cutoff", str(cutoff), "--config", str(settings.file), "--json"]) == 0


@pytest.fixture(scope="module")
def settings(spark, tmp_path_factory, empty_mlflow) -> Settings:
    """A week in bulk, a night upon it; then a day of it ingested anew, and a night more."""
    settings = settings_in(tmp_path_factory.mktemp("replay"))
    mlflow = settings.mlflow
    registry = Registry(mlflow.tracking_uri, mlflow.model, settings.artifacts_uri)
    run_id = registry.start_run("tests", name="gru", params={}, tags={})
    model = save_model(tmp_path_factory.mktemp("model"))
    version = registry.register(model, run_id, date(2017, 1, 1), "gru")
    make_champion(settings, registry, version.version)

    lake = open_lake(settings)
    ingest(spark, lake, date(2017, 1, 2), LAST)
    run(build_sequences, settings, LAST)
    ingest(spark, lake, LAST, CUTOFF)
    for program in (build_sessions, build_sequences, build_series, forecast_demand, score):
        run(program, settings, CUTOFF)
    ingest(spark, lake, date(2017, 1, 4), date(2017, 1, 5), salt=3)
    ingest(spark, lake, CUTOFF, NEXT)
    run(build_sequences, settings, NEXT)
    return settings


def replayed(settings: Settings, capsys, cutoff: date = CUTOFF) -> tuple[int, dict]:
    capsys.readouterr()
    code = main(["--cutoff", str(cutoff), "--config", str(settings.file), "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def file_of(lake: Lake, table, cutoff: date) -> Path:
    """A file of the night's newest commit."""
    commit = replay.commit_of_night(lake, table, cutoff)
    row_filter = _in_window(table, commit.window)
    files = _files(lake._find(table), row_filter, commit.snapshot_id)
    return Path(sorted(file.file_path for file in files)[0].removeprefix("file://"))


def test_a_night_is_proved_though_its_events_were_ingested_anew(settings, capsys):
    """Every table, built upon the night before or not, and nothing is written by it."""
    lake = open_lake(settings)
    before = {table.name: lake.snapshot_id(table) for table in LAKE}
    there = sorted(settings.home.rglob("lake/**/*"))
    code, said = replayed(settings, capsys)
    first, later = (replayed(settings, capsys, cutoff) for cutoff in (LAST, NEXT))

    assert code == 0
    assert {said[table.name] for table in replay.REBUILD} == {"equal"}
    assert set(said["tables"]["sequences"]["reads"]) == {"events", "sequences"}
    assert said["tables"]["sequences"]["reads"]["events"] != before["events"]
    assert said["tables"]["scores"]["settings"] == "recorded"
    assert (first[0], first[1]["sequences"], first[1]["scores"]) == (0, "equal", "not run")
    assert (later[0], set(later[1]["tables"]["sequences"]["reads"])) == (0, {"events"})
    assert {table.name: lake.snapshot_id(table) for table in LAKE} == before
    assert sorted(settings.home.rglob("lake/**/*")) == there


def test_settings_of_today_do_not_change_a_past_night(settings, capsys, monkeypatch):
    """It is rebuilt with those that its commits recorded."""
    monkeypatch.setenv("NIGHTSHIFT__SESSIONS__GAP_MINUTES", "1")
    monkeypatch.setenv("NIGHTSHIFT__SEQUENCES__MAX_EVENTS", "2")
    monkeypatch.setenv("NIGHTSHIFT__SERIES__TOP_ITEMS", "1")
    monkeypatch.setenv("NIGHTSHIFT__TIME_ZONE", "UTC")
    monkeypatch.setenv("NIGHTSHIFT__RECOMMENDATIONS__TOP_K", "1")

    assert replayed(settings, capsys)[0] == 0


def test_other_code_is_found_out_and_what_differs_is_said(settings, capsys, monkeypatch):
    """Which table, which hashes, which rows and columns; exit code 3."""
    whole = build_sequences.rows_from

    def rounded(*args, **options):
        return whole(*args, **options).selectExpr(
            "* except (lifetime_spend)", "round(lifetime_spend, 0) AS lifetime_spend"
        )

    monkeypatch.setattr(replay, "REBUILD", {**replay.REBUILD, SEQUENCES: rounded})
    code, said = replayed(settings, capsys)
    table = said["tables"]["sequences"]

    assert (code, said["error"]) == (3, "ReplayError")
    assert table["recorded"] == table["stored"] != table["rebuilt"]
    assert said["message"] == (
        f"the night 2017-01-10: found sequences (recorded {table['recorded']}, "
        f"stored {table['stored']}, rebuilt {table['rebuilt']}; 4 rows changed, "
        "in lifetime_spend 4, such as u0/2017-01-10, u2/2017-01-10, u3/2017-01-10), "
        "expected the rows that were committed. "
        "If stored and recorded differ, files were changed: restore them. "
        "If rebuilt differs, code, packages or settings have changed since."
    )
    assert said["tables"]["series"]["is_equal"]


def test_a_changed_file_is_found_out(settings, capsys):
    """The rows as they lie there are hashed too, so that a proof is no comparison with itself."""
    file = file_of(open_lake(settings), SERIES, CUTOFF)
    whole, checksum = file.read_bytes(), file.with_name(f".{file.name}.crc")
    kept = checksum.read_bytes()
    rows = pq.ParquetFile(file).read()
    try:
        checksum.unlink()
        pq.write_table(rows.slice(1), file)
        code, said = replayed(settings, capsys)
    finally:
        file.write_bytes(whole)
        checksum.write_bytes(kept)
    table = said["tables"]["series"]

    assert code == 3
    assert table["recorded"] == table["rebuilt"] != table["stored"]
    assert table["differences"]["only_rebuilt"] == 1


def test_a_removed_file_is_named(settings, capsys):
    """Not in Spark's words, and not as a difference."""
    lake = open_lake(settings)
    file = file_of(lake, SEQUENCES, LAST)
    snapshot_id = replay.commit_of_night(lake, SEQUENCES, CUTOFF).reads["sequences"]
    away = file.rename(file.with_suffix(".away"))
    try:
        code, said = replayed(settings, capsys)
    finally:
        away.rename(file)

    assert code == 3
    assert said["message"] == (
        f"sequences at snapshot {snapshot_id}: found 1 of 2 files gone, the first file://{file}, "
        "expected the snapshot, with every file that it names. "
        "Neither a night nor `nightshift vacuum` removes one: look for another program "
        "that expires snapshots or removes files, and restore them from a copy."
    )


def test_a_night_that_was_never_run_is_refused(settings, capsys):
    code, said = replayed(settings, capsys, date(2016, 1, 1))

    assert code == 3
    assert said["message"] == (
        "the night 2016-01-01: found no commit of it in the lake, "
        "expected a night that was run here. Choose one that `nightshift status` names."
    )


def test_an_expired_snapshot_is_named(settings, capsys):
    """What read it cannot be rebuilt, and what it had committed cannot be proved. Run last."""
    lake = open_lake(settings)
    read = replay.commit_of_night(lake, SESSIONS, CUTOFF).reads["events"]
    lake._find(EVENTS).maintenance.expire_snapshots().by_id(read).commit()
    of_reader = replayed(settings, capsys)
    commit = replay.commit_of_night(lake, SERIES, CUTOFF)
    made = replay.commit_of_night(lake, SEQUENCES, CUTOFF).snapshot_id
    lake._find(SEQUENCES).maintenance.expire_snapshots().by_id(made).commit()
    of_commit = replayed(settings, capsys)

    assert commit is not None
    assert of_reader[0] == of_commit[0] == 3
    assert of_reader[1]["message"].startswith(
        f"events at snapshot {read}: found no such snapshot, expected the snapshot, "
    )
    assert of_commit[1]["message"] == (
        "sequences/cutoff=2017-01-10: found rows, and no commit that says what they were made "
        "from, expected the commit of the run that made them. "
        "Another program has expired its snapshot: the night cannot be proved any more."
    )
