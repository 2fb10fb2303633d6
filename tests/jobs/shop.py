"""A shop's log, as its mapping and its lines: what the tests of ingestion are made of."""

import gzip
import json
from datetime import date, timedelta

import yaml

from contracts.tables import EVENTS
from jobs.ingest_events import main
from jobs.lake.lake import open_lake

DAY = date(2017, 7, 4)
SHOP = {
    "format": "jsonl",
    "event_id": {"columns": ["basket", "item"]},
    "user_id": "user",
    "item_id": "item",
    "event_type": {"column": "what", "map": {"buy": "purchase", "look": "view"}},
    "event_time": {"column": "at", "format": "iso8601"},
    "category": "category",
    "quantity": "quantity",
    "amount": "paid",
    "session_hint": "basket",
    "properties": ["shop"],
}
LINE = {
    "user": 1,
    "basket": 31198570044,
    "item": "soup",
    "what": "buy",
    "at": "2017-07-04T00:13:01-04:00",
    "category": "SOUP",
    "quantity": 2,
    "paid": 3.0,
    "shop": 7,
}


def use(settings, mapping, monkeypatch):
    file = settings.file.parent / "sources" / "shop.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(mapping))
    monkeypatch.setenv("NIGHTSHIFT__SOURCE", "shop")
    return settings


def drop(settings, *lines, day=DAY, name="part-0.jsonl.gz"):
    """Lines are dicts, or the text or bytes of a line as they are."""
    file = settings.raw_folder / f"ingest_date={day}" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join(as_bytes(line) + b"\n" for line in lines)
    file.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


def as_bytes(line):
    if isinstance(line, bytes):
        return line
    return (line if isinstance(line, str) else json.dumps(line)).encode()


def line(**changes):
    return {key: value for key, value in {**LINE, **changes}.items() if value is not ...}


def ingest(settings, capsys, *options, cutoff=DAY + timedelta(days=1)):
    argv = ["--cutoff", str(cutoff), "--config", str(settings.file), "--json", *options]
    code = main(argv)
    return code, json.loads(capsys.readouterr().out)


def events(settings, **options):
    found = open_lake(settings).read_arrow(EVENTS, **options).to_pylist()
    return {row["event_id"]: row for row in found}
