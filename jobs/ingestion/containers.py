"""What a raw file is, by its first bytes: packed or not, in UTF-8 or UTF-16, or no text at all.

Names are not trusted: a web server may have unpacked what still ends in .gz, and `.GZ` or no ending
at all may be packed. What holds other files, or is no text, is refused by its name.
"""

import codecs
import io
import lzma
import re
from collections.abc import Iterator
from itertools import chain
from typing import Protocol

import pyarrow as pa
from pyarrow import fs

BLOCK_BYTES = 1024 * 1024
_XZ_MEMORY_BYTES = 128 * 1024 * 1024
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xfd7zXZ\x00": "xz",
    **{bytes([n, 0x2A, 0x4D, 0x18]): "zstd" for n in range(0x50, 0x60)},  # a skippable frame first
}
_ENDINGS = (
    *(".gz", ".tgz", ".bz2", ".zst", ".lz4", ".xz"),
    *(".br", ".lzma", ".zz", ".z", ".lz", ".lzo"),
)
_STRANGE = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"PK\x05\x06": "an empty zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x1f\x9d": "a file packed by compress (.Z)",
    b"\xff\x06\x00\x00sNaPpY": "a file packed by Snappy",
    b"\x5d\x00\x00": "a file packed by LZMA (.lzma)",
    b"LZIP\x01": "a file packed by lzip (.lz)",
    b"\x89LZO": "a file packed by lzop (.lzo)",
    b"PAR1": "a Parquet file",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"SQLite format 3\x00": "an SQLite database",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an Excel workbook",
    b"%PDF-": "a PDF file",
    b"\xff\xfe\x00\x00": "text in UTF-32",
    b"\x00\x00\xfe\xff": "text in UTF-32",
}
_TAR, _TAR_AT = b"ustar", 257
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")  # letters too, in some languages
ZLIB, NO_TEXT = "a file packed by zlib (.zz)", "bytes that are no text"
HOLE = "a run of NUL bytes, as a power cut leaves it"
JSON_ARRAY, JSON_DOCUMENT = "one JSON array", "one JSON document over several lines"
_SAMPLE_BYTES = 4096
# What a disk that lost its power has not written: a block, or less, from the end of a line on.
_LOST = re.compile(rb"\0{512}|\n\0{16}")
_LOST_BYTES = 512
_NO_CONTROLS = bytes({*range(32, 256)} | {*b"\b\t\n\v\f\r\x1b"})
_CONTROLS_SHARE, _CONTROLS_KINDS = 0.05, 8  # in packed bytes 0.1 and 25; a delimiter is one kind
_UTF16_SHARE = 0.3  # of the bytes of one side, that are NUL in text of mostly Latin letters

UNPACK = "Unpack it into the day's folder, then run this again."
LINES_EXPECTED = "lines of text, plain or packed by gzip, zstd, bzip2, xz or LZ4"
_AGAIN = "Ask the collector for the file again, then run this again."
WHAT_TO_DO = {
    JSON_ARRAY: "Write one object a line, as `jq -c '.[]' FILE` does, then run this again.",
    JSON_DOCUMENT: "Write one object a line, as `jq -c . FILE` does, then run this again.",
    "text in UTF-32": "Write it in UTF-8, then run this again.",
    HOLE: _AGAIN,
    NO_TEXT: _AGAIN,
    "a Parquet file": "Set `format: parquet` in the mapping, then run this again.",
}


class NotLinesError(OSError):
    """The file is something else; the message says what, as `NotLinesError.found`."""

    @property
    def found(self) -> str:
        return str(self)


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_blocks(path: str) -> Iterator[bytes]:
    """The text of a file in UTF-8, block by block, whose lines end in line feeds.

    Where the first block has carriage returns and no line feed, they end the lines. Raises OSError
    or EOFError for a file that is broken, NotLinesError for one that is no text.
    """
    filesystem, name = fs.FileSystem.from_uri(path)
    with filesystem.open_input_file(name) as file:
        first = bytes(file.read(_SAMPLE_BYTES))
        file.seek(0)
        refuse_strange(first)
        codec = _starts_with(first, _PACKED)
        if codec is None and name.lower().endswith(_ENDINGS) and not _is_text(first):
            raise OSError("its name says that it is packed, and its bytes do not")
        yield from _blocks_of_text(_unpacked(file, codec))


def content_blocks(path: str) -> Iterator[bytes]:
    """The bytes of any file, unpacked where it is packed. Raises OSError or EOFError."""
    filesystem, name = fs.FileSystem.from_uri(path)
    with filesystem.open_input_file(name) as file:
        codec = _starts_with(bytes(file.read(_SAMPLE_BYTES)), _PACKED)
        file.seek(0)
        stream = _unpacked(file, codec)
        yield from iter(lambda: bytes(stream.read(BLOCK_BYTES)), b"")


def refuse_strange(first: bytes) -> None:
    """Raise NotLinesError where a file's first bytes are those of something else than lines."""
    if strange := _starts_with(first, _STRANGE):
        raise NotLinesError(strange)
    if first[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        raise NotLinesError("a tar archive")
    if first.startswith(_ZLIB) and not _is_text(first[:_SAMPLE_BYTES]):
        raise NotLinesError(ZLIB)


def _starts_with(first: bytes, kinds: dict[bytes, str]) -> str | None:
    return next((kind for magic, kind in kinds.items() if first.startswith(magic)), None)


def _is_text(first: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return bool(first) and "\0" not in decoder.decode(first)  # it may end within a letter
    except UnicodeDecodeError:
        return False


def _unpacked(file: pa.NativeFile, codec: str | None) -> _Stream:
    if codec is None:
        return file  # type: ignore[no-any-return]
    if codec == "xz":
        return io.BufferedReader(_Xz(file), BLOCK_BYTES)  # type: ignore[type-var]
    return pa.CompressedInputStream(file, codec)  # type: ignore[no-any-return]


class _Xz(io.RawIOBase):
    """One or several xz streams, unpacked within a fixed memory."""

    def __init__(self, file: pa.NativeFile) -> None:
        self._file, self._decoder = file, self._new()

    def _new(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]
        data = b""
        try:
            while not data:
                if self._decoder.eof:
                    rest = self._decoder.unused_data or bytes(self._file.read(_SAMPLE_BYTES))
                    if not rest.strip(b"\0"):
                        return 0
                    self._decoder = self._new()
                    data = self._decoder.decompress(rest.lstrip(b"\0"), len(buffer))
                    continue
                wanted = self._decoder.needs_input
                packed = bytes(self._file.read(BLOCK_BYTES)) if wanted else b""
                if wanted and not packed:
                    raise EOFError("Truncated compressed stream")
                data = self._decoder.decompress(packed, len(buffer))
        except lzma.LZMAError as error:
            raise OSError(str(error)) from None
        buffer[: len(data)] = data
        return len(data)


def _blocks_of_text(stream: _Stream) -> Iterator[bytes]:
    blocks = iter(lambda: bytes(stream.read(BLOCK_BYTES)), b"")
    first = next(blocks, b"")
    refuse_strange(first)
    if packed := _starts_with(first, _PACKED):
        raise NotLinesError(f"a file packed twice, by {packed} within")
    encoding = _utf16(first)
    if encoding is not None:
        blocks, first = _transcoded(first, blocks, encoding), b""
        first = next(blocks, b"")
    elif _is_binary(first[:_SAMPLE_BYTES]):
        raise NotLinesError(NO_TEXT)
    ends_in_cr = b"\r" in first and b"\n" not in first
    before = b"\n"
    for block in chain([first], blocks):
        text = block.replace(b"\r", b"\n") if ends_in_cr else block
        if b"\0" in text and _LOST.search(before + text):
            raise NotLinesError(HOLE)
        before = (before + text if len(text) < _LOST_BYTES else text)[-_LOST_BYTES:]
        yield text


def _is_binary(first: bytes) -> bool:
    """Is it packed, encrypted or a picture? Neither a Hive delimiter nor text in Latin-1 is."""
    controls = first.translate(None, _NO_CONTROLS)
    is_many = len(controls) > _CONTROLS_SHARE * len(first) and len({*controls}) >= _CONTROLS_KINDS
    return is_many and not _is_text(first)


def _utf16(first: bytes) -> str | None:
    """The encoding of text in UTF-16, by its mark or by where its NUL bytes are."""
    if first.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    sample = first[: _SAMPLE_BYTES & ~1]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    few = _UTF16_SHARE * len(sample) / 2
    if len(sample) >= 4 and odd > few and even < odd / 10:
        return "utf-16-le"
    if len(sample) >= 4 and even > few and odd < even / 10:
        return "utf-16-be"
    return None


def _transcoded(first: bytes, blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """The text in UTF-8; what is no text stays none, in the line where it stands."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    text = decoder.decode(first)
    while text or first:
        yield text.encode("utf-8", "surrogatepass")
        first = next(blocks, b"")
        try:
            text = decoder.decode(first, final=not first)
        except UnicodeDecodeError:
            raise EOFError("it ends in the middle of a letter of UTF-16") from None
