"""Finding the raw files of a day, and their headers."""

import os
from datetime import date

import pytest

from contracts.errors import DataError, MissingRawError, UnreachableError
from contracts.windows import Window, one_day
from jobs.ingestion.raw_lines import find_beside, find_raw, read_header, refuse_broken

DAY = date(2017, 11, 28)


def test_the_header_of_a_file_is_its_first_line(tmp_path):
    """Without the mark that some programs write before it."""
    file = tmp_path / "ingest_date=2017-11-28" / "log.csv"
    file.parent.mkdir()
    file.write_bytes(b"\xef\xbb\xbfuser,item\r\n1,2\r\n")

    assert read_header(find_raw(str(tmp_path), one_day(DAY))[0]) == "user,item"


def test_the_files_of_the_days_are_found_in_order(tmp_path):
    """Files that are still being written, and notes of other programs, are passed over."""
    hidden = (".c.jsonl.123", "_SUCCESS", "_temporary/0/part.jsonl", ".snapshot/b.jsonl")
    names = ("b.jsonl", "a b.jsonl", "hour=03/%41\n.jsonl")
    for name in (*names, *hidden):
        file = tmp_path / "ingest_date=2017-11-28" / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text("line\n")
    os.mkfifo(tmp_path / "ingest_date=2017-11-28" / "c.jsonl")
    found = find_raw(str(tmp_path), one_day(DAY))

    assert [file.source for file in found] == [
        "ingest_date=2017-11-28/a b.jsonl",
        "ingest_date=2017-11-28/b.jsonl",
        "ingest_date=2017-11-28/hour=03/%41\n.jsonl",
    ]
    assert read_header(found[2]) == "line"
    assert read_header(found[0]) == "line"


def test_a_day_without_a_file_is_named(tmp_path):
    """Every day that lacks its files, at once and before Spark starts."""
    (tmp_path / "ingest_date=2017-11-28").mkdir()
    (tmp_path / "ingest_date=2017-11-29").mkdir()
    (tmp_path / "ingest_date=2017-11-29" / "a.jsonl").touch()
    days = Window(DAY, date(2017, 12, 1))

    with pytest.raises(MissingRawError) as refused:
        find_raw(str(tmp_path), days)
    assert str(refused.value) == (
        f"{tmp_path}/ingest_date=2017-11-28: found no raw file, "
        f"nor in {tmp_path}/ingest_date=2017-11-30, "
        "expected at least one for each of these ingestion days. "
        "Check that the collector delivered the days, then run this again. "
        "If the shop was closed, say so with ingest.closed_days or ingest.closed_weekdays."
    )
    assert len(find_raw(str(tmp_path), days, may_lack=lambda day: day.day != 29)) == 1


def test_a_raw_folder_that_is_not_there_is_named(tmp_path):
    """A lost mount is not a missing day."""
    with pytest.raises(UnreachableError) as refused:
        find_raw(str(tmp_path / "raw"), one_day(DAY))
    assert str(refused.value) == (
        f"the raw folder at {tmp_path}/raw: found no such folder, expected an answer. "
        "Check `home` and `raw` in the configuration, and that the folder is mounted."
    )


def a_day(folder):
    day = folder / "raw" / f"ingest_date={DAY}"
    day.mkdir(parents=True)
    (day / "log.jsonl").write_text("line\n")
    return day


@pytest.mark.parametrize("what", ["a file", "a folder", "nothing"])
def test_a_link_that_leads_out_of_the_raw_folder_is_refused(tmp_path, what):
    """What a collector may write is not what the night may read: keys, other people's logs."""
    day = a_day(tmp_path)
    target = tmp_path / "secret"
    if what == "a file":
        target.write_text("secret\n")
    elif what == "a folder":
        target.mkdir()
    (day / "more.jsonl").symlink_to(target)

    with pytest.raises(DataError) as refused:
        find_raw(str(tmp_path / "raw"), one_day(DAY))
    assert str(refused.value) == (
        f"{day}/more.jsonl: found a link to {target}, "
        f"expected files, and links to files, that lie in {tmp_path}/raw. "
        "Nothing was committed. Copy the file to where the link is, "
        "or name the other folder as `raw` in the configuration."
    )


def test_a_day_that_is_itself_a_link_out_is_refused(tmp_path):
    """And a link that climbs out by two dots is no better."""
    a_day(tmp_path / "elsewhere")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / f"ingest_date={DAY}").symlink_to(f"../elsewhere/raw/ingest_date={DAY}")

    with pytest.raises(DataError, match="found a link to "):
        find_raw(str(tmp_path / "raw"), one_day(DAY))


def test_a_link_within_the_raw_folder_is_followed(tmp_path):
    """The raw folder itself may be a link: whoever configured it chose it."""
    day = a_day(tmp_path)
    (day / "again.jsonl").symlink_to("log.jsonl")
    os.symlink(tmp_path / "raw", tmp_path / "mounted")
    names = [file.source for file in find_raw(str(tmp_path / "mounted"), one_day(DAY))]

    assert [name.rsplit("/")[-1] for name in names] == ["again.jsonl", "log.jsonl"]


@pytest.mark.parametrize("target", [".", "..", "../other"])
def test_a_link_to_a_folder_is_not_followed(tmp_path, target):
    """It may lead round in a circle, or out of the raw folder by a second link."""
    day = a_day(tmp_path)
    (tmp_path / "raw" / "other").mkdir()
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "raw" / "other" / "leak.jsonl").symlink_to(tmp_path / "secret")
    (day / "more").symlink_to(target)

    with pytest.raises(DataError, match=f"found a link to {(day / target).resolve()}, expected"):
        find_raw(str(tmp_path / "raw"), one_day(DAY))


def test_a_day_that_is_a_link_to_another_folder_of_raw_is_read(tmp_path):
    """But what links lead out of it is refused there too."""
    a_day(tmp_path).rename(tmp_path / "raw" / "other")
    (tmp_path / "raw" / f"ingest_date={DAY}").symlink_to("other")
    names = [file.source for file in find_raw(str(tmp_path / "raw"), one_day(DAY))]
    (tmp_path / "raw" / "other" / "more.jsonl").symlink_to("/etc/hostname")

    assert names == [f"ingest_date={DAY}/log.jsonl"]
    with pytest.raises(DataError, match="found a link to /etc/hostname"):
        find_raw(str(tmp_path / "raw"), one_day(DAY))


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    """No URI, no table and no page could say which file it is; beside the days it harms nobody."""
    day = a_day(tmp_path)
    for folder in (day, day.parent):
        (folder / os.fsdecode(b"log\xff.jsonl")).touch()

    with pytest.raises(DataError) as refused:
        find_raw(str(tmp_path / "raw"), one_day(DAY))
    assert str(refused.value) == (
        f"{day}: found a name that is not UTF-8: b'log\\xff.jsonl', "
        "expected names of files in UTF-8. Nothing was committed. "
        "Rename it, or take it out of the folder, then run this again."
    )
    assert find_beside(str(tmp_path / "raw"), "plan*") == []


def test_a_second_file_that_is_a_link_out_is_refused(tmp_path):
    """Only where its name has the pattern: what else lies there is read by nobody."""
    a_day(tmp_path)
    (tmp_path / "items.csv").write_text("item\n")
    (tmp_path / "raw" / "items.csv").symlink_to(tmp_path / "items.csv")

    assert find_beside(str(tmp_path / "raw"), "plan*") == []
    with pytest.raises(DataError, match="found a link to "):
        find_beside(str(tmp_path / "raw"), "items*")


@pytest.mark.parametrize(
    ("found", "do"),
    [
        ("a tar archive", "Unpack it into the day's folder, then run this again."),
        (
            "one JSON array",
            "Write one object a line, as `jq -c '.[]' FILE` does, then run this again.",
        ),
        ("a Parquet file", "Set `format: parquet` in the mapping, then run this again."),
        ("text in UTF-32", "Write it in UTF-8, then run this again."),
        (
            "a run of NUL bytes, as a power cut leaves it",
            "Ask the collector for the file again, then run this again.",
        ),
    ],
)
def test_what_holds_other_than_lines_is_refused_by_its_name(found, do):
    assert str(refuse_broken("ingest_date=2017-11-28/log", "/raw", f"not lines: {found}")) == (
        f"/raw/ingest_date=2017-11-28/log: found {found}, "
        "expected lines of text, plain or packed by gzip, zstd, bzip2, xz or LZ4. "
        f"Nothing was committed. {do}"
    )
