"""Read the first rows of a log against a mapping, and say what became of them; write nothing.

`nightshift sources check FILE`. The rows go the way that they would go at night, through the same
code, so what is said here is what the night would do.
"""

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from pyspark.sql import Row
from pyspark.sql import functions as F
from rich.table import Table

from contracts.errors import ConfigError
from contracts.printable import printable
from jobs.ingestion.equal_lines import compare_equal_lines, count_altered_rows, say_equal_lines
from jobs.ingestion.flaws import NESTED
from jobs.ingestion.json_lines import paths_in
from jobs.ingestion.load_logs import Place, in_file_order, load_rows, log_of, read_head
from jobs.ingestion.local_clocks import DOUBLED, MISSING
from jobs.ingestion.map_events import map_events
from jobs.ingestion.nested_values import suggest
from jobs.ingestion.raw_lines import RawFile, first_lines, refuse_broken
from jobs.running import console
from jobs.running.settings import Settings
from jobs.running.spark import open_spark
from jobs.sources.description import describe_log
from jobs.sources.mapping import Source, load_source
from jobs.sources.parts import Csv
from jobs.sources.rows import Log

JOB = "sources check"
EXAMPLES = 3
# What logs write where they do not know the user, in lower case.
MEANS_NOBODY = frozenset(
    {"null", "none", "nan", "nil", "na", "n/a", "\\n", "undefined", "unknown", "anonymous", "guest"}
    | {"(not set)", "not set", "0", "0.0", "-1", "-1.0", "00000000-0000-0000-0000-000000000000"}
)
_TIMES = {"doubled": "twice", "missing": "never"}
_NO_DAY = date(9999, 12, 1)  # nothing is later: the ingestion day of the file is not known
_DAY = re.compile(r"ingest_date=(\d{4}-\d{2}-\d{2})")


def check_source(
    path: str, settings: Settings, *, source: str | None, rows: int
) -> tuple[int, dict[str, Any]]:
    """Return what became of the first rows, and 3 where a night would refuse as many bad ones."""
    name = source or settings.source
    mapping = settings.source_file.with_name(f"{name}.yaml")
    known = load_source(mapping)
    file = _raw_file(path)
    place = Place(str(Path(path).parent), str(mapping))
    log = log_of(file, known, place)
    spark = open_spark(settings, JOB)
    most = rows + 1 if isinstance(log.format, Csv) else rows
    parsed = in_file_order(load_rows(spark, [file], log, place, most=most), log, [file])
    instant = F.date_format("event_time", "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'")  # the session is in UTC
    events = map_events(parsed, log, zone=settings.time_zone)
    mapped = events.withColumn("event_time", instant).collect()
    for row in mapped:
        if row["broken"] is not None:
            raise refuse_broken(file.source, place.folder, row["broken"])
    head = read_head(file, log, place) or _keys(file)
    summary = {"source": name, "file": path, **summarize(mapped, log, known, head=head)}
    is_refused = summary["refused"] > settings.ingest.max_bad_fraction * max(len(mapped), 1)
    return 3 if is_refused else 0, {
        **summary,
        "max_bad_fraction": settings.ingest.max_bad_fraction,
        "ingestion_day": None if file.ingest_date == _NO_DAY else file.ingest_date,
    }


def summarize(rows: Sequence[Row], log: Log, source: Source, *, head: list[str]) -> dict[str, Any]:
    """What became of the rows: each column's values, the events, the repeats, the refused."""
    events = [row for row in rows if row["reason"] is None]
    refused = sorted((row for row in rows if row["reason"] is not None), key=lambda r: r["reason"])
    given = set()
    for row in rows:
        given |= {n for n in range(len(log.columns)) if row["present"] >> n & 1}
    times = [row["event_time"] for row in events]
    return {
        "rows": len(rows),
        "events": len({row["event_id"] for row in events}),
        "duplicates": len(events) - len({row["event_id"] for row in events}),
        "equal_lines": compare_equal_lines(events, log),
        "altered": count_altered_rows(events),
        "doubled_hours": sum(row["clock"] == DOUBLED for row in events),
        "missing_hours": sum(row["clock"] == MISSING for row in events),
        "unknown_users": sum(row["user_id"] is None for row in events),
        "nobody_words": nobody_words(events),
        "refused": len(refused),
        "reasons": {
            reason: {
                "rows": len(alike),
                "examples": [_line(row) for row in alike[:EXAMPLES]],
                **_advice(reason, log, alike[0]),
            }
            for reason, found in itertools.groupby(refused, key=lambda row: str(row["reason"]))
            for alike in [sorted(found, key=lambda row: int(row["line"]))]
        },
        "columns": {
            column: {"from": words, **_values(events, column)}
            for column, words in describe_log(log, source.item_attributes).items()
        },
        "event_types": dict(Counter(row["event_type"] for row in events).most_common()),
        "first_event_time": min(times, default=None),
        "last_event_time": max(times, default=None),
        "never_given": [name for n, name in enumerate(log.columns) if n not in given],
        "not_mapped": [name for name in head if not _is_mapped(name, log)],
    }


def nobody_words(events: Sequence[Row]) -> dict[str, int]:
    """Users whose id looks like a word for "not known", and how many events each has."""
    counts = Counter(row["user_id"] for row in events if row["user_id"] is not None)
    return {
        user: count
        for user, count in counts.most_common()
        if user.strip().lower() in MEANS_NOBODY and count > 1
    }


def show_check(summary: dict[str, Any]) -> None:
    """The same for people."""
    out = console.out
    day = summary["ingestion_day"]
    out.print(f"{summary['file']}: {summary['rows']:,} rows as {summary['source']}", markup=False)
    if day is None:
        out.print("  its ingestion day is not known: no event is taken for one of a later day")
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for title in ("column", "from", "given", "examples"):
        table.add_column(title, header_style="dim", overflow="fold")
    for column, said in summary["columns"].items():
        share = "–" if said["given"] is None else f"{said['given']:.1%}"
        examples = ", ".join(_clip(example, 32) for example in said["examples"])
        table.add_row(*map(console.plain, (column, said["from"], share, examples)))
    out.print(table)
    for title, names in (("no row gives", "never_given"), ("not mapped", "not_mapped")):
        if summary[names]:
            out.print(printable(f"{title}: {', '.join(summary[names])}"), markup=False)
    types = ", ".join(f"{name} {count:,}" for name, count in summary["event_types"].items())
    if types:
        first, last = summary["first_event_time"], summary["last_event_time"]
        out.print(f"{console.plain(types)}; from {first} to {last}")
    share = summary["refused"] / max(summary["rows"], 1)
    out.print(
        f"{summary['events']:,} events, {summary['duplicates']:,} repeat one of them, "
        f"{summary['refused']:,} refused ({share:.2%}; "
        f"a night allows {summary['max_bad_fraction']:.2%})"
    )
    if summary["unknown_users"]:
        share = summary["unknown_users"] / (summary["events"] + summary["duplicates"])
        out.print(
            f"{summary['unknown_users']:,} rows have no known user ({share:.2%}): they count for "
            "items and demand, and are in no session, sequence or score"
        )
    for word, count in summary["nobody_words"].items():
        out.print(
            f"the user {word!r} has {count:,} rows: if that means that the user is not known, map "
            f"user_id: {{column: …, unknown: [{word!r}]}}",
            markup=False,
        )
    for kind in ("doubled", "missing"):
        if count := summary[f"{kind}_hours"]:
            out.print(f"{count:,} in an hour that the clock shows {_TIMES[kind]}")
    for words in say_equal_lines(summary["equal_lines"], summary["altered"]):
        out.print(words, markup=False)
    for reason, said in summary["reasons"].items():
        out.print(f"  {reason}: {said['rows']:,}", markup=False)
        for example in said["examples"]:
            out.print(f"    line {example['line']}: {_clip(example['raw'], 160)}", markup=False)
        if "advice" in said:
            out.print(f"    {printable(said['advice'])}", markup=False)


def _advice(reason: str, log: Log, row: Row) -> dict[str, str]:
    """Which path was probably meant, where a mapped value is an array or an object."""
    role = reason.removeprefix(f"{NESTED} in ")
    if role == reason:
        return {}
    return {"advice": suggest(_line(row)["raw"], log.columns_of[role])}


def _is_mapped(path: str, log: Log) -> bool:
    """Is the column mapped, or an object that it lies in?"""
    keys = path.split(".")
    return any(".".join(keys[:n]) in log.columns for n in range(1, len(keys) + 1))


def _clip(text: str, most: int) -> str:
    text = printable(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _line(row: Row) -> dict[str, Any]:
    return {"line": row["line"], "raw": bytes(row["raw"]).decode(errors="replace")}


def _values(events: Sequence[Row], column: str) -> dict[str, Any]:
    """How many events have a value, and the first few different ones."""
    values = [row[column] for row in events]
    found = [value for value in values if value not in (None, {})]
    return {
        "given": len(found) / len(values) if values else None,
        "examples": list(itertools.islice(dict.fromkeys(map(_text, found)), EXAMPLES)),
    }


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={inner}" for key, inner in value.items())
    return str(value)


def _raw_file(path: str) -> RawFile:
    is_uri = "://" in path
    if not is_uri and not Path(path).is_file():
        raise ConfigError(
            path,
            found="no such file",
            expected="a raw log",
            do="Give the path or the URI of one file of a day.",
        )
    found = _DAY.search(str(path if is_uri else Path(path).resolve()))
    day = date.fromisoformat(found.group(1)) if found else _NO_DAY
    return RawFile(path if is_uri else Path(path).resolve().as_uri(), Path(path).name, day)


def _keys(file: RawFile) -> list[str]:
    """The keys of the first JSON lines; of objects within, their paths."""
    return list(dict.fromkeys(path for line in first_lines(file, 100) for path in paths_in(line)))
