"""Lines of a log, broken in every way that logs are broken; a seed makes the same ones again."""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

HUGE = 10_000_000  # bytes
FIELDS = ("user", "basket", "item", "what", "at", "category", "quantity", "paid", "shop")
CSV_HEADER = ",".join(FIELDS).encode()


@dataclass(frozen=True)
class Line:
    """The bytes of a line without its line feed; whole if nothing was done to it."""

    data: bytes
    event_id: str | None  # of a line that has to become an event


def mutated_lines(seed: str, num_lines: int, *, day: date, form: str) -> Iterator[Line]:
    """About two lines of five are whole. One in a hundred thousand is of ten megabytes.

    The first one is whole: by its first bytes a file is taken for lines of text, or is not.
    """
    rng = random.Random(seed)
    earlier: list[bytes] = []
    for number in range(num_lines):
        values = _values(rng, f"{seed}-{number}", day)
        plain = _written(values, form)
        if rng.random() < 0.4 or number == 0:
            item = str(values["item"]).strip("#")
            yield Line(plain, f"{escaped(values['basket'])}-{escaped(item)}")
        elif number % 100_000 == 50_000 or number == 500:
            yield Line(rng.choice(_HUGE)(plain), None)
        else:
            mutate = rng.choice(_MUTATIONS)
            yield Line(mutate(rng, values, plain, form).replace(b"\n", b" "), None)
        if len(earlier) < 1000:
            earlier.append(plain)


def escaped(part: object) -> str:
    """A part of an id of several columns, as `events` says it."""
    return str(part).replace("\\", "\\\\").replace("-", "\\-")


def _values(rng: random.Random, name: str, day: date) -> dict[str, object]:
    time = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(
        minutes=rng.randrange(2 * 24 * 60)
    )
    return {
        "user": "robot" if rng.random() < 0.02 else f"u{rng.randrange(5000)}",
        "basket": name,
        "item": rng.choice([f"i{rng.randrange(300)}", f"#{rng.choice(DIGITS)}#"]),
        "what": rng.choice(["buy", "look"]),
        "at": time.isoformat(),
        "category": rng.choice(["SOUP", "Käse", "", "a, b"]),
        "quantity": rng.choice([0, 1, 2.5]),
        "paid": rng.choice([0.1, 19.99, 1000]),
        "shop": rng.randrange(20),
    }


def _written(values: dict[str, object], form: str) -> bytes:
    """What stands between # is a number, written as it stands."""
    if form == "jsonl":
        text = json.dumps(values, ensure_ascii=False)
        return re.sub('"#([^#"]*)#"', r"\1", text).encode("utf-8", "surrogatepass")
    values = {name: str(value).strip("#") for name, value in values.items()}
    cells = (f'"{value}"' if "," in str(value) else str(value) for value in values.values())
    return ",".join(cells).encode("utf-8", "surrogatepass")


# ---- what is done to a line ----------------------------------------------------------------------

NUMBERS = ("NaN", "1e308", "-1e308", "1e-308", "Infinity", "-0.0", "1e13", "9" * 400, "0x1F", "1,5")
TIMES = (
    *("9999-12-31T23:59:59Z", "+292278994-08-17T07:12:55Z", "0000-00-00T00:00:00Z", "1e308", "-1"),
    *("-9999-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2017-02-30T00:00Z"),
    *("2017-07-04T24:00:00Z", "2017-07-04T00:00:60Z", "2017-07-04T00:00:00+99:99", "now", "epoch"),
)
DIGITS = ("1.10", "1e3", "76561198000000001.0", "12345678901234567890", "0.0", "-0")
TEXTS = (
    *("\0", "a\0b", "a\x1b[31m", "\x7f", "\x9f", "a\ud83d", "\udc00", "é" * 600, "x" * 1024),
    *("x" * 1025, "\u202eabc", "a\u200db", "\ufeff", "\uffff", " ", "\u3000", "\ufffd"),
)
TYPES = (None, True, [], {}, [1, [2]], {"a": {"b": 1}}, 0, -1.5, "", " ", "\0")


def _changed(values: dict[str, object], form: str, name: str, value: object) -> bytes:
    return _written({**values, name: value}, form)


def _cut(rng, values, plain, form):
    return plain[: rng.randrange(len(plain))]


def _flipped(rng, values, plain, form):
    data = bytearray(plain)
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _recoded(rng, values, plain, form):
    encoding = rng.choice(["latin-1", "utf-16", "utf-32-be", "utf-8-sig", "cp037"])
    return plain.decode().encode(encoding, errors="replace")


def _strewn(rng, values, plain, form):
    """NUL, marks, carriage returns, quotes and backslashes anywhere."""
    bits = (b"\0", b"\r", b"\r\r", b"\xef\xbb\xbf", b'"', b"'", b"\\", b"\xc3", b"\xe2\x80\xa8")
    at = rng.choice([0, len(plain), rng.randrange(len(plain))])
    return plain[:at] + rng.choice(bits) + plain[at:]


def _with_number(rng, values, plain, form):
    name, number = rng.choice(["quantity", "paid", "user", "shop"]), rng.choice(NUMBERS)
    if form == "csv" or rng.random() < 0.3:
        return _changed(values, form, name, number)
    return _changed(values, form, name, "@").replace(b'"@"', number.encode())


def _with_time(rng, values, plain, form):
    return _changed(values, form, "at", rng.choice(TIMES))


def _with_type(rng, values, plain, form):
    return _changed(values, form, rng.choice(FIELDS), rng.choice(TYPES))


def _with_text(rng, values, plain, form):
    return _changed(values, form, rng.choice(FIELDS), rng.choice(TEXTS))


def _escaped_text(rng, values, plain, form):
    """The same as escapes of JSON, which a reader must decode before it looks."""
    if form == "csv":
        return _with_text(rng, values, plain, form)
    name, text = rng.choice(FIELDS), rng.choice(TEXTS)
    return json.dumps({**values, name: text}).encode()


def _of_an_array(rng, values, plain, form):
    before, after = rng.choice([("[", ","), ("", ","), ("", "]"), (",", ""), ("[", "]")])
    return before.encode() + plain + after.encode()


def _nested(rng, values, plain, form):
    depth = rng.choice([10, 999, 1001, 3000])
    opened, closed = rng.choice([("[", "]"), ('{"a":', "}")])
    deep = opened * depth + "1" + closed * (depth if rng.random() < 0.5 else 0)
    marked = _changed(values, form, rng.choice(FIELDS), "@")
    return marked.replace(b'"@"' if form == "jsonl" else b"@", deep.encode())


def _unclosed(rng, values, plain, form):
    places = [n for n, byte in enumerate(plain) if byte in b'",']
    at = rng.choice(places)
    return plain[:at] + (b'"' if plain[at : at + 1] == b"," else b"") + plain[at + 1 :]


def _joined(rng, values, plain, form):
    return plain + rng.choice([b"", b" ", b",", b"}", b"\r", b"null"]) + plain


def _other(rng, values, plain, form):
    bit = rng.choice([b",", b"[", b'"', b"{}", b"\0", b" ", b"a"])
    # A longer run of NUL is a damaged file, not a bad line.
    many = bit * rng.choice([1, 15] if bit == b"\0" else [1, 30, 30_000])
    noise = rng.randbytes(80)
    return rng.choice([b"", b"\r", b"null", b"[]", b"{}", b"[" + plain + b"]", noise, many])


_MUTATIONS = (
    *(_cut, _flipped, _recoded, _strewn, _with_number, _with_time, _with_type),
    *(_nested, _unclosed, _joined, _other, _with_text, _escaped_text, _of_an_array),
)

_HUGE = (
    lambda plain: plain.replace(b"SOUP", b"S" * HUGE) + b" " * HUGE,
    lambda plain: b"," * HUGE,
    lambda plain: b'{"user": "' + b"x" * HUGE,
    lambda plain: b"\xff" * HUGE,
    lambda plain: b"[" * HUGE,
)
