"""The head of the next event type: there where a log has several, and right about what comes."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.networks.network import Network
from models.training.fit import fit
from models.training.module import Nightshift
from models.training.prepared import Prepared
from models.training.stop import Stop
from tests.models.small_version import prepare_log
from tests.models.training.small_training import config_of

pytestmark = pytest.mark.torch

CUTOFF = date(2017, 9, 1)
LIMIT = date(2017, 7, 7)  # of training, and where the validation asks: 56 days before the cutoff
CONFIG = config_of("gru")


@pytest.fixture
def prepared(horizons, zone, tmp_path):
    def prepare(rows: pa.Table, config=CONFIG) -> Prepared:
        return prepare_log(
            rows, config, horizons=horizons, zone=zone, cutoff=CUTOFF, folder=tmp_path / "data"
        )

    return prepare


def visits(*, returns: int) -> list[tuple[str, str, str, float]]:
    """24 users of every 3 to 11 days, a fourth of whom stops; each ``returns``-th is a return."""
    events = []
    for user in range(24):
        when, gap = datetime(2017, 1, 2 + user % 7, 10, tzinfo=UTC), 3 + user % 9
        end = datetime(2017, *((6, 28) if user % 4 == 0 else (9, 1)), tzinfo=UTC)
        number = user
        while when < end:
            number += 1
            amount = -1.0 if returns and number % returns == 0 else 2.0
            for item in ("apple", "bread"):
                events.append((f"u{user}", f"{when:%Y-%m-%dT%H:%M:%S}", item, amount))
            when += timedelta(days=gap)
    return events


def module_of(prepared: Prepared) -> Nightshift:
    torch.manual_seed(0)
    network = Network(CONFIG.encoder, prepared.vocabulary).eval()
    return Nightshift(CONFIG, network, prepared.training, prepared.validation, num_ranks=1)


def batch_of(prepared: Prepared):
    data = prepared.training.open(0)
    return data.batch_of(data.users[:6], np.random.default_rng(0))


def test_a_log_of_one_event_type_has_no_such_head(prepared, sequences):
    """No weight, no target, no loss and no measure: nothing is asked that has one answer."""
    made = prepared(sequences(visits(returns=0)))
    module, batch = module_of(made), batch_of(made)

    assert "next_event_type" not in module.losses(batch)
    assert not len(batch.next_event_types)
    assert not [name for name in module.network.state_dict() if "event_type_head" in name]
    assert made.validation.event_types.shape[-1] == 0


def test_the_loss_is_the_cross_entropy_of_the_shares_of_the_next_instants_types(
    prepared, sequences
):
    """A basket of two purchases and one return is two thirds purchase, in whatever order."""
    mixed = [(*event[:2], "cream", -1.0) for event in visits(returns=3)[::2]]
    made = prepared(sequences(visits(returns=3) + mixed))
    module, batch = module_of(made), batch_of(made)

    with torch.no_grad():
        loss = module.losses(batch)["next_event_type"].item()
        states = module.network(batch.sequences).flatten(0, 1)[batch.sequences.instant_slots]
        said = module.network.next_event_types(states).double().log_softmax(dim=1)  # (I, Y)
    shares = torch.zeros_like(said).index_put(
        (batch.typed_instants, batch.next_event_types),
        torch.ones(len(batch.typed_instants), dtype=torch.float64),
        accumulate=True,
    )
    asked = shares.sum(dim=1) > 0
    shares = shares[asked] / shares[asked].sum(dim=1, keepdim=True)

    assert {round(share, 3) for share in shares.flatten().tolist()} == {0.0, 0.333, 0.667, 1.0}
    assert loss == pytest.approx(-(shares * said[asked]).sum(dim=1).mean().item(), rel=1e-5)


def test_an_instant_is_asked_for_the_next_of_its_own_user(prepared, sequences):
    """No visit is asked for the first of the user who stands after it in the batch."""
    made = prepared(sequences(visits(returns=3)))
    batch = batch_of(made)
    slots = batch.sequences.instant_slots
    owners = slots // batch.sequences.is_query.size(1)

    asked = torch.unique(batch.typed_instants)

    assert len(asked) == len(slots) - len(torch.unique(owners))
    assert (owners[asked] == owners[asked + 1]).all()


def test_the_validation_asks_for_the_first_instant_from_the_cutoff_on(prepared, sequences):
    """Midnight of the cutoff is the future; who does not come again is not asked."""
    of_interest = [
        ("x", "2017-03-01T10:00:00", "apple", 2.0),
        ("x", f"{LIMIT}T00:00:00", "apple", -1.0),
        ("x", f"{LIMIT}T00:00:00", "bread", 2.0),
        ("x", f"{LIMIT + timedelta(days=1)}T00:00:00", "bread", 2.0),
        ("y", f"{LIMIT - timedelta(days=1)}T23:59:59", "apple", 2.0),
        ("z", f"{LIMIT + timedelta(days=1)}T10:00:00", "apple", 2.0),
    ]
    made = prepared(sequences(of_interest + visits(returns=3)))
    assert made.vocabulary.event_types == ("purchase", "return")

    x, y, z = made.validation.event_types[0][:3]

    assert x.tolist() == [0.0, 0.5, 0.5]
    assert np.isnan(y).all()
    assert np.isnan(z).all()  # not seen before the cutoff


def test_the_validation_hears_what_the_last_instant_says(prepared, sequences):
    """The head is asked at instants, so its answer is not that of the query which stands after."""
    made = prepared(sequences(visits(returns=3)))
    module = module_of(made)
    asked = next(iter(made.validation.batches([0], rank=0, num_ranks=1)))

    with torch.no_grad():
        module.validation_step(asked, 0)
        states = module.network(asked.sequences)
        last = states[torch.arange(len(asked.users)), asked.sequences.lengths - 2]
        said = module.network.next_event_types(last).softmax(dim=1)

    assert asked.sequences.is_query.sum(dim=1).tolist() == [1] * len(asked.users)
    np.testing.assert_allclose(module.answers.event_types[0, asked.users], said, rtol=1e-5)


def test_which_type_comes_next_is_learnt(prepared, sequences, tmp_path):
    """Where every second visit is a return, the one before it says so."""
    weights = CONFIG.loss_weights.model_copy(update={"next_event_type": 1.0})
    config = config_of("gru", epochs=6, learning_rate=0.03, loss_weights=weights)
    made, said = prepared(sequences(visits(returns=2)), config), {}

    fit(
        made,
        config=config,
        folder=tmp_path / "run",
        checkpoint_seconds=3600,
        on_epoch=lambda epoch, metrics: said.update({epoch: metrics}),
        on_step=lambda step: None,
        say=lambda what: None,
        stop=Stop(),
    )

    base = said[5]["val/next_event_type_base_log_loss"]
    assert base == pytest.approx(np.log(2), abs=0.1)
    assert said[5]["val/next_event_type_log_loss"] < 0.3 * base


def test_a_shard_in_which_nobody_comes_back_has_nothing_to_say(prepared, sequences):
    """No row of shares, and no error."""
    made = prepared(sequences(visits(returns=3)))
    builder = made.validation._opened(0)
    late = np.full(len(builder.histories), date(2018, 1, 1).toordinal())

    found = made.validation._next_event_types(builder, late)

    assert found.shape == (24, 3)
    assert np.isnan(found).all()
