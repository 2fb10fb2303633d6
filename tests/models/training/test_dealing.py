"""Users dealt into shards: everyone once, none too large, counted as if all were in memory."""

import json
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from contracts.errors import ConfigError
from models.sequences.census import Census
from models.sequences.drawn import is_drawn
from models.sequences.unknown_users import SCHEMA
from models.sequences.vocabulary import Vocabulary
from models.training.dealing import TRAINING, VALIDATION, Dealt, cut, deal, read_shard
from models.training.label_days import label_limit
from tests.models.training.small_training import CUTOFF, HORIZONS, config_of, prepared, users

PROJECT = Path(__file__).resolve().parents[3]
MAX_EVENTS = 600  # a third of what the small training's users have


def sizes_of(tables) -> list[tuple[list[str], int]]:
    return [
        (table["user_id"].to_pylist(), sum(map(len, table["event_times"].to_pylist())))
        for table in tables
    ]


@pytest.mark.parametrize("bucket", [1, 5, 23], ids=["a user each", "five users each", "one"])
def test_every_user_is_in_one_shard_and_no_shard_is_too_large_or_tiny(bucket):
    """However the users come, memory holds so many events; no rest of a few users is left."""
    table = users()
    buckets = [table.slice(n, bucket) for n in range(0, len(table), bucket)]

    found = sizes_of(cut(buckets, MAX_EVENTS, seed=0))

    everyone = [user for names, _ in found for user in names]
    assert sorted(everyone) == sorted(table["user_id"].to_pylist())
    assert len(found) >= 3
    assert max(events for _, events in found) <= MAX_EVENTS
    assert min(events for _, events in found) >= MAX_EVENTS / 4


def test_a_user_with_more_events_than_a_shard_may_hold_is_one():
    """Nothing is dropped, and nothing waits for ever."""
    table = users(3)

    assert [len(names) for names, _ in sizes_of(cut([table], 1, seed=0))] == [1, 1, 1]


def test_few_users_come_as_they_are():
    """What fits is one shard, in its order; nothing is drawn."""
    table = users()

    (only,) = cut([table.slice(0, 9), table.slice(9)], 10_000, seed=0)

    assert only["user_id"].to_pylist() == table["user_id"].to_pylist()


def test_who_goes_into_which_shard_is_drawn():
    """Ids that ascend with time must not make shards of old and of new customers."""
    first, *_ = cut([users()], MAX_EVENTS, seed=0)
    other, *_ = cut([users()], MAX_EVENTS, seed=1)

    assert first["user_id"].to_pylist() != users()["user_id"].to_pylist()[: len(first)]
    assert first["user_id"].to_pylist() != other["user_id"].to_pylist()


def dealt(folder, zone, *, num_users=23, unknown=None, **changes) -> Dealt:
    config = config_of("gru", **changes)
    limit = label_limit(CUTOFF, HORIZONS)
    common = {"config": config, "horizons": HORIZONS, "zone": zone, "label_limit": limit}
    tables = [users().slice(0, 12), users().slice(12)]
    deal(tables, folder, num_users=num_users, unknown=unknown, **common)
    return Dealt.load(folder)


def test_shards_are_counted_as_if_all_were_in_memory(tmp_path, zone):
    """Items, categories and their numbers do not depend on how many shards there are."""
    one = dealt(tmp_path / "one", zone)
    many = dealt(tmp_path / "many", zone, shard_events=MAX_EVENTS)
    whole = read_shard(tmp_path / "one", TRAINING, 0, money="net")

    assert (len(one.sizes), len(many.sizes)) == (1, 5)
    assert sum(many.sizes) == sum(one.sizes) == len(whole)
    assert (many.first_time, many.item_counts) == (one.first_time, one.item_counts)
    vocabularies = [Vocabulary.load(tmp_path / name) for name in ("one", "many")]
    assert vocabularies[0].item_ids == vocabularies[1].item_ids
    assert vocabularies[0].item_categories == vocabularies[1].item_categories
    assert sum(one.item_counts) < Census.of(whole).item_counts.total()  # none after the limit


def test_events_of_strangers_count_for_how_frequent_an_item_is(tmp_path, zone):
    """Those before the limit, of items that somebody known has had; no user is added."""
    limit = label_limit(CUTOFF, HORIZONS)
    usual = dealt(tmp_path / "usual", zone)
    items = Vocabulary.load(tmp_path / "usual").item_ids
    rows = [
        {"item_id": item, "day": day, "num_events": 1000, "num_purchases": 0}
        for item, day in [
            (items[-1], limit - timedelta(days=1)),
            (items[-1], limit),
            ("quince", limit - timedelta(days=1)),
        ]
    ]
    unknown = pa.Table.from_pylist(rows, schema=SCHEMA)
    found = dealt(tmp_path / "with", zone, unknown=unknown)
    now = Vocabulary.load(tmp_path / "with").item_ids

    assert now[0] == items[-1]
    assert sorted(now) == sorted(items)
    assert found.item_counts[1] == usual.item_counts[-1] + 1000
    assert sum(found.item_counts) == sum(usual.item_counts) + 1000
    assert found.sizes == usual.sizes


def test_a_dealing_that_is_cut_short_leaves_nothing_that_looks_whole(tmp_path, zone):
    """Killed after some shards: the folder is not there, and the next start makes all of it."""

    def broken():
        yield users().slice(0, 12)
        raise KeyboardInterrupt

    config, limit = config_of("gru", shard_events=100), label_limit(CUTOFF, HORIZONS)
    common = {"config": config, "horizons": HORIZONS, "zone": zone, "label_limit": limit}
    with pytest.raises(KeyboardInterrupt):
        deal(broken(), tmp_path / "data", num_users=23, **common)
    assert [path.name for path in tmp_path.iterdir()] == ["data.part"]

    again = dealt(tmp_path / "data", zone)

    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert len(list((tmp_path / "data").glob(f"{TRAINING}-*"))) == len(again.sizes) == 1


def test_the_validation_asks_about_as_many_users_as_are_wanted(tmp_path, zone):
    """The users of a share that is drawn; everyone where that is few."""
    some = dealt(tmp_path / "some", zone, validation_users=6)
    asked = read_shard(tmp_path / "some", VALIDATION, 0, money="net").user_ids
    assert some.num_validation == 1
    everyone = users()["user_id"].to_pylist()
    drawn = is_drawn(everyone, 6 / 23, purpose=VALIDATION)
    assert set(asked) == {user for user, chosen in zip(everyone, drawn, strict=True) if chosen}
    dealt(tmp_path / "all", zone)
    assert len(read_shard(tmp_path / "all", VALIDATION, 0, money="net")) == 23


def test_what_is_known_of_the_shards_is_plain_json(tmp_path, zone):
    """Every process reads it, and so may a person."""
    found = dealt(tmp_path / "data", zone)

    kept = json.loads((tmp_path / "data" / "dealt.json").read_text())
    assert kept["sizes"] == found.sizes
    assert np.sum(kept["item_counts"]) > 0


def test_a_catalogue_without_an_item_is_refused_before_anything_is_trained(tmp_path):
    """The setting that leaves no item is named; what was dealt for it goes."""
    with pytest.raises(ConfigError) as error:
        prepared(tmp_path / "run" / "data", config_of("gru", min_item_count=100_000))

    assert str(error.value) == (
        "min_item_count 100000: found no item with as many events before 2017-07-07, expected at "
        "least one, for the catalogue. Lower min_item_count, or choose a later cutoff."
    )
    assert not (tmp_path / "run").exists()


DEAL = """
import sys
from pathlib import Path
from tests.models.training.small_training import config_of, prepared
prepared(Path(sys.argv[1]), config_of("gru", shard_events=900))
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_every_shard_is_on_the_disk_before_its_folder_is_found(tmp_path):
    """Else a power cut in the half minute after leaves a folder of cut files under its name."""
    trace, folder = tmp_path / "trace", tmp_path / "run" / "data"
    watch = ["strace", "-f", "-y", "-e", "trace=fsync,rename,renameat,renameat2", "-o", str(trace)]
    program = [sys.executable, "-c", DEAL, str(folder)]
    ran = subprocess.run([*watch, *program], cwd=PROJECT, capture_output=True, text=True)
    if "ptrace" in ran.stderr and "not permitted" in ran.stderr:
        pytest.skip("this machine lets nobody watch a process")
    assert ran.returncode == 0, ran.stderr

    calls = trace.read_text().splitlines()
    renamed = next(n for n, call in enumerate(calls) if "rename" in call and f'{folder}"' in call)
    synced = {
        match[1] for call in calls[:renamed] if (match := re.search(r"fsync\(\d+<(.+?)>", call))
    }
    partial = folder.with_name("data.part")
    assert len(list(folder.glob("*.parquet"))) >= 3
    assert {str(partial), *(str(partial / file.name) for file in folder.iterdir())} <= synced
