"""A whole training on a few users: it learns, it repeats itself, it goes on after a kill."""

import json
import time
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
import torch

from contracts.errors import LossNotFiniteError, TooLittleMemoryError, TrainingStoppedError
from contracts.exclusions import NOTHING, Exclusions
from contracts.windows import instant
from models.config import SampledSoftmax
from models.networks.network import Network
from models.sequences.history import microseconds
from models.training.best import keep_best, read_best
from models.training.checkpoints import Checkpoints
from models.training.epochs import TrainingBatches
from models.training.fit import fit
from models.training.module import Nightshift
from models.training.prepared import prepare_data
from models.training.stop import Stop
from models.training.validation import Answers, validation_metrics

pytestmark = pytest.mark.torch

CUTOFF = date(2017, 9, 1)


@pytest.fixture
def encoder_config():
    from models.config import LSTMConfig

    return LSTMConfig(max_length=16, dim=8, num_layers=1, dropout=0.1)


@pytest.fixture
def users(sequences) -> pa.Table:
    """24 users who come every 3 to 11 days; every fourth stops at the end of June."""
    events = []
    for user in range(24):
        when, gap = datetime(2017, 1, 2 + user % 7, 10, tzinfo=UTC), 3 + user % 9
        end = datetime(2017, *((6, 28) if user % 4 == 0 else (9, 1)), tzinfo=UTC)
        while when < end:
            for item in (f"apple{user % 5}", f"bread{when.day % 3}"):
                events.append((f"u{user}", f"{when:%Y-%m-%dT%H:%M:%S}", item, 1.0 + user % 3))
            when += timedelta(days=gap)
    return sequences(events)


@pytest.fixture
def prepared_for(users, horizons, zone, tmp_path):
    """What a training of some configuration is made of."""

    def prepare(config):
        return prepare_data(
            [users],
            num_users=len(users),
            folder=tmp_path / f"prepared{len(list(tmp_path.iterdir()))}",
            config=config,
            horizons=horizons,
            zone=zone,
            cutoff=CUTOFF,
        )

    return prepare


@pytest.fixture
def prepared(prepared_for, train_config):
    return prepared_for(train_config)


def run(prepared, config, folder, on_epoch=lambda epoch, metrics: None, **options):
    return fit(
        prepared,
        config=config,
        folder=folder,
        checkpoint_seconds=options.pop("checkpoint_seconds", 3600),
        on_epoch=on_epoch,
        on_step=options.pop("on_step", lambda step: None),
        say=options.pop("say", lambda what: None),
        stop=options.pop("stop", Stop()),
    )


def test_training_reads_nothing_from_the_label_limit_on(prepared, horizons, zone):
    """Twice the longest horizon before the cutoff, inputs end and every label window has closed."""
    limit = CUTOFF - timedelta(days=56)
    data = prepared.training.open(0)
    batch = next(iter(TrainingBatches(prepared.training, epoch=0, rank=0, num_ranks=1)))

    assert prepared.label_limit == limit
    assert data.builder.histories.times.max() < microseconds(instant(limit, zone))
    assert data.latest == limit.toordinal() - horizons.purchase_days
    assert not batch.purchase.isnan().any()

    users = data.users[:4]
    late = np.full((4, 1), limit.toordinal() - 27)  # the windows of 28 days are still open
    late_batch = data.batch(users, late, np.random.default_rng(0))
    assert late_batch.churn.isnan().all()
    assert late_batch.spend.isnan().all()
    closed = data.batch(users, late - 1, np.random.default_rng(0))
    assert not closed.spend.isnan().any()


def test_what_is_excluded_is_no_target_and_stays_a_purchase(
    users, horizons, zone, train_config, tmp_path
):
    """Neither next item, nor negative, nor copy, nor truth of the validation; labels stay."""
    excluded = Exclusions(item_patterns=("apple*",))
    with_apples, without = (
        prepare_data(
            [users],
            num_users=len(users),
            folder=tmp_path / f"run{number}" / "data",
            config=train_config,
            horizons=horizons,
            zone=zone,
            cutoff=CUTOFF,
            exclusions=rules,
        )
        for number, rules in enumerate((NOTHING, excluded))
    )
    before, after = (
        next(iter(TrainingBatches(each.training, epoch=0, rank=0, num_ranks=1)))
        for each in (with_apples, without)
    )
    names = without.vocabulary.item_ids
    bought = [items for cutoff in without.validation.bought for items in cutoff]

    assert any(name.startswith("apple") for name in with_apples.vocabulary.item_ids)
    assert names
    assert not any(name.startswith("apple") for name in names)
    assert 0 < len(after.items) < len(before.items)
    assert 0 < len(after.next_items) < len(before.next_items)
    assert (np.concatenate(bought) > 0).all()
    for name in ("purchase", "churn", "spend"):
        torch.testing.assert_close(getattr(before, name), getattr(after, name), equal_nan=True)


def test_every_rank_gets_as_many_batches_and_together_they_have_everyone(prepared):
    """Ranks that cannot share users evenly still end an epoch at the same step."""
    data = prepared.training
    ranks = [TrainingBatches(data, epoch=1, rank=rank, num_ranks=4) for rank in range(4)]

    counts = [len(list(batches)) for batches in ranks]

    assert len(set(counts)) == 1
    seen = [batches.user_ids(number) for batches in ranks for number in range(counts[0])]
    everyone = data.open(0).builder.histories.user_ids[data.open(0).users]
    assert {user for users in seen for user in users} == set(everyone)


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


def test_the_same_seed_gives_the_same_weights(prepared, prepared_for, train_config, tmp_path):
    """On one processor, a training can be repeated to the last bit."""
    first = run(prepared, train_config, tmp_path / "first")
    second = run(prepared, train_config, tmp_path / "second")
    other_config = train_config.model_copy(update={"seed": 1})
    other = run(prepared_for(other_config), other_config, tmp_path / "other")

    assert all(torch.equal(first.state[name], second.state[name]) for name in first.state)
    assert not torch.equal(first.state["items.weight"], other.state["items.weight"])


def test_a_killed_training_goes_on_from_its_newest_whole_epoch(
    prepared_for, train_config, tmp_path
):
    """Its second start does only what is left, and ends where an unbroken one ends."""
    config = train_config.model_copy(update={"epochs": 3})
    prepared = prepared_for(config)
    done: list[int] = []

    def killed(epoch, metrics):
        done.append(epoch)
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(prepared, config, tmp_path / "run", killed)
    again = run(prepared, config, tmp_path / "run", lambda epoch, metrics: done.append(epoch))
    unbroken = run(prepared, config, tmp_path / "unbroken")

    assert done == [0, 1, 1, 2]
    assert again.epochs == 3
    assert again.metrics["val/score"] == pytest.approx(unbroken.metrics["val/score"], rel=1e-5)


@pytest.mark.parametrize("checkpoint_seconds", [1e-9, 3600], ids=["saved each step", "seldom"])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_who_was_in_the_batch(
    prepared, train_config, tmp_path, monkeypatch, checkpoint_seconds
):
    """The message names step, losses and file; the file names the users of that very batch.

    Also where the losses are looked at a step late.
    """
    losses = Nightshift.losses

    def broken(module, batch):
        found = losses(module, batch)
        return found if module.step < 3 else {**found, "churn": found["churn"] * float("inf")}

    monkeypatch.setattr(Nightshift, "losses", broken)

    with pytest.raises(LossNotFiniteError) as error:
        run(prepared, train_config, tmp_path / "run", checkpoint_seconds=checkpoint_seconds)

    file = tmp_path / "run" / "not-finite-rank0.json"
    assert str(error.value) == (
        "step 4 of 6: found loss inf, churn inf, gradient_norm nan, expected numbers. "
        f"Look at the events of the users in {file}: an amount may be absurd. "
        "If they are sound, lower learning_rate (it is 0.01)."
    )
    kept = json.loads(file.read_text())
    batches = TrainingBatches(prepared.training, epoch=0, rank=0, num_ranks=1)
    assert kept["user_ids"] == batches.user_ids(3)
    assert (kept["step"], kept["losses"]["churn"]) == (4, "inf")
    saved = [file.name[:14] for file in Checkpoints(tmp_path / "run", print)._files()]
    assert saved == (["step=000000002", "step=000000003"] if checkpoint_seconds < 1 else [])


@pytest.mark.parametrize(
    ("changes", "lower"),
    [
        ({}, "batch_size from 4 to 2"),
        ({"batch_size": 1}, "num_ranked_queries from 2 to 1"),
        ({"batch_size": 1, "num_ranked_queries": 1}, "num_queries from 3 to 1"),
    ],
)
def test_memory_that_runs_out_says_which_setting_to_lower(
    prepared_for, train_config, tmp_path, monkeypatch, changes, lower
):
    """What can still be lowered is halved: torch's own message does not know our settings."""
    config = train_config.model_copy(update=changes)
    prepared = prepared_for(config)
    monkeypatch.setattr(Nightshift, "losses", lambda *_: torch.empty(160_000_000_000))

    with pytest.raises(TooLittleMemoryError) as error:
        run(prepared, config, tmp_path / "run")

    assert str(error.value) == (
        "training on 1 process: found no memory left (tried to allocate 640000000000 bytes), "
        f"expected room for a step of training. Lower {lower}, then run this again."
    )


def test_a_broken_checkpoint_is_left_out_by_name_and_the_one_before_is_used(
    prepared_for, train_config, tmp_path
):
    """Truncated, or a bit turned: which file is said, the one before goes on to the same end."""
    config = train_config.model_copy(update={"epochs": 2})
    prepared = prepared_for(config)
    unbroken = run(prepared, config, tmp_path / "unbroken")
    for number, spoil in enumerate((_truncated, _with_a_bit_turned)):
        folder, said, steps = tmp_path / f"run{number}", [], []
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            run(prepared, config, folder, checkpoint_seconds=1e-9, on_step=_interrupted_at(8))
        kept = sorted(folder.glob("*.ckpt"))
        kept[-1].write_bytes(spoil(kept[-1].read_bytes()))

        again = run(
            prepared,
            config,
            folder,
            say=said.append,
            on_step=lambda step, steps=steps: steps.append(step.done),
        )

        size = f"{kept[-1].with_suffix('.left-out').stat().st_size:,}"
        assert said == [
            f"left out {kept[-1]}: its {size} bytes are not those that were written",
            "goes on after step 7 of 12",
        ]
        assert steps[0] == 8
        assert again.metrics["val/score"] == unbroken.metrics["val/score"]
        ended, wanted = (_last_weights(place, again) for place in (folder, tmp_path / "unbroken"))
        assert all(torch.equal(ended[name], wanted[name]) for name in wanted)


def _last_weights(folder, fitted):
    """After the very last step, which need not be the best epoch's."""
    shapes = {name: value.shape for name, value in fitted.state.items()}
    return Checkpoints(folder, print).newest(shapes).network


def _truncated(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def _with_a_bit_turned(whole: bytes) -> bytes:
    middle = len(whole) // 2
    return whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]


def _interrupted_at(number: int):
    def on_step(step):
        if step.done == number:
            raise KeyboardInterrupt

    return on_step


def test_a_validation_can_be_left_at_any_point(prepared_for, train_config, tmp_path, monkeypatch):
    """Told to stop in the middle of one, a training is gone at once, and repeats no step later."""
    config = train_config.model_copy(update={"epochs": 2})
    prepared = prepared_for(config)
    unbroken = run(prepared, config, tmp_path / "unbroken")
    stop, answered, steps = Stop(), [], []
    answer = Nightshift.validation_step

    def told(module, batch, batch_idx):
        stop.name = "SIGTERM"
        answered.append(batch_idx)
        answer(module, batch, batch_idx)

    monkeypatch.setattr(Nightshift, "validation_step", told)
    with pytest.raises(TrainingStoppedError, match="after step 6 of 12: found SIGTERM"):
        run(prepared, config, tmp_path / "run", stop=stop)
    monkeypatch.setattr(Nightshift, "validation_step", answer)

    epochs: list[int] = []
    again = run(
        prepared,
        config,
        tmp_path / "run",
        lambda epoch, metrics: epochs.append(epoch),
        on_step=lambda step: steps.append(step.done),
    )

    assert answered == [0]
    assert epochs == [0, 1]
    assert steps == list(range(7, 13))
    assert again.metrics["val/score"] == unbroken.metrics["val/score"]
    ended, wanted = (_last_weights(tmp_path / name, again) for name in ("run", "unbroken"))
    assert all(torch.equal(ended[name], wanted[name]) for name in wanted)


def test_a_training_out_of_time_does_not_begin_another_epoch_after_a_restart(
    prepared_for, train_config, tmp_path
):
    """`max_minutes` counts the seconds of every start."""
    config = train_config.model_copy(update={"epochs": 3, "max_minutes": 1e-6})
    prepared = prepared_for(config)

    first = run(prepared, config, tmp_path / "run")
    steps: list[int] = []
    again = run(prepared, config, tmp_path / "run", on_step=lambda step: steps.append(step.done))

    assert (first.epochs, again.epochs, steps) == (1, 1, [])


def test_a_checkpoint_of_another_network_is_left_out(prepared, train_config, tmp_path):
    """New code of another shape begins anew, and says so."""
    said: list[str] = []
    run(prepared, train_config, tmp_path / "run")
    (file,) = (tmp_path / "run").glob("*.ckpt")

    found = Checkpoints(tmp_path / "run", said.append).newest({"weight": torch.Size([1])})

    assert found is None
    assert said == [f"left out {file}: it is of a network of another shape"]


def test_what_was_left_out_pushes_out_nothing_new(prepared_for, train_config, tmp_path):
    """A run in the folder of a longer one of another shape keeps its own checkpoints and best."""
    config = train_config.model_copy(update={"epochs": 3})
    wider = config.encoder.model_copy(update={"dim": 16})
    other = config.model_copy(update={"encoder": wider})
    folder, steps = tmp_path / "run", []
    run(prepared_for(other), other, folder, checkpoint_seconds=1e-9)
    score = json.loads((folder / "best.json").read_text())
    score["metrics"]["val/score"] = 1e3
    (folder / "best.json").write_text(json.dumps(score))
    prepared = prepared_for(config)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(prepared, config, folder, checkpoint_seconds=1e-9, on_step=_interrupted_at(7))

    again = run(prepared, config, folder, on_step=lambda step: steps.append(step.done))

    assert steps[0] == 8
    assert again.state["items.weight"].shape[1] == config.encoder.dim


def test_two_checkpoints_are_kept(prepared, train_config, tmp_path):
    """The newest, and the one before; those before them make room."""
    run(prepared, train_config, tmp_path / "run", checkpoint_seconds=1e-9)

    kept = sorted(file.name.split("-")[0] for file in (tmp_path / "run").glob("*.ckpt"))
    assert kept == ["step=000000005", "step=000000006"]


def test_a_sampled_softmax_draws_only_items_of_the_catalogue(prepared, train_config):
    """Negatives ascend, differ, are no unknown item, and say how likely each was."""
    assert isinstance(train_config.next_item_loss, SampledSoftmax)
    batch = next(iter(TrainingBatches(prepared.training, epoch=0, rank=0, num_ranks=1)))

    items = batch.negatives.tolist()
    assert items == sorted(set(items))
    assert min(items) >= 1
    assert max(items) <= prepared.vocabulary.num_items
    assert (batch.log_inclusion <= 0).all()


def test_the_absolute_error_of_spend_is_that_of_the_median(prepared, train_config):
    """As the gate measures it and the card says it; the mean has the deviance."""
    data = prepared.validation
    torch.manual_seed(0)
    network = Network(train_config.encoder, prepared.vocabulary).eval()
    module = Nightshift(train_config, network, prepared.training, data, num_ranks=1)
    with torch.no_grad():
        network.spend.values.layers[-1].bias.copy_(
            torch.tensor([1.0, -1.0])
        )  # far from one another
        for number, asked in enumerate(data.batches([0], rank=0, num_ranks=1)):
            module.validation_step(asked, number)

    metrics = validation_metrics(data, module.answers)

    truth, answers = data.spend[0], module.answers
    known = np.isfinite(truth)
    errors = [
        np.abs(said[0] - truth)[known].mean() for said in (answers.spend_median, answers.spend)
    ]
    assert metrics["val/spend_mae"] == pytest.approx(errors[0])
    assert errors[0] != pytest.approx(errors[1], rel=0.01)


def test_an_epoch_that_was_kept_before_the_median_was_can_be_gone_on_from(tmp_path, prepared):
    """Its mean stands for it: nothing that follows reads the median."""
    answers = Answers.empty(prepared.validation)
    keep_best(tmp_path, {}, answers, 0, {"val/score": 0.1})
    old = {name: value for name, value in vars(answers).items() if name != "spend_median"}
    np.savez(tmp_path / "best.npz", **old)

    assert read_best(tmp_path).answers.spend_median.shape == answers.spend.shape


def test_the_seconds_of_an_epoch_hold_all_of_its_last_step(prepared_for, train_config, tmp_path):
    """Gradients and update too: an epoch of one step would else seem to be done in no time."""
    config = train_config.model_copy(update={"batch_size": 24})
    events, said = [], {}
    clip = Nightshift.configure_gradient_clipping

    def slow(module, *arguments, **options):
        events.append(module.num_events)
        time.sleep(0.3)
        clip(module, *arguments, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Nightshift, "configure_gradient_clipping", slow)
        run(prepared_for(config), config, tmp_path / "run", lambda _, found: said.update(found))

    assert len(events) == 1
    assert said["train/events_per_second"] < events[0] / 0.3
