"""Nights that were missed: the next one makes up for them, or names every day that it lacks."""

from datetime import timedelta

import pytest

from contracts.tables import EVENTS
from jobs.lake.lake import open_lake
from jobs.status import read_status
from tests.jobs.shop import DAY, drop, ingest, line

pytestmark = pytest.mark.spark

DAYS = [DAY + timedelta(days=n) for n in range(6)]


def deliver(shop, *days):
    for day in days:
        drop(shop, line(item=f"of {day}", at=f"{day}T10:00:00-04:00"), day=day)


def test_the_next_night_takes_every_missed_day_in_order(shop, capsys, monkeypatch):
    """A closed day needs no delivery; days that lack one are named at once, and nothing is done."""
    deliver(shop, DAYS[0])
    ingest(shop, capsys)
    deliver(shop, DAYS[2], DAYS[4])
    code, refused = ingest(shop, capsys, cutoff=DAYS[5])
    before = open_lake(shop).partitions(EVENTS)
    missed = read_status(shop)["missed_days"]
    monkeypatch.setenv("NIGHTSHIFT__INGEST__CLOSED_DAYS", f'["{DAYS[1]}"]')
    deliver(shop, DAYS[3])
    taken, said = ingest(shop, capsys, cutoff=DAYS[5])
    rows = open_lake(shop).read_arrow(EVENTS, columns=["item_id", "ingest_date"]).to_pylist()

    assert code == 3
    assert refused["message"].startswith(
        f"{shop.raw_folder}/ingest_date={DAYS[1]}: found no raw file, "
        f"nor in {shop.raw_folder}/ingest_date={DAYS[3]}, expected"
    )
    assert before == [DAYS[0]]
    assert missed == ", ".join(map(str, DAYS[1:5])) + (
        f": `nightshift ingest --since {DAYS[1]} --cutoff DAY`"
    )
    assert (taken, said["since"], said["events"]) == (0, str(DAYS[1]), 3)
    assert {row["item_id"]: row["ingest_date"] for row in rows} == {
        f"of {day}": day for day in (DAYS[0], *DAYS[2:5])
    }
    assert open_lake(shop).partitions(EVENTS) == DAYS[:5]


def test_a_closed_day_alone_is_committed_without_events(shop, capsys, monkeypatch):
    deliver(shop, DAYS[0])
    ingest(shop, capsys)
    weekday = f"{DAYS[1]:%A}".lower()
    monkeypatch.setenv("NIGHTSHIFT__INGEST__CLOSED_WEEKDAYS", f'["{weekday}"]')
    code, said = ingest(shop, capsys, cutoff=DAYS[2])

    assert (code, said["lines"], said["events"]) == (0, 0, 0)
    assert open_lake(shop).partitions(EVENTS) == DAYS[:2]
    assert read_status(shop)["missed_days"] == "none"
