"""Training from shards: one of them is in memory, and an epoch goes on anywhere in them."""

import weakref

import numpy as np
import pytest
import torch

from contracts.errors import TooLittleMemoryError
from models.sequences.batch import BatchBuilder
from models.training import dealing, shards
from models.training.epochs import TrainingBatches, batches_per_epoch
from models.training.shards import TrainingShards
from tests.models.small_version import fit_silently
from tests.models.training.small_training import config_of, prepared

pytestmark = pytest.mark.torch


@pytest.fixture
def data(tmp_path):
    """Five shards to train on, and as many to validate with."""
    return prepared(tmp_path / "data", config_of("gru", shard_events=600))


def test_users_are_in_memory_one_shard_at_a_time(data, tmp_path, monkeypatch):
    """A whole training holds the users of one training and one validation shard, never of two."""
    alive: weakref.WeakSet[BatchBuilder] = weakref.WeakSet()
    held: list[int] = []
    make = BatchBuilder.__init__

    def recorded(builder, histories, *arguments, **options):
        held.append(len(histories) + sum(len(other.histories) for other in alive))
        make(builder, histories, *arguments, **options)
        alive.add(builder)

    monkeypatch.setattr(BatchBuilder, "__init__", recorded)
    fit_silently(data, data.training.config, tmp_path / "run")

    largest = max(len(data.training.open(n).builder.histories) for n in range(5))
    assert len(held) >= 5 + 5 + 5  # each shard to begin with, and again in two epochs
    assert max(held) <= largest + max(np.diff(data.validation.starts)) < 23


@pytest.mark.parametrize("number", [0, 2], ids=["the first", "a later one"])
def test_a_shard_that_does_not_fit_into_memory_says_so(data, number, tmp_path, monkeypatch):
    """Neither the batch nor the encoder is to blame, so neither is to be lowered."""
    wanted = [shard for shard, size in enumerate(data.training.sizes) if size][number]

    def read(folder, kind, shard, read=shards.read_shard, **options):
        if shard == wanted:
            raise MemoryError
        return read(folder, kind, shard, **options)

    monkeypatch.setattr(shards, "read_shard", read)
    with pytest.raises(TooLittleMemoryError) as error:
        fit_silently(data, data.training.config, tmp_path / "run")

    assert str(error.value) == (
        "training on 1 process: found no memory left, expected room for a shard of users. "
        "Lower shard_events from 600 to 300, then run this again."
    )


def test_users_who_cannot_be_dealt_for_want_of_memory_say_so(tmp_path, monkeypatch):
    """A raw MemoryError names no setting."""

    def write(*_):
        raise MemoryError("malloc of size 64 failed")

    monkeypatch.setattr(dealing, "write_shard", write)
    with pytest.raises(TooLittleMemoryError) as error:
        prepared(tmp_path / "data", config_of("gru", shard_events=600))

    assert str(error.value) == (
        "dealing users into shards: found no memory left (malloc of size 64 failed), "
        "expected room for a shard of users. "
        "Lower shard_events from 600 to 300, then run this again."
    )


@pytest.mark.parametrize("shard_events", [600, 10_000], ids=["five shards", "one"])
def test_an_epoch_visits_every_user_and_every_epoch_another_way(shard_events, tmp_path):
    """On two ranks everyone is seen, in shards and batches that an epoch draws anew."""
    config = config_of("gru", shard_events=shard_events)
    shards = prepared(tmp_path / "shards", config).training

    def seen(epoch: int) -> list[list[str]]:
        ranks = [TrainingBatches(shards, epoch=epoch, rank=r, num_ranks=2) for r in range(2)]
        return [rank.user_ids(n) for rank in ranks for n in range(len(rank))]

    first, second = seen(0), seen(1)

    assert len(first) == len(second) == 2 * batches_per_epoch(shards, num_ranks=2)
    assert len({user for users in first for user in users}) == shards.num_users == 23
    assert first != second
    assert first == seen(0)


def test_an_epoch_begun_anywhere_draws_what_is_left_of_the_whole(data, monkeypatch):
    """To the last bit, across shards; and shards that lie behind are not read again."""
    whole = list(TrainingBatches(data.training, epoch=1, rank=0, num_ranks=1))
    read: list[int] = []
    monkeypatch.setattr(
        TrainingShards, "open", lambda self, shard: (read.append(shard), self._opened(shard))[1]
    )

    for start in (1, len(whole) // 2, len(whole) - 1):
        read.clear()
        batches = TrainingBatches(data.training, epoch=1, rank=0, num_ranks=1, start=start)
        rest = list(batches)

        assert len(rest) == len(batches) == len(whole) - start
        for left, right in zip(rest, whole[start:], strict=True):
            assert torch.equal(left.purchase, right.purchase)
            assert torch.equal(left.negatives, right.negatives)
            assert torch.equal(left.sequences.event_items, right.sequences.event_items)
    assert len(read) == 1


def test_a_user_is_asked_on_the_same_days_in_whichever_shard(data, tmp_path):
    """When the log began, and so when it is warm, is known of all shards together."""
    alone = prepared(tmp_path / "alone", config_of("gru", warmup_days=30)).training
    apart = prepared(
        tmp_path / "apart", config_of("gru", warmup_days=30, shard_events=600)
    ).training

    def first_days(shards: TrainingShards) -> dict[str, int]:
        found: dict[str, int] = {}
        for n in range(len(shards.sizes)):
            opened = shards.open(n)
            assert len(opened.users) == shards.sizes[n]
            found |= dict(
                zip(opened.builder.histories.user_ids, opened.earliest.tolist(), strict=True)
            )
        return found

    assert first_days(apart) == first_days(alone)
    assert len(apart.sizes) == 5
    assert apart.days == alone.days


def test_the_validation_knows_of_its_shards_what_it_would_know_of_all(data, tmp_path):
    """Labels, items bought and answers belong to the same users, shard after shard."""
    alone = prepared(tmp_path / "alone", config_of("gru")).validation
    apart = data.validation

    def users_of(validation) -> list[str]:
        shards = range(len(validation.starts) - 1)
        return [u for n in shards for u in validation._opened(n).histories.user_ids]

    order = [users_of(alone).index(user) for user in users_of(apart)]
    np.testing.assert_array_equal(apart.purchase, alone.purchase[:, order])
    np.testing.assert_array_equal(apart.churn, alone.churn[:, order])
    np.testing.assert_array_equal(apart.spend, alone.spend[:, order])
    assert [set(items) for items in apart.bought[0] if min(items, default=1) > 0] == [
        set(alone.bought[0][n]) for n in order if min(alone.bought[0][n], default=1) > 0
    ]
    asked = [user for batch in apart.batches([0], rank=0, num_ranks=1) for user in batch.users]
    assert sorted(asked) == np.flatnonzero(np.isfinite(apart.purchase[0])).tolist()
