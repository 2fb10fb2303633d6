"""Files of several kinds, CSV by its headers and Parquet by its columns, up to the lake."""

import json
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from contracts.errors import DataError, MissingRawError
from contracts.tables import EVENTS, QUARANTINE
from contracts.windows import one_day
from jobs.ingest_events import main
from jobs.ingestion.load_logs import Place, load_rows, share_out
from jobs.ingestion.raw_lines import find_raw
from jobs.lake.lake import open_lake
from jobs.sources.mapping import load_source

DAY = date(2017, 7, 4)
PLACE = Place("/raw", "two.yaml")
LOG = {
    "format": "jsonl",
    "event_id": {"columns": ["id"]},
    "user_id": "user",
    "item_id": "item",
    "event_type": {"constant": "view"},
    "event_time": {"column": "at", "format": "naive", "zone": "America/New_York"},
}


def loaded(tmp_path, mapping):
    file = tmp_path / "sources" / "shop.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(mapping))
    return load_source(file)


def two_kinds(tmp_path):
    return loaded(
        tmp_path, {"logs": {name: {**LOG, "files": f"{name}*"} for name in ("buys", "clicks")}}
    )


def found(tmp_path, *names):
    for name in names:
        file = tmp_path / "raw" / f"ingest_date={DAY}" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    return find_raw(str(tmp_path / "raw"), one_day(DAY))


def test_each_log_gets_the_files_of_its_pattern(tmp_path):
    files = found(tmp_path, "clicks-1.gz", "buys.gz", "clicks-2.gz")
    shares = share_out(files, two_kinds(tmp_path), PLACE)

    assert [[file.path.rsplit("/", 1)[1] for file in share] for share in shares] == [
        ["buys.gz"],
        ["clicks-1.gz", "clicks-2.gz"],
    ]


def test_a_file_of_no_log_is_refused(tmp_path):
    """Lines that nobody reads would be missing from every count."""
    files = found(tmp_path, "clicks.gz", "buys.gz", "carts.gz")

    with pytest.raises(DataError) as refused:
        share_out(files, two_kinds(tmp_path), PLACE)
    assert str(refused.value) == (
        "/raw/ingest_date=2017-07-04/carts.gz: found a file of none of the logs, or of several, "
        "expected a name that has exactly one of the patterns buys*, clicks*. "
        "Correct `files` in two.yaml, or take the file out of the day's folder."
    )


def test_a_day_without_the_file_of_a_log_is_no_whole_day(tmp_path):
    """Clicks without their buys would look like a day on which nobody bought."""
    files = found(tmp_path, "clicks.gz")

    with pytest.raises(MissingRawError) as refused:
        share_out(files, two_kinds(tmp_path), PLACE)
    assert str(refused.value).startswith("/raw/ingest_date=2017-07-04/buys*: found no raw file, ")


@pytest.mark.spark
def test_a_column_is_missed_in_the_log_that_lacks_it(
    tmp_path, spark, settings, capsys, monkeypatch
):
    """What one kind of file has is no proof that another kind has it too."""
    logs = {name: {**LOG, "files": f"{name}*"} for name in ("clicks", "buys")}
    logs["clicks"]["quantity"], logs["buys"]["quantity"] = "clicks", "units"
    loaded(settings.file.parent, {"logs": logs})
    monkeypatch.setenv("NIGHTSHIFT__SOURCE", "shop")
    line = {"id": 1, "user": 2, "item": 3, "at": "2017-07-04 00:13:01"}
    for name in ("clicks", "buys"):
        file = settings.raw_folder / f"ingest_date={DAY}" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**line, name: 1}))
    cutoff = str(DAY + timedelta(days=1))
    code = main(["--cutoff", cutoff, "--config", str(settings.file), "--json"])

    assert code == 3
    assert json.loads(capsys.readouterr().out)["message"].startswith(
        f"{settings.raw_folder}: found the columns at, buys, id, item, user, expected also units. "
    )


@pytest.mark.spark
def test_a_quoted_header_names_its_columns(tmp_path, spark):
    """With the delimiter inside a name, and blanks around it."""
    source = loaded(tmp_path, {**LOG, "format": "csv", "category": "Aisle, shelf"})
    (file,) = found(tmp_path, "a.csv")
    path = tmp_path / "raw" / file.source
    path.write_text('id, "Aisle, shelf" ,user,item,at\ne1,"3, low",u,i,2017-07-04 00:00\n')
    row = load_rows(spark, [file], source, PLACE).first()

    assert row["fields"]["Aisle, shelf"] == "3, low"
    assert row["line"] == 2


@pytest.mark.spark
@pytest.mark.parametrize("int96", [False, True])
def test_rows_of_parquet_become_events(tmp_path, spark, settings, capsys, monkeypatch, int96):
    """A refused row is kept with its number and as JSON; naive times and INT96 have their zone."""
    mapping = {**LOG, "format": "parquet", "price": {"column": "cents", "divide_by": 100}}
    loaded(settings.file.parent, mapping)
    monkeypatch.setenv("NIGHTSHIFT__SOURCE", "shop")
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_BAD_FRACTION", "0.7")
    at = datetime.fromisoformat("2017-07-04 00:13:01.5")
    table = pa.table(
        {
            "id": [1, 2, 3],
            "user": [10.0, None, 30.0],
            "item": ["soup", "soup", "bread"],
            "at": pa.array([at, at, None], pa.timestamp("us")),
            "cents": pa.array([199, 1, 2], pa.int32()),
            "Cents": ["another", "column", "altogether"],
        }
    )
    file = settings.raw_folder / f"ingest_date={DAY}" / "part-0.parquet"
    file.parent.mkdir(parents=True)
    pq.write_table(table, file, row_group_size=2, use_deprecated_int96_timestamps=int96)
    cutoff = str(DAY + timedelta(days=1))
    code = main(["--cutoff", cutoff, "--config", str(settings.file), "--json"])
    said = json.loads(capsys.readouterr().out)
    (event,) = open_lake(settings).read_arrow(EVENTS).to_pylist()
    kept = open_lake(settings).read_arrow(QUARANTINE).sort_by("line").to_pylist()

    assert code == 0, said
    assert (event["event_id"], event["user_id"], event["price"]) == ("1", "10", 1.99)
    assert event["event_time"] == at.replace(hour=4, tzinfo=ZoneInfo("UTC"))
    assert [(row["line"], row["reason"]) for row in kept] == [
        (2, "missing user_id"),
        (3, "missing event_time"),
    ]
    assert json.loads(kept[1]["raw"]) == {
        "id": "3",
        "user": "30",
        "item": "bread",
        "at": None,
        "cents": "2",
        "Cents": "altogether",
    }
