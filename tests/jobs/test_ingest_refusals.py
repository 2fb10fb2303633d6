"""Loads that are refused: nothing is committed, and the message says what to do."""

import pytest

from contracts.tables import EVENTS, QUARANTINE
from jobs import ingest_events
from jobs.lake.lake import open_lake

from .shop import DAY, SHOP, drop, events, ingest, line, use

pytestmark = pytest.mark.spark


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("new_events", "events/ingest_date=2017-07-04: found 2 events counted and 1 written"),
        (
            "set_aside",
            "{raw}/ingest_date=2017-07-04/part-0.jsonl.gz: "
            "found 1 lines to quarantine and 0 written",
        ),
    ],
)
def test_a_line_that_is_lost_while_it_is_written_refuses_the_load(
    shop, capsys, monkeypatch, stage, message
):
    """What was counted is compared with what is in the files, before anything is committed."""
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_BAD_FRACTION", "1.0")
    write = getattr(ingest_events, stage)
    lost = {"new_events": "item_id <> 'lost'", "set_aside": "false"}[stage]
    monkeypatch.setattr(ingest_events, stage, lambda *parts: write(*parts).where(lost))
    drop(shop, line(), line(item="lost"), "broken")
    code, said = ingest(shop, capsys)

    assert code == 3
    assert said["message"] == (
        f"{message.format(raw=shop.raw_folder)}, "
        "expected lines = events + duplicates + quarantined, as counted and as written. "
        "Nothing was committed. Were the raw files changed meanwhile? Run this again."
    )
    assert open_lake(shop).partitions(EVENTS) == []
    assert open_lake(shop).partitions(QUARANTINE) == []


def test_a_load_that_is_refused_commits_nothing(shop, capsys):
    """The day that was there before still stands, and the message counts what was wrong."""
    drop(shop, line())
    ingest(shop, capsys)
    drop(shop, line(item="new"), line(user=None), "broken")
    drop(shop, "broken", "too", "and more", name="more of it.jsonl")
    code, said = ingest(shop, capsys)

    assert code == 3
    assert said["message"] == (
        f"{shop.raw_folder}/ingest_date=2017-07-04: found 5 bad lines of 6 "
        "(unreadable line 4, missing user_id 1), expected at most 1.00%. "
        "Nothing was committed. See examples of each with `nightshift sources check "
        f"'{shop.raw_folder}/ingest_date=2017-07-04/more of it.jsonl' --rows 3`. "
        "Mend the file or its mapping, then run this again."
    )
    assert sorted(events(shop)) == ["31198570044-soup"]


def test_a_day_without_lines_is_refused_unless_it_is_allowed(shop, capsys, monkeypatch):
    """An empty file is no proof that nothing happened."""
    drop(shop)
    code, said = ingest(shop, capsys)
    monkeypatch.setenv("NIGHTSHIFT__INGEST__ALLOW_EMPTY_DAYS", "true")
    allowed, _ = ingest(shop, capsys)

    assert (code, allowed) == (3, 0)
    assert said["error"] == "EmptyDayError"
    assert open_lake(shop).partitions(EVENTS) == [DAY]


def test_a_column_that_no_line_has_is_a_wrong_mapping(settings, spark, capsys, monkeypatch):
    """A column that is there and always null is none."""
    use(settings, {**SHOP, "properties": ["shop", "aisle"]}, monkeypatch)
    drop(settings, line(category=None), line(category=None, item="b"))
    code, said = ingest(settings, capsys)

    assert code == 3
    assert said["message"] == (
        f"{settings.raw_folder}: found the columns at, basket, category, item, paid, quantity, "
        "shop, user, what, expected also aisle. "
        f"Correct the mapping in {settings.source_file.with_name('shop.yaml')}, "
        "or ask the collector for the column."
    )


def test_a_truncated_file_refuses_the_load(shop, capsys):
    """What it would have said cannot be counted as bad lines."""
    drop(shop, *(line(item=str(n)) for n in range(1000)))
    file = shop.raw_folder / f"ingest_date={DAY}" / "part-0.jsonl.gz"
    file.write_bytes(file.read_bytes()[:-30])
    code, said = ingest(shop, capsys)

    assert code == 3
    assert said["message"] == (
        f"{shop.raw_folder}/ingest_date=2017-07-04/part-0.jsonl.gz: "
        "found a file that cannot be read to its end (Truncated compressed stream), "
        "expected a whole file. "
        "Nothing was committed. Ask the collector for the file again, then run this again."
    )


def test_a_window_without_a_day_is_refused(shop, capsys):
    code, said = ingest(shop, capsys, "--since", "2017-07-05")

    assert code == 2
    assert said["message"] == (
        "--since 2017-07-05: found no day before the cutoff, expected at most 2017-07-04. "
        "Choose an earlier --since or a later --cutoff."
    )
