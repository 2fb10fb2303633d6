"""Users dealt into shards: Parquet files that are written once, and opened one at a time.

The users come as tables, each a bucket of them by a hash of their ids, so that any shard is a fair
sample of all. In memory are one bucket and one shard, however many there are.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.exclusions import NOTHING, Exclusions
from contracts.money import Money
from contracts.windows import instant
from models.config import LabelHorizons, TrainConfig
from models.sequences.census import Census
from models.sequences.drawn import draw
from models.sequences.history import COLUMNS, Floats, Histories, Ints
from models.sequences.unknown_users import events_before
from models.sequences.vocabulary import Vocabulary
from models.training.query_days import can_be_asked

TRAINING, VALIDATION = "training", "validation"
FILE = "dealt.json"
CUT_SHARE = 2 / 3  # of the most events a shard may have: what is left over is no tiny shard then


@dataclass(frozen=True)
class Dealt:
    """What is known of all shards, when all are written."""

    sizes: Sequence[int]  # users of each whom training may ask, once the log has warmed up
    num_validation: int  # shards of users who are asked in the validation
    first_time: int  # of any event that training sees, microseconds
    item_counts: Sequence[int]  # (V,) events that training sees; first those outside the catalogue

    @classmethod
    def load(cls, folder: Path) -> "Dealt":
        return cls(**json.loads((folder / FILE).read_text()))


def deal(
    tables: Iterable[pa.Table],
    folder: Path,
    *,
    num_users: int,
    config: TrainConfig,
    horizons: LabelHorizons,
    zone: ZoneInfo,
    label_limit: date,
    known: Vocabulary | None = None,
    unknown: pa.Table | None = None,
    exclusions: Exclusions = NOTHING,
) -> None:
    """Write all shards, what they hold, and their vocabulary; the folder appears when it is whole.

    Training sees the events before the label limit. Items that are ``known`` keep their numbers.
    Events without a known user, rows of `models.sequences.unknown_users.SCHEMA`, count for how
    frequent an item is.
    """
    partial = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)  # of a start that was killed
    partial.mkdir(parents=True)
    counted = _Counted(label_limit, horizons, zone)

    def validated() -> Iterator[pa.Table]:
        """Write and count each training shard; its users who are asked in the validation."""
        for number, rows in enumerate(cut(tables, config.shard_events, seed=config.seed)):
            write_shard(rows, partial, TRAINING, number)
            counted.add(rows)
            yield draw(rows, config.validation_users, num_users=num_users, purpose=VALIDATION)

    num_validation = 0
    for rows in cut(validated(), config.shard_events, seed=config.seed):
        write_shard(rows, partial, VALIDATION, num_validation)
        num_validation += 1
    census = counted.census
    if unknown is not None:
        census.count_items(events_before(unknown, label_limit))
    found = Vocabulary.counted(
        census,
        amounts=counted.amounts,
        quantities=counted.quantities,
        min_item_count=config.min_item_count,
        text_buckets=config.text_buckets,
        exclusions=exclusions,
    )
    vocabulary = known.grown(found).without(exclusions) if known else found
    vocabulary.save(partial)
    item_counts = vocabulary.counts(census).tolist()
    dealt = Dealt(counted.sizes, num_validation, census.first_time, item_counts)
    (partial / FILE).write_text(json.dumps(asdict(dealt)))
    _sync(partial)
    os.replace(partial, folder)


class _Counted:
    """What training sees of the shards so far."""

    def __init__(self, label_limit: date, horizons: LabelHorizons, zone: ZoneInfo) -> None:
        self.label_limit, self.horizons, self.zone = label_limit, horizons, zone
        self.census = Census()
        self.sizes: list[int] = []  # users of each who can be asked
        # Of the first, which stands for all.
        self.amounts: Floats = np.zeros(0)
        self.quantities: Floats = np.zeros(0)

    def add(self, rows: pa.Table) -> None:
        known = Histories.from_arrow(rows, money=self.horizons.money)
        seen = known.before(instant(self.label_limit, self.zone))
        self.census.add(seen)
        if not self.sizes:
            self.amounts, self.quantities = seen.known_amounts, seen.quantities
        is_asked = can_be_asked(seen, self.label_limit, self.horizons, self.zone)
        self.sizes.append(int(is_asked.sum()))


def cut(tables: Iterable[pa.Table], max_events: int, *, seed: int) -> Iterator[pa.Table]:
    """The same users in tables of at most so many events each, or of one user who has more.

    No more than that come as they are, in their order; else who goes into which table is drawn.
    """
    rng, held, num_held = np.random.default_rng(seed), list[pa.Table](), 0
    for table in tables:
        held.append(table.select(COLUMNS))
        num_held += int(_num_events(table).sum())
        if num_held <= max_events:
            continue
        rows = pa.concat_tables(held)
        rows = rows.take(pa.array(rng.permutation(len(rows))))
        totals = np.cumsum(_num_events(rows))
        start, done = 0, 0  # users and events in tables
        while num_held - done > max_events:
            end = int(np.searchsorted(totals, done + CUT_SHARE * max_events, side="right"))
            end = max(end, start + 1)
            yield rows.slice(start, end - start)
            start, done = end, int(totals[end - 1])
        held, num_held = [rows.slice(start)], num_held - done
    if sum(len(rows) for rows in held):
        yield pa.concat_tables(held)


def write_shard(rows: pa.Table, folder: Path, kind: str, number: int) -> None:
    pq.write_table(rows, shard_file(folder, kind, number), compression="zstd")


def _sync(folder: Path) -> None:
    """Have the disk keep the files and their names before the folder is given its own.

    After a power cut a whole folder of cut files would end each later start of the training.
    """
    for path in (*sorted(folder.iterdir()), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_shard(folder: Path, kind: str, number: int, *, money: Money) -> Histories:
    return Histories.from_arrow(pq.read_table(shard_file(folder, kind, number)), money=money)


def shard_file(folder: Path, kind: str, number: int) -> Path:
    return folder / f"{kind}-{number:05}.parquet"


def _num_events(rows: pa.Table) -> Ints:
    return np.asarray(pc.list_value_length(rows["event_times"]).to_numpy(), dtype=np.int64)
