"""Finding the raw files of a day, and reading their lines with exact numbers."""

import gzip
from datetime import date

import pytest
import zstandard

from contracts.errors import MissingRawError, UnreachableError
from contracts.windows import Window, one_day
from jobs.ingestion import raw_lines
from jobs.ingestion.raw_lines import find_raw, read_header

DAY = date(2017, 11, 28)
PACKED = [("gz", gzip.compress), ("zst", zstandard.compress)]


def lines_of(file, *, skip=0, most=None):
    batches = raw_lines._lines_of_file(file.as_uri(), file.name, DAY, skip, most)
    return [row for batch in batches for row in batch.to_pylist()]


def numbered(file, **options):
    return [(row["line"], row["raw"]) for row in lines_of(file, **options)]


@pytest.mark.parametrize("block", [1, 3, 1024])
def test_lines_are_numbered_across_blocks(tmp_path, monkeypatch, block):
    """However the stream is cut, a line keeps its number; the last one needs no line end."""
    monkeypatch.setattr(raw_lines, "_BLOCK_BYTES", block)
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"one\n\nthree\nfour")

    assert numbered(file) == [(1, "one"), (2, ""), (3, "three"), (4, "four")]
    assert numbered(file, skip=1) == [(2, ""), (3, "three"), (4, "four")]


def test_a_line_without_an_end_is_no_line(tmp_path, monkeypatch):
    """It would not fit a task's memory: the rest of the file is said to be broken, and why."""
    monkeypatch.setattr(raw_lines, "_BLOCK_BYTES", 4)
    monkeypatch.setattr(raw_lines, "_LONGEST_BYTES", 10)
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"one\n0123456789\n" + b"x" * 50)
    found = [(row["line"], row["raw"], row["broken"]) for row in lines_of(file)]

    assert found == [
        (1, "one", None),
        (2, "0123456789", None),
        (3, "", "a line of more than 10 bytes"),
    ]


@pytest.mark.parametrize(("ending", "pack"), PACKED)
def test_a_packed_file_of_several_parts_is_read_to_its_end(tmp_path, ending, pack):
    """Collectors append parts; each is a stream of its own."""
    file = tmp_path / f"log.jsonl.{ending}"
    file.write_bytes(pack(b"one\n") + pack(b"two\n"))

    assert numbered(file) == [(1, "one"), (2, "two")]


def test_bytes_that_are_no_utf8_are_kept_and_are_no_text(tmp_path):
    """Nothing is put in the place of what cannot be read; the other lines of the block can."""
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"caf\xe9\nplain\r\n")

    assert [(row["raw"], row["bytes"]) for row in lines_of(file)] == [
        (None, b"caf\xe9"),
        ("plain\r", None),
    ]


@pytest.mark.parametrize("block", [1, 2, 1024])
def test_a_mark_before_the_first_line_is_no_text(tmp_path, monkeypatch, block):
    """However the stream is cut; it is among the line's bytes, and in no other line."""
    monkeypatch.setattr(raw_lines, "_BLOCK_BYTES", block)
    mark = "\ufeff".encode()
    file = tmp_path / "log.jsonl"
    file.write_bytes(mark + b"one\n" + mark + b"two\n")

    assert [(row["raw"], row["bytes"]) for row in lines_of(file)] == [
        ("one", mark + b"one"),
        ("\ufefftwo", None),
    ]


@pytest.mark.parametrize(("ending", "pack"), PACKED)
def test_a_truncated_file_says_so(tmp_path, ending, pack):
    """A file that ends early is no short file: what is missing cannot be counted."""
    file = tmp_path / f"log.jsonl.{ending}"
    file.write_bytes(pack(b"".join(b"line %d\n" % n for n in range(10_000)))[:-20])

    assert lines_of(file)[-1]["broken"] == "Truncated compressed stream"


@pytest.mark.parametrize("block", [1, 7, 1024])
@pytest.mark.parametrize("most", [1, 4, 10, 11])
def test_the_first_lines_are_the_first_lines(tmp_path, monkeypatch, block, most):
    """Of a file that is only looked at, no line is left out and none is numbered anew."""
    monkeypatch.setattr(raw_lines, "_BLOCK_BYTES", block)
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"0\n1\n2\n3\n4\n5\n6\n7\n8\n9")
    found = [(row["line"], row["raw"]) for row in lines_of(file, most=most)]

    assert found == [(n + 1, str(n)) for n in range(10)][:most]


def test_the_header_of_a_file_is_its_first_line(tmp_path):
    """Without the mark that some programs write before it."""
    file = tmp_path / "ingest_date=2017-11-28" / "log.csv"
    file.parent.mkdir()
    file.write_bytes(b"\xef\xbb\xbfuser,item\r\n1,2\r\n")

    assert read_header(find_raw(str(tmp_path), one_day(DAY))[0]) == "user,item"


def test_the_files_of_the_days_are_found_in_order(tmp_path):
    """Files that are still being written, and notes of other programs, are passed over."""
    for name in ("b.jsonl", "a b.jsonl", ".c.jsonl.123", "_SUCCESS"):
        file = tmp_path / "ingest_date=2017-11-28" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("line\n")
    found = find_raw(str(tmp_path), one_day(DAY))

    assert [file.source for file in found] == [
        "ingest_date=2017-11-28/a b.jsonl",
        "ingest_date=2017-11-28/b.jsonl",
    ]
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
