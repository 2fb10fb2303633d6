"""Whatever lies in the raw files, no program crashes, and no line is lost, altered or invented.

The suite breaks a few thousand lines; `make fuzz` breaks a million (FUZZ_LINES, FUZZ_SEED).
"""

import gzip
import json
import os
import time
from collections import Counter
from datetime import date, timedelta

import pytest
import yaml

from contracts.tables import EVENTS, QUARANTINE, SEQUENCES
from jobs import build_sequences, build_sessions, ingest_events
from jobs.ingestion.line_batches import KEPT_BYTES, LONGEST_BYTES
from jobs.ingestion.line_fates import ROBOT
from jobs.lake.lake import open_lake

from .mutated_lines import CSV_HEADER, mutated_lines
from .shop import SHOP

pytestmark = [pytest.mark.spark, pytest.mark.parametrize("form", ["jsonl", "csv"])]

DAYS = [date(2017, 7, 4), date(2017, 7, 5)]
CUTOFF = DAYS[-1] + timedelta(days=1)
MARK = b"\xef\xbb\xbf"
MAPPING = {**SHOP, "session_hint": "shop"}


def test_broken_lines_are_all_accounted_for(spark, settings, capsys, monkeypatch, form):
    """Some of every kind, in files of every kind."""
    survives(settings, capsys, monkeypatch, form, seed="1", num_lines=2_000)


@pytest.mark.fuzz
@pytest.mark.timeout(3 * 3600)
def test_a_million_broken_lines_are_all_accounted_for(spark, settings, capsys, monkeypatch, form):
    """Half of them JSON, half CSV: `make fuzz`. Another FUZZ_SEED makes other ones."""
    seed = os.environ.get("FUZZ_SEED", "20171129")
    num_lines = int(os.environ.get("FUZZ_LINES", "1000000")) // 2
    start = time.monotonic()
    said = survives(settings, capsys, monkeypatch, form, seed=seed, num_lines=num_lines)

    with capsys.disabled():
        counts = {name: said[name] for name in ("lines", "events", "duplicates", "reasons")}
        print(f"\n{form}, FUZZ_SEED={seed}, {time.monotonic() - start:.0f} s: {json.dumps(counts)}")


def survives(settings, capsys, monkeypatch, form, *, seed, num_lines):
    """Ingest, cut into sessions and gather into sequences; assert that every line has its fate."""
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_BAD_FRACTION", "1.0")
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_EVENTS_PER_USER_DAY", str(num_lines // 1000))
    monkeypatch.setenv("NIGHTSHIFT__SOURCE", "shop")
    mapping = settings.file.parent / "sources" / "shop.yaml"
    mapping.parent.mkdir()
    mapping.write_text(yaml.safe_dump({**MAPPING, "format": form}))
    whole, lines = drop_broken(settings.raw_folder, form, seed, num_lines)
    said = run(ingest_events, settings, capsys)
    run(build_sessions, settings, capsys)
    run(build_sequences, settings, capsys)
    lake = open_lake(settings)
    ids = lake.read_arrow(EVENTS, columns=["event_id"])["event_id"].to_pylist()
    lifetimes = lake.read_arrow(SEQUENCES, columns=["lifetime_events"])["lifetime_events"]
    kept = lake.read_arrow(QUARANTINE).to_pylist()
    of_robots = {plain(row["raw"]) for row in kept if row["reason"] == ROBOT}

    assert {name: counts["lines"] for name, counts in said["files"].items()} == {
        name: len(of_file) for name, of_file in lines.items()
    }
    for counts in (said, *said["files"].values()):
        fates = counts["events"] + counts["duplicates"] + counts["quarantined"]
        assert counts["lines"] == fates
    assert said["lines"] == num_lines
    assert len(ids) == len(set(ids)) == said["events"] == sum(lifetimes.to_pylist())
    assert all(row["raw"] == kept_of(lines[row["source"]][row["line"]]) for row in kept)
    assert Counter(row["reason"] for row in kept) == said["reasons"]
    assert {whole[name] for name in whole.keys() - {*ids}} <= of_robots
    assert of_robots
    assert len(said["reasons"]) > 8
    return said


def drop_broken(folder, form, seed, num_lines):
    """Write the raw files. Returns the whole lines by event id, and each file's lines by number."""
    whole, lines = {}, {}
    for day in DAYS:
        for part, (ending, mark, last) in enumerate(
            [(b"\n", b"", b"\n"), (b"\r\n", b"", b""), (b"\n", MARK, b"\n")]
        ):
            share = num_lines // 6 + (num_lines % 6 if (day, part) == (DAYS[0], 0) else 0)
            name = f"ingest_date={day}/part-{part}.{form}" + (".gz" if part else "")
            made = list(mutated_lines(f"{seed}-{day}-{part}", share, day=day, form=form))
            whole |= {line.event_id: line.data for line in made if line.event_id}
            header = [CSV_HEADER] if form == "csv" else []
            data = mark + ending.join([*header, *(line.data for line in made)]) + last
            write(folder / name, data)
            numbered = data.removesuffix(b"\n").split(b"\n")
            first = 1 + len(header)
            lines[name] = dict(enumerate(numbered[first - 1 :], start=first))
    return whole, lines


def write(file, data):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(data, 1) if file.suffix == ".gz" else data)


def kept_of(line):
    """What quarantine keeps: the line, or the beginning of one that is too long for an event."""
    return line if len(line) <= LONGEST_BYTES else line[:KEPT_BYTES]


def plain(raw):
    """The line as it was made: without what its file put around it."""
    return raw.removeprefix(MARK).removesuffix(b"\r")


def run(program, settings, capsys):
    argv = ["--cutoff", str(CUTOFF), "--since", str(DAYS[0]), "--config", str(settings.file)]
    if program is build_sequences:
        argv = [argv[0], argv[1], *argv[4:]]
    assert program.main([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)
