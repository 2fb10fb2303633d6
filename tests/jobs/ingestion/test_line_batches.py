"""The lines of a file: their numbers, their text, and what hinders it."""

import gzip
from datetime import date

import pytest
import zstandard

from jobs.ingestion import containers, line_batches
from jobs.ingestion.line_batches import NOT_UTF8, TOO_LONG, lines_of_file

DAY = date(2017, 11, 28)
PACKED = [("gz", gzip.compress), ("zst", zstandard.compress)]


def of_file(file, *, skip=0, most=None):
    return lines_of_file(file.as_uri(), file.name, DAY, skip, most)


def lines_of(file, **options):
    return [row for batch in of_file(file, **options) for row in batch.to_pylist()]


def numbered(file, **options):
    return [(row["line"], row["raw"]) for row in lines_of(file, **options)]


@pytest.mark.parametrize("block", [1, 3, 1024])
def test_lines_are_numbered_across_blocks(tmp_path, monkeypatch, block):
    """However the stream is cut, a line keeps its number; the last one needs no line end."""
    monkeypatch.setattr(containers, "BLOCK_BYTES", block)
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"one\n\nthree\nfour")

    assert numbered(file) == [(1, "one"), (2, ""), (3, "three"), (4, "four")]
    assert numbered(file, skip=1) == [(2, ""), (3, "three"), (4, "four")]


@pytest.mark.parametrize("block", [1, 4, 1024])
def test_a_line_that_is_too_long_is_refused_alone(tmp_path, monkeypatch, block):
    """Its first bytes are kept; the lines around it are read, and it takes no memory of its own."""
    monkeypatch.setattr(containers, "BLOCK_BYTES", block)
    monkeypatch.setattr(line_batches, "LONGEST_BYTES", 10)
    monkeypatch.setattr(line_batches, "KEPT_BYTES", 3)
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"one\n0123456789\n" + b"x" * 50 + b"\nfour\n" + b"y" * 11)
    found = [(row["line"], row["raw"], row["bytes"], row["problem"]) for row in lines_of(file)]

    assert found == [
        (1, "one", None, None),
        (2, "0123456789", None, None),
        (3, None, b"xxx", TOO_LONG),
        (4, "four", None, None),
        (5, None, b"yyy", TOO_LONG),
    ]


def test_millions_of_empty_lines_are_read_in_small_batches(tmp_path):
    """A kilobyte of gzip can be a million line feeds."""
    file = tmp_path / "log.jsonl.gz"
    file.write_bytes(gzip.compress(b"\n" * 3_000_000))
    sizes = [batch.num_rows for batch in of_file(file)]

    assert sum(sizes) == 3_000_000
    assert max(sizes) <= 4096


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

    assert [(row["raw"], row["bytes"], row["problem"]) for row in lines_of(file)] == [
        (None, b"caf\xe9", NOT_UTF8),
        ("plain\r", None, None),
    ]


@pytest.mark.parametrize("block", [1, 2, 1024])
def test_a_mark_before_a_line_is_no_text(tmp_path, monkeypatch, block):
    """However the stream is cut; `cat` leaves one before each file. Its bytes are kept."""
    monkeypatch.setattr(containers, "BLOCK_BYTES", block)
    mark = "\ufeff".encode()
    file = tmp_path / "log.jsonl"
    file.write_bytes(mark + b"one\n" + mark + b"two\nth" + mark + b"ree\n")

    assert [(row["raw"], row["bytes"]) for row in lines_of(file)] == [
        ("one", mark + b"one"),
        ("two", mark + b"two"),
        ("th\ufeffree", None),
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
    monkeypatch.setattr(containers, "BLOCK_BYTES", block)
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"0\n1\n2\n3\n4\n5\n6\n7\n8\n9")
    found = [(row["line"], row["raw"]) for row in lines_of(file, most=most)]

    assert found == [(n + 1, str(n)) for n in range(10)][:most]
