"""A whole training on a few users: it learns, it repeats itself, it goes on after a kill."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
import torch

from contracts.windows import instant
from models.config import SampledSoftmax
from models.sequences.history import Histories, microseconds
from models.training.dataset import TrainingBatches
from models.training.fit import fit, newest_checkpoint, prepare_data

pytestmark = pytest.mark.torch

CUTOFF = date(2017, 9, 1)


@pytest.fixture
def encoder_config():
    from models.config import LSTMConfig

    return LSTMConfig(max_length=16, dim=8, num_layers=1, dropout=0.1)


@pytest.fixture
def histories(sequences) -> Histories:
    """24 users who come every 3 to 11 days; every fourth stops at the end of June."""
    events = []
    for user in range(24):
        when, gap = datetime(2017, 1, 2 + user % 7, 10, tzinfo=UTC), 3 + user % 9
        end = datetime(2017, *((6, 28) if user % 4 == 0 else (9, 1)), tzinfo=UTC)
        while when < end:
            for item in (f"apple{user % 5}", f"bread{when.day % 3}"):
                events.append((f"u{user}", f"{when:%Y-%m-%dT%H:%M:%S}", item, 1.0 + user % 3))
            when += timedelta(days=gap)
    return Histories.from_arrow(sequences(events))


@pytest.fixture
def prepared(histories, train_config, horizons, zone):
    return prepare_data(histories, config=train_config, horizons=horizons, zone=zone, cutoff=CUTOFF)


def run(prepared, config, folder, on_epoch=lambda epoch, metrics: None):
    return fit(prepared, config=config, folder=folder, on_epoch=on_epoch, on_step=lambda *_: None)


def test_training_reads_nothing_from_the_label_limit_on(prepared, horizons, zone):
    """Twice the longest horizon before the cutoff, inputs end and every label window has closed."""
    limit = CUTOFF - timedelta(days=56)
    data = prepared.training
    batch = next(iter(TrainingBatches(data, epoch=0, rank=0, num_ranks=1)))

    assert prepared.label_limit == limit
    assert data.builder.histories.times.max() < microseconds(instant(limit, zone))
    assert data.latest.max() == limit.toordinal() - horizons.purchase_days
    assert not batch.purchase.isnan().any()

    users = data.users[:4]
    late = np.full((4, 1), limit.toordinal() - 27)  # the windows of 28 days are still open
    late_batch = data.batch(users, late, np.random.default_rng(0))
    assert late_batch.churn.isnan().all()
    assert late_batch.spend.isnan().all()
    closed = data.batch(users, late - 1, np.random.default_rng(0))
    assert not closed.spend.isnan().any()


def test_every_rank_gets_as_many_batches_and_together_they_have_everyone(prepared):
    """Ranks that cannot share users evenly still end an epoch at the same step."""
    data = prepared.training
    ranks = [TrainingBatches(data, epoch=1, rank=rank, num_ranks=4) for rank in range(4)]
    plans = [batches.users() for batches in ranks]

    counts = [len(list(batches)) for batches in ranks]

    assert len(set(counts)) == 1
    seen = np.concatenate([np.concatenate(plan) for plan in plans])
    assert set(seen.tolist()) == set(data.users.tolist())


def test_an_epoch_begun_in_the_middle_draws_what_is_left_of_the_whole(prepared):
    """A batch depends on its own number only, not on those drawn before it."""
    data = prepared.training
    whole = list(TrainingBatches(data, epoch=1, rank=1, num_ranks=2))
    rest = TrainingBatches(data, epoch=1, rank=1, num_ranks=2, start=1)

    assert len(rest) == len(whole) - 1
    for left, right in zip(list(rest), whole[1:], strict=True):
        for field in ("purchase", "item_queries", "negatives"):
            assert torch.equal(getattr(left, field), getattr(right, field))
        assert torch.equal(left.sequences.event_items, right.sequences.event_items)


def test_users_are_asked_in_the_same_batches_by_any_number_of_ranks(prepared):
    """Padding and company never depend on how many processes share the validation."""

    def asked(num_ranks: int) -> list[list[int]]:
        ranks = [
            prepared.validation.batches([0], rank=r, num_ranks=num_ranks) for r in range(num_ranks)
        ]
        return sorted(batch.users.tolist() for batches in ranks for batch in batches)

    assert len(asked(1)) > 1
    assert asked(1) == asked(2) == asked(3)


def test_the_same_seed_gives_the_same_weights(prepared, train_config, tmp_path):
    """On one processor, a training can be repeated to the last bit."""
    first = run(prepared, train_config, tmp_path / "first")
    second = run(prepared, train_config, tmp_path / "second")
    other_config = train_config.model_copy(update={"seed": 1})
    prepared.training.config = other_config
    other = run(prepared, other_config, tmp_path / "other")

    assert all(torch.equal(first.state[name], second.state[name]) for name in first.state)
    assert not torch.equal(first.state["items.weight"], other.state["items.weight"])


def test_a_killed_training_goes_on_from_its_newest_whole_epoch(prepared, train_config, tmp_path):
    """Its second start does only what is left, and ends where an unbroken one ends."""
    config = train_config.model_copy(update={"epochs": 3})
    prepared.training.config = config
    done: list[int] = []

    def killed(epoch, metrics):
        done.append(epoch)
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(prepared, config, tmp_path / "run", killed)
    assert newest_checkpoint(tmp_path / "run").name == "epoch=0.ckpt"

    again = run(prepared, config, tmp_path / "run", lambda epoch, metrics: done.append(epoch))
    unbroken = run(prepared, config, tmp_path / "unbroken")

    assert done == [0, 1, 1, 2]
    assert again.epochs == 3
    assert again.metrics["val/score"] == pytest.approx(unbroken.metrics["val/score"], rel=1e-5)


def test_a_sampled_softmax_draws_only_items_of_the_catalogue(prepared, train_config):
    """Negatives ascend, differ, are no unknown item, and say how likely each was."""
    assert isinstance(train_config.next_item_loss, SampledSoftmax)
    batch = next(iter(TrainingBatches(prepared.training, epoch=0, rank=0, num_ranks=1)))

    items = batch.negatives.tolist()
    assert items == sorted(set(items))
    assert min(items) >= 1
    assert max(items) <= prepared.vocabulary.num_items
    assert (batch.log_inclusion <= 0).all()
