"""Going on from an earlier version: where it left off, with what is new in its place."""

from dataclasses import replace

import pytest
import torch

from contracts.errors import ConfigError
from models.networks.network import Network
from models.registry.artifact import Manifest, save_artifact
from models.registry.predict import Predictor
from models.sequences.vocabulary import Vocabulary
from models.training.calibration import IDENTITY, BaseRates, Calibration
from models.training.fit import fit
from models.training.keeper import BEFORE_THE_FIRST
from models.training.preparation import NEVER_VARIED
from models.training.stop import Stop
from models.training.warm_start import Start, start_from
from tests.models.training.small_training import CUTOFF, ENCODERS, HORIZONS, config_of, prepared

pytestmark = pytest.mark.torch

OLD = Vocabulary(
    item_ids=("apple1", "apple2", "bread1"),
    item_categories=(1, 1, 2),
    categories=("APPLE", "BREAD"),
    event_types=("purchase",),
    amount_edges=(1e-9, 2.0),
    quantity_edges=(1e-9, 2.0),
    text_buckets=0,
)
GROWN = replace(
    OLD,
    item_ids=(*OLD.item_ids, "apple3", "cream1"),
    item_categories=(*OLD.item_categories, 1, 3),
    categories=(*OLD.categories, "CREAM"),
    event_types=("purchase", "return"),
)


def trained(data, folder, start=None):
    """The result, and what was said of each epoch."""
    said = {}
    fitted = fit(
        data,
        config=data.training.config,
        folder=folder,
        checkpoint_seconds=3600,
        on_epoch=lambda epoch, metrics: said.update({epoch: metrics}),
        on_step=lambda step: None,
        say=lambda what: None,
        stop=Stop(),
        start=start,
    )
    return fitted, said


def old_state():
    torch.manual_seed(0)
    return Network(ENCODERS["gru"], OLD).state_dict()


def test_it_begins_at_the_validation_metrics_of_the_version_it_goes_on_from(tmp_path):
    """Before its first step it answers as that version did, to the last bit on the same data."""
    data = prepared(tmp_path / "data", config_of("gru", epochs=3))
    parent, _ = trained(data, tmp_path / "parent")
    config = config_of("gru", epochs=1)
    again = prepared(tmp_path / "again", config, known=parent.vocabulary)

    start = Start("shop/1", parent.vocabulary, parent.state)
    child, said = trained(again, tmp_path / "child", start)

    before = said[BEFORE_THE_FIRST]
    assert before == {n: v for n, v in parent.metrics.items() if n.startswith("val/")}
    assert child.metrics["val/score"] >= before["val/score"]


def test_a_training_that_gains_nothing_keeps_what_it_started_from(tmp_path):
    """The start is one of the epochs that the best is chosen from."""
    data = prepared(tmp_path / "data", config_of("gru", epochs=3))
    parent, _ = trained(data, tmp_path / "parent")
    config = config_of("gru", epochs=1, learning_rate=0.1)
    ruined = prepared(tmp_path / "ruined", config, known=parent.vocabulary)

    start = Start("shop/1", parent.vocabulary, parent.state)
    child, said = trained(ruined, tmp_path / "child", start)

    assert said[0]["val/score"] < said[BEFORE_THE_FIRST]["val/score"]
    assert torch.equal(child.state["items.weight"], parent.state["items.weight"])


def test_old_weights_keep_their_rows_and_new_rows_start_as_the_mean_of_their_like():
    """A new item is its category's mean item; one of a new category, the mean of all items."""
    old, network = old_state(), Network(ENCODERS["gru"], GROWN)

    start_from(network, Start("shop/1", OLD, old))
    new = network.state_dict()

    items = old["items.weight"]
    assert torch.equal(new["items.weight"][:4], items)
    torch.testing.assert_close(new["items.weight"][4], items[1:3].mean(dim=0))
    torch.testing.assert_close(new["items.weight"][5], items[1:].mean(dim=0))
    categories = old["categories.weight"]
    assert torch.equal(new["categories.weight"][:3], categories)
    torch.testing.assert_close(new["categories.weight"][3], categories[1:].mean(dim=0))
    assert torch.equal(new["purchase.layers.1.weight"], old["purchase.layers.1.weight"])
    assert new["item_categories"].tolist() == [0, 1, 1, 2, 1, 3]


def test_spend_begins_afresh_where_nothing_was_paid_for_before():
    """The scale of amounts is the new log's, and their buckets have rows to be learnt in."""
    bare = replace(OLD, amount_edges=(1e-9,))
    torch.manual_seed(0)
    old = Network(ENCODERS["gru"], bare).state_dict()
    old["spend_scale"].fill_(0.01)
    network = Network(ENCODERS["gru"], bare.grown(GROWN))
    network.spend_scale.fill_(7.0)
    drawn = network.spend.values.layers[1].weight.clone()

    start_from(network, Start("shop/1", bare, old))

    assert network.has_amounts
    assert network.spend_scale.item() == 7.0
    assert torch.equal(network.spend.values.layers[1].weight, drawn)
    assert torch.equal(network.amounts.weight[2], old["amounts.weight"][1])


def test_what_never_varied_before_is_read_once_it_does():
    """A year before, in a log that has become a year long; else it is 0 in every descendant."""
    old = Network(ENCODERS["gru"], OLD).state_dict()
    old["feature_mean"].fill_(2.0)
    old["feature_std"].fill_(3.0)
    old["feature_std"][5] = NEVER_VARIED
    network = Network(ENCODERS["gru"], GROWN)
    network.feature_mean.fill_(0.5)
    network.feature_std.fill_(0.7)

    start_from(network, Start("shop/1", OLD, old))

    expected = torch.full_like(network.feature_std, 3.0)
    expected[5] = 0.7
    assert torch.equal(network.feature_std, expected)
    assert network.feature_mean[4:7].tolist() == [2.0, 0.5, 2.0]


def test_a_head_that_the_version_had_no_need_of_begins_afresh():
    """A log that comes to have a second event type is gone on with; a third gets a row beside."""
    network = Network(ENCODERS["gru"], GROWN)
    drawn = network.state_dict()["event_type_head.project.weight"].clone()
    start_from(network, Start("shop/1", OLD, old_state()))
    two = {name: value.clone() for name, value in network.state_dict().items()}
    two["event_type_head.bias"] += torch.tensor([0.0, 1.0, 2.0])

    of_three = Network(ENCODERS["gru"], replace(GROWN, event_types=("purchase", "return", "view")))
    start_from(of_three, Start("shop/2", GROWN, two))
    three = of_three.state_dict()

    assert torch.equal(two["event_type_head.project.weight"], drawn)
    assert torch.equal(three["event_type_head.project.weight"], drawn)
    assert three["event_type_head.bias"].tolist() == [0.0, 1.0, 2.0, 1.5]


def test_texts_begin_afresh_where_the_version_had_none():
    """A mapping that names a text today has words that no version knows; its table is kept then."""
    grown = OLD.grown(replace(OLD, text_buckets=8))
    network = Network(ENCODERS["gru"], grown)
    drawn = network.state_dict()["texts.weight"].clone()

    start_from(network, Start("shop/1", OLD, old_state()))
    with_words = {name: value + 1.0 for name, value in network.state_dict().items()}
    again = Network(ENCODERS["gru"], grown.grown(OLD))
    start_from(again, Start("shop/2", grown, with_words))

    assert torch.equal(network.state_dict()["texts.weight"], drawn)
    assert torch.equal(again.state_dict()["texts.weight"], drawn + 1.0)


def test_an_item_that_was_never_trained_on_is_ranked_as_its_category(tmp_path, sequences):
    """Two categories apart: the new apple stands with the apples, and the new bread with bread."""
    old = old_state()
    old["items.weight"][1:3] += 5.0  # apples lie together, far from bread
    old["items.weight"][3] -= 5.0
    vocabulary = replace(OLD, item_ids=(*OLD.item_ids, "apple3"), item_categories=(1, 1, 2, 1))
    network = Network(ENCODERS["gru"], vocabulary)
    start_from(network, Start("shop/1", OLD, old))

    vectors = network.item_vectors()
    near = torch.cdist(vectors[4:5], vectors[1:4])[0]
    assert near[:2].max() < 0.2 * near[2]

    config = config_of("gru")
    manifest = Manifest(
        config=config,
        horizons=HORIZONS,
        time_zone="America/New_York",
        training_cutoff=CUTOFF,
        label_limit=CUTOFF,
        snapshot_ids={},
        session_gap_minutes=30,
        max_events=100,
        base_rates=BaseRates(purchase=0.5, churn=0.5, spend=1.0),
        calibration=Calibration(purchase=IDENTITY, churn=IDENTITY, spend=1.0),
        metrics={},
    )
    save_artifact(tmp_path / "grown", manifest, vocabulary, network.state_dict())
    rows = [("u", "2017-08-01T10:00:00", name, 1.0) for name in ("apple3", "apple9", "durian1")]
    said = Predictor.load(tmp_path / "grown").predict(sequences(rows), cutoff=CUTOFF, top_k=4)
    assert "apple3" in said.item_ids[0]
    assert (said.purchase > 0).all()


def test_weights_of_another_shape_are_refused():
    """An encoder of another width, or other code: nothing is copied half."""
    network = Network(ENCODERS["gru"].model_copy(update={"dim": 16}), OLD)

    with pytest.raises(ConfigError) as error:
        start_from(network, Start("shop/1", OLD, old_state()))

    assert str(error.value).startswith("--from shop/1: found other weights in amounts.weight, ")
    assert str(error.value).endswith(
        "expected a version of this code and of this encoder. "
        "Train without --from, or go on from a newer version."
    )
