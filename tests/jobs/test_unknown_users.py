"""Events of nobody: a log's lines without a known user, from the raw file to every table."""

import json
from datetime import timedelta

import pytest

from contracts.tables import EVENTS, SEQUENCES, SERIES, SESSION_EVENTS, SESSIONS
from jobs import build_sequences, build_series, build_sessions
from jobs.check_source import check_source, show_check
from jobs.lake.lake import open_lake
from jobs.unknown_users import ingested_before, unknown_users_items

from .shop import DAY, SHOP, drop, ingest, line, use

pytestmark = pytest.mark.spark

CUTOFF = DAY + timedelta(days=1)
MAPPING = {**SHOP, "user_id": {"column": "user", "unknown": ["NULL", 0, "-1"]}}
NOBODY = ["", "  ", None, ..., "NULL", 0, " 0 ", "-1"]  # what tills and web shops write


@pytest.fixture
def log(shop, monkeypatch):
    """Two lines of known users, eight of nobody, one broken; a robot's limit of three."""
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_BAD_FRACTION", "0.5")
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_EVENTS_PER_USER_DAY", "3")
    use(shop, MAPPING, monkeypatch)
    strangers = [line(user=user, basket=n) for n, user in enumerate(NOBODY)]
    known = [line(user=1, basket=100), line(user="00", basket=101)]
    drop(shop, *known, *strangers, line(user="", basket=102, what="stare"))
    return shop


def run(program, settings, capsys):
    code = program.main(["--cutoff", str(CUTOFF), "--config", str(settings.file), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_they_are_sold_units_and_no_ones_history(log, capsys):
    """Demand counts all ten; sessions and sequences are of the two who are known."""
    code, said = ingest(log, capsys)
    for program in (build_sessions, build_sequences, build_series):
        done, _ = run(program, log, capsys)
        assert done == 0
    lake = open_lake(log)
    read = {
        table.name: lake.read_arrow(table)
        for table in (EVENTS, SESSIONS, SESSION_EVENTS, SEQUENCES, SERIES)
    }
    units = read["series"]["units"].to_pylist()

    assert code == 0
    assert (said["events"], said["unknown_users"], said["quarantined"]) == (10, 8, 1)
    assert said["lines"] == said["events"] + said["duplicates"] + said["quarantined"]
    assert read["events"]["user_id"].null_count == 8
    assert sum(units) == 20  # two of each line
    for name in ("sessions", "session_events", "sequences"):
        assert sorted(read[name]["user_id"].to_pylist()) == ["00", "1"], name


def test_what_they_bought_counts_by_item_and_day(log, capsys):
    """Equal lines of one receipt once; views, returns and lines of price 0 are no purchase."""
    nobody = {"user": None, "basket": 200}
    more = [line(**nobody, shop=n) for n in range(2)]  # one receipt's, the same id: one event
    more += [
        line(**{**nobody, "basket": 201}, item="tea", what="look"),
        line(**{**nobody, "basket": 202}, item="tea", paid=0),
        line(**{**nobody, "basket": 203}, item="tea", paid=None),
        line(**{**nobody, "basket": 204}, item="tea", at="2017-07-04T23:59:59-04:00"),
    ]
    drop(log, *more, name="part-1.jsonl.gz")
    ingest(log, capsys)
    lake, window = open_lake(log), ingested_before(CUTOFF)
    snapshot = lake.snapshot_id(EVENTS)
    found = unknown_users_items(lake, window, snapshot_id=snapshot, zone=log.time_zone)

    assert sorted(map(tuple, (row.values() for row in found.to_pylist()))) == [
        ("soup", DAY, 9, 9),
        ("tea", DAY, 4, 2),
    ]


def test_a_lake_of_known_users_is_not_read_for_it(shop, capsys):
    """The metadata of each file says that it holds no event of nobody."""
    drop(shop, line())
    ingest(shop, capsys)
    lake, window = open_lake(shop), ingested_before(CUTOFF)
    snapshot = lake.snapshot_id(EVENTS)
    groups = lake.row_groups(EVENTS, window=window, snapshot_id=snapshot, null_in="user_id")

    assert not groups
    assert lake.row_groups(EVENTS, window=window, snapshot_id=snapshot)
    assert not len(unknown_users_items(lake, window, snapshot_id=snapshot, zone=shop.time_zone))


def test_a_check_says_how_many_and_which_words_may_mean_it(log, capsys, monkeypatch):
    """Of a mapping that does not know the words, too: then they are users, and are doubted."""
    file = log.raw_folder / f"ingest_date={DAY}" / "part-0.jsonl.gz"
    _, said = check_source(str(file), log, source="shop", rows=100)
    show_check(said)
    shown = " ".join(capsys.readouterr().out.split())

    assert (said["events"], said["unknown_users"], said["nobody_words"]) == (10, 8, {})
    assert "8 rows have no known user (80.00%): they count for items and demand" in shown

    drop(log, *(line(user="nan", basket=n) for n in range(5)), line(user="Ann", basket=9))
    use(log, SHOP, monkeypatch)
    _, said = check_source(str(file), log, source="shop", rows=100)
    show_check(said)
    shown = " ".join(capsys.readouterr().out.split())

    assert (said["unknown_users"], said["nobody_words"]) == (0, {"nan": 5})
    assert "the user 'nan' has 5 rows: if that means that the user is not known, map" in shown
    assert "user_id: {column: …, unknown: ['nan']}" in shown
