"""What a raw file is, by its bytes: read where it is text, refused by name where it is not."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from jobs.ingestion import containers
from jobs.ingestion.containers import NotLinesError, content_blocks, read_blocks

TEXT = '{"user": "Käse 😀"}\n{"user": 2}\n' * 100
DATA = TEXT.encode()
SKIPPED = bytes.fromhex("502a4d1804000000aaaaaaaa")  # a frame of zstd that holds no data


def text_of(folder, data, *, name="log.jsonl"):
    file = folder / name
    file.write_bytes(data)
    return b"".join(read_blocks(file.as_uri()))


def lz4(data):
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "lz4") as packed:
        packed.write(data)
    return out.getvalue().to_pybytes()


def tar(data):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("log.jsonl")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def archived(data, name="log.jsonl"):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, data)
    return out.getvalue()


def parquet():
    out = io.BytesIO()
    pq.write_table(pa.table({"user": [1]}), out)
    return out.getvalue()


@pytest.mark.parametrize(
    "pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress, lz4]
)
@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz", "LOG"])
def test_content_is_the_same_however_it_is_packed_and_named(tmp_path, pack, name):
    """So a delivery that comes again is known by it; `read_blocks` goes by the bytes as well."""
    file = tmp_path / name
    file.write_bytes(pack(DATA))

    assert b"".join(content_blocks(file.as_uri())) == DATA


@pytest.mark.parametrize("data", [parquet(), archived(DATA), "Käse".encode("utf-16")])
def test_content_of_what_is_not_packed_is_its_bytes(tmp_path, data):
    file = tmp_path / "log"
    file.write_bytes(data)

    assert b"".join(content_blocks(file.as_uri())) == data


@pytest.mark.parametrize("block", [501, 1 << 20])
@pytest.mark.parametrize(
    "data",
    [
        DATA,
        gzip.compress(DATA),
        gzip.compress(DATA[:9]) + gzip.compress(DATA[9:]),
        bz2.compress(DATA[:9]) + bz2.compress(DATA[9:]),
        lzma.compress(DATA),
        lzma.compress(DATA[:9]) + bytes(8) + lzma.compress(DATA[9:]) + bytes(4),
        SKIPPED + zstandard.compress(DATA[:9]) + zstandard.compress(DATA[9:]),
        lz4(DATA),
        TEXT.encode("utf-16"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        gzip.compress(TEXT.encode("utf-16")),
    ],
    ids=[
        *("plain", "gzip", "two gzip", "two bzip2", "xz", "two xz, padded", "zstd", "lz4"),
        *("utf-16", "utf-16 big", "utf-16 no mark", "utf-16 big no mark", "utf-16 in gzip"),
    ],
)
def test_text_is_read_however_it_is_packed(tmp_path, monkeypatch, data, block):
    """The bytes decide, not the name: collectors forget the ending, or write it in capitals."""
    monkeypatch.setattr(containers, "BLOCK_BYTES", block)

    assert text_of(tmp_path, data, name="LOG.1") == DATA


def test_a_name_does_not_make_a_packed_file(tmp_path):
    """Some servers unpack on the way, and leave the name as it was."""
    assert text_of(tmp_path, DATA, name="log.jsonl.gz") == DATA


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (tar(DATA), "a tar archive"),
        (gzip.compress(tar(DATA)), "a tar archive"),
        (lzma.compress(tar(DATA)), "a tar archive"),
        (archived(DATA), "a zip archive or an Excel workbook"),
        (gzip.compress(archived(DATA)), "a zip archive or an Excel workbook"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7z archive"),
        (b"Rar!\x1a\x07\x01\x00", "a RAR archive"),
        (b"\x1f\x9d\x90ab", "a file packed by compress (.Z)"),
        (parquet(), "a Parquet file"),
        (TEXT.encode("utf-32"), "text in UTF-32"),
        (gzip.compress(gzip.compress(DATA)), "a file packed twice, by gzip within"),
        (lzma.compress(DATA, format=lzma.FORMAT_ALONE), "a file packed by LZMA (.lzma)"),
        *((zlib.compress(DATA, level), "a file packed by zlib (.zz)") for level in (1, 4, 6, 9)),
        (gzip.compress(zlib.compress(DATA)), "a file packed by zlib (.zz)"),
        (random.Random(1).randbytes(300), "bytes that are no text"),
        (gzip.compress(random.Random(2).randbytes(10_000)), "bytes that are no text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_holds_other_files_is_refused_by_its_name(tmp_path, data, found):
    """Read as lines, a member's name and its padding would be its first record."""
    with pytest.raises(NotLinesError) as refused:
        text_of(tmp_path, data)
    assert refused.value.found == found


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    "data",
    [
        bytes(20),
        bytes(50_000),
        bytes(512) + DATA,
        DATA[:-9] + bytes(512),
        DATA + bytes(20),
        DATA + bytes(20) + DATA,
        DATA * 50 + bytes(5_000) + DATA,
        b"one\rtwo\r" + bytes(512),
        b"\xff\xfe" + TEXT.encode("utf-16-le") + bytes(40),
        gzip.compress(DATA + bytes(5_000)),
    ],
    ids=[
        *("short", "all", "first", "last", "after a line", "between lines", "late"),
        *("CR", "utf-16", "gzip"),
    ],
)
def test_a_file_with_a_run_of_nul_is_damaged(tmp_path, monkeypatch, data, block):
    """So a power cut leaves it: how many lines stood there, nobody knows."""
    monkeypatch.setattr(containers, "BLOCK_BYTES", block)

    with pytest.raises(NotLinesError) as refused:
        text_of(tmp_path, data)
    assert refused.value.found == "a run of NUL bytes, as a power cut leaves it"


@pytest.mark.parametrize(
    "data",
    [
        b'{"user": "a\0b"}\n\0\n' + DATA + b"\0",
        DATA + b'{"user": "a' + bytes(255) + b'"}\n' + DATA,
        "xڜ,xگ\n".encode() + DATA,
        "naïve\x01café\x01Käse\n".encode("latin-1") * 100,
        "Привет\x01\x02\x03\n".encode("cp1251") * 100,
        DATA[:100] + random.Random(3).randbytes(80) + DATA,
    ],
    ids=["single NUL", "padded", "letters of zlib", "Hive, Latin-1", "Cyrillic", "a bad line"],
)
def test_what_is_bad_in_a_few_lines_refuses_no_file(tmp_path, data):
    """Such lines are quarantined, and those around them are read."""
    assert text_of(tmp_path, data) == data


@pytest.mark.parametrize("name", ["log.lzma", "log.zz", "log.Z", "log.br"])
def test_a_packed_name_and_unknown_bytes_are_no_text(tmp_path, name):
    with pytest.raises(OSError, match="its name says that it is packed, and its bytes do not"):
        text_of(tmp_path, b"\x8b\x10\x80" + DATA[:20] + b"\x03", name=name)


@pytest.mark.parametrize(
    "data",
    [
        b"\x1e\x8b\x08\x00" + bytes(range(200)),
        *(pack(DATA)[:-9] for pack in (gzip.compress, bz2.compress, lzma.compress)),
        lzma.compress(DATA) + b"more",
        TEXT.encode("utf-16")[:-1],
    ],
    ids=["damaged", "cut gzip", "cut bzip2", "cut xz", "xz and more", "half a letter"],
)
def test_a_damaged_file_is_no_short_file(tmp_path, data):
    """What it would have said cannot be counted."""
    with pytest.raises((OSError, EOFError)) as refused:
        text_of(tmp_path, data, name="log.jsonl.gz")
    with pytest.raises(OSError, match="its name says that it is packed, and its bytes do not"):
        text_of(tmp_path, b"", name="log.jsonl.gz")
    assert not isinstance(refused.value, NotLinesError)


def test_half_a_letter_of_utf16_spoils_its_line_only(tmp_path):
    """It becomes no text in UTF-8, so that its line is refused, and the lines around are read."""
    data = b"\xff\xfe" + "a\n".encode("utf-16-le") + b"\x00\xd8" + "\nb".encode("utf-16-le")

    assert text_of(tmp_path, data).split(b"\n") == [b"a", b"\xed\xa0\x80", b"b"]


def test_carriage_returns_end_lines_where_nothing_else_does(tmp_path):
    """Beside line feeds they are a part of the line, as ever."""
    assert text_of(tmp_path, b"one\rtwo\r") == b"one\ntwo\n"
    assert text_of(tmp_path, b"one\r\ntwo\rthree\r\n") == b"one\r\ntwo\rthree\r\n"
