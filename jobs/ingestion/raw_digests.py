"""A delivery is known for good by its content: a digest of each raw file, kept in the lake.

The digest is over the content, not over its packing: a file that was packed again, renamed or put
into another day's folder is the same delivery.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date

import pyarrow as pa
from pyspark.sql import SparkSession

from contracts.tables import EVENTS, RAW_FILES, Table
from contracts.windows import Window
from jobs.ingestion.conservation import Counts
from jobs.ingestion.containers import content_blocks
from jobs.ingestion.raw_lines import RawFile, list_files
from jobs.lake.column_types import arrow_schema
from jobs.lake.lake import Lake

_DIGESTS = "source string, digest string"
_ARROW_DIGESTS = pa.schema([("source", pa.string()), ("digest", pa.string())])
_FIRST_DAY = date(1970, 1, 1)


def digest_files(spark: SparkSession, files: Sequence[RawFile]) -> dict[str, str]:
    """Source → SHA-256 of its content; without the files that are empty or cannot be read."""
    rows = list_files(spark, list(files), skip=0, most=None).mapInArrow(_digests, _DIGESTS)
    return {row["source"]: row["digest"] for row in rows.collect()}


def find_repeats(
    files: Sequence[RawFile], digests: Mapping[str, str], known: Mapping[str, str]
) -> dict[str, str]:
    """Source → the file of a day before the load that has its content.

    ``known``: digest → source, of these days.
    """
    sources = [file.source for file in files if digests.get(file.source) in known]
    return {source: known[digests[source]] for source in sources}


def find_equal(
    files: Sequence[RawFile], digests: Mapping[str, str], repeats: Mapping[str, str]
) -> dict[str, list[str]]:
    """Source → the files of earlier days of the load that have its content, in order.

    Without the ``repeats`` of what came before the load. Whether one of them makes the file a
    repeat, only what became of its lines shows. Two equal files of one day are left to the ids of
    their lines.
    """
    alike: dict[str, list[RawFile]] = {}
    for file in sorted(files, key=lambda one: (one.ingest_date, one.source)):
        if file.source in digests and file.source not in repeats:
            alike.setdefault(digests[file.source], []).append(file)
    earlier = {
        file.source: [one.source for one in equal if one.ingest_date < file.ingest_date]
        for equal in alike.values()
        for file in equal
    }
    return {source: before for source, before in earlier.items() if before}


def repeats_in_load(equal: Mapping[str, list[str]], taken: Collection[str]) -> dict[str, str]:
    """Source → the first equal file whose lines are all ``taken``, by themselves."""
    firsts = {
        source: next((one for one in before if one in taken), None)
        for source, before in equal.items()
    }
    return {source: first for source, first in firsts.items() if first is not None}


def known_digests(lake: Lake, before: date) -> dict[str, str]:
    """Digest → source, of the files whose lines became events before that ingestion day.

    A file with a line in quarantine is left to the ids of its lines: what was refused then may be
    an event now, and the lake does not hold it. Only where the run that recorded them committed
    the day's events too: one that was killed between the two recorded files that are in no event.
    """
    columns = ["source", "digest", "repeats", "events", "quarantined", "ingest_date"]
    window = Window(_FIRST_DAY, before)
    rows = lake.read_arrow(RAW_FILES, window=window, columns=columns).to_pylist()
    recorded, committed = _runs(lake, RAW_FILES), _runs(lake, EVENTS)
    return {
        row["digest"]: row["source"]
        for row in sorted(rows, key=lambda row: row["source"], reverse=True)
        if row["digest"] is not None
        and row["repeats"] is None
        and row["events"]
        and not row["quarantined"]
        and recorded[row["ingest_date"]] == committed.get(row["ingest_date"])
    }


def file_rows(
    files: Sequence[RawFile],
    counted: Mapping[str, Counts],
    digests: Mapping[str, str],
    repeats: Mapping[str, str],
) -> pa.Table:
    """The rows of `raw_files` of a load."""
    rows = [
        {
            "source": file.source,
            "digest": digests.get(file.source),
            "repeats": repeats.get(file.source),
            "lines": counted[file.source].lines,
            "events": counted[file.source].events,
            "duplicates": counted[file.source].duplicates,
            "altered": counted[file.source].altered,
            "quarantined": counted[file.source].quarantined,
            "ingest_date": file.ingest_date,
        }
        for file in files
    ]
    return pa.Table.from_pylist(rows, schema=arrow_schema(RAW_FILES))


def _runs(lake: Lake, table: Table) -> dict[date, str]:
    """Day → the run that committed it last."""
    runs: dict[date, str] = {}
    for commit in lake.commits(table):  # newest first
        for day in commit.window.days:
            runs.setdefault(day, commit.run_key)
    return runs


def _digests(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for file in batch.to_pylist():
            digest = _digest(file["path"])
            if digest is not None:
                values = [[file["source"]], [digest]]
                yield pa.record_batch(values, schema=_ARROW_DIGESTS)


def _digest(path: str) -> str | None:
    """None for an empty file, and for one that is broken: who reads its lines says so."""
    sha256, is_empty = hashlib.sha256(), True
    try:
        for block in content_blocks(path):
            sha256.update(block)
            is_empty = False
    except (OSError, EOFError):
        return None
    return None if is_empty else sha256.hexdigest()
