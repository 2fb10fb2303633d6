"""A saved model: the same answers after loading, deaf to the future, indifferent to company."""

import json
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from contracts.errors import ConfigError, DamagedModelError
from contracts.exclusions import Exclusions
from models.registry.artifact import load_artifact
from models.registry.exclusion import Exclusion
from models.registry.predict import Predictor
from models.sequences.history import Histories
from models.sequences.labels import labels
from models.sequences.vocabulary import Vocabulary

pytestmark = pytest.mark.torch

CUTOFF = date(2017, 3, 10)
EVENTS = [
    ("u", "2017-03-01T10:00:00", "apple", 1.0),
    ("u", "2017-03-01T10:00:00", "bread", 2.0),
    ("u", "2017-03-01T10:00:00", "cream", 4.0),
    ("u", "2017-03-07T10:00:00", "apple", 1.0),
    ("v", "2017-02-11T18:00:00", "dates", 3.0),
]


def numbers(predictions):
    return np.column_stack(
        [
            predictions.purchase,
            predictions.churn,
            predictions.spend,
            predictions.spend_median,
            predictions.embeddings,
        ]
    )


def test_every_answer_is_in_its_range(artifact, sequences):
    """Probabilities are in [0, 1], spend is no debt, items are of the catalogue and differ."""
    found = Predictor.load(artifact).predict(sequences(EVENTS), cutoff=CUTOFF, top_k=3)

    assert found.user_ids == ["u", "v"]
    assert ((found.purchase >= 0) & (found.purchase <= 1)).all()
    assert ((found.churn >= 0) & (found.churn <= 1)).all()
    assert (found.spend >= 0).all()
    assert (found.spend_median >= 0).all()
    assert all(len(set(row)) == 3 for row in found.item_ids)
    assert (np.diff(found.item_scores, axis=1) <= 0).all()
    assert found.embeddings.shape == (2, 8)


def test_an_event_at_the_cutoff_is_not_seen(artifact, sequences):
    """Rows of a later night, asked about a past cutoff, answer as they would have then."""
    predictor = Predictor.load(artifact)
    later = [("u", "2017-03-10T00:00:00", "dates", 9.0), ("u", "2017-04-01", "dates", 9.0)]

    then = predictor.predict(sequences(EVENTS), cutoff=CUTOFF, top_k=3)
    now = predictor.predict(sequences(EVENTS + later), cutoff=CUTOFF, top_k=3)

    np.testing.assert_allclose(numbers(now), numbers(then), rtol=1e-5, atol=1e-6)
    assert now.item_ids.tolist() == then.item_ids.tolist()


def test_the_event_just_before_the_cutoff_is_seen(artifact, sequences):
    """One second earlier, the same event changes the answer."""
    predictor = Predictor.load(artifact)
    last = ("u", "2017-03-09T23:59:59", "dates", 9.0)

    without = predictor.predict(sequences(EVENTS), cutoff=CUTOFF, top_k=3)
    given = predictor.predict(sequences([*EVENTS, last]), cutoff=CUTOFF, top_k=3)

    assert not np.allclose(numbers(given)[0], numbers(without)[0], atol=1e-4)
    np.testing.assert_allclose(numbers(given)[1], numbers(without)[1], rtol=1e-5, atol=1e-6)


def test_the_order_of_a_baskets_lines_changes_nothing(artifact, sequences):
    """Lines of one instant have no order of their own."""
    predictor = Predictor.load(artifact)
    turned = [EVENTS[2], EVENTS[0], EVENTS[1], *EVENTS[3:]]

    found = predictor.predict(sequences(turned), cutoff=CUTOFF, top_k=3)
    plain = predictor.predict(sequences(EVENTS), cutoff=CUTOFF, top_k=3)

    np.testing.assert_allclose(numbers(found), numbers(plain), rtol=1e-5, atol=1e-6)


def test_how_many_were_bought_is_read(artifact, sequences):
    """A dozen at the price of one is another basket."""
    predictor, rows = Predictor.load(artifact), sequences(EVENTS)
    place = rows.schema.get_field_index("quantities")
    dozens = [[12.0] * len(row) for row in rows["quantities"].to_pylist()]
    many = rows.set_column(place, rows.schema.field(place), [dozens])

    one, dozen = (predictor.predict(of, cutoff=CUTOFF, top_k=3) for of in (rows, many))

    assert np.abs(numbers(dozen) - numbers(one)).max(axis=1).min() > 1e-3


def test_the_words_of_an_event_are_read_and_those_of_the_future_are_not(artifact, sequences):
    """A search before the cutoff changes an answer; one at the cutoff has not been made yet."""
    predictor = Predictor.load(artifact)
    rows = sequences([*EVENTS[:1], ("u", "2017-03-10T00:00:00", "apple", 1.0)])

    def ask(*texts):
        said = rows.set_column(rows.schema.get_field_index("texts"), "texts", [[[*texts]]])
        return numbers(predictor.predict(said, cutoff=CUTOFF, top_k=3))

    silent = numbers(predictor.predict(rows, cutoff=CUTOFF, top_k=3))

    np.testing.assert_array_equal(ask("", ""), silent)
    np.testing.assert_array_equal(ask("", "red shoes"), silent)
    assert np.abs(ask("red shoes", "") - silent).max() > 1e-3


def test_a_users_answer_does_not_depend_on_the_other_users(artifact, sequences):
    """Alone, or in another order and longer company: the same to 1e-5."""
    predictor = Predictor.load(artifact)
    crowd = [("w", f"2017-02-{day:02d}T10:00:00", "bread", 1.0) for day in range(1, 20)]

    alone = predictor.predict(sequences(EVENTS[-1:]), cutoff=CUTOFF, top_k=4)
    among = predictor.predict(sequences([*crowd, *EVENTS]), cutoff=CUTOFF, top_k=4)

    place = among.user_ids.index("v")
    np.testing.assert_allclose(numbers(among)[place], numbers(alone)[0], rtol=1e-5, atol=1e-5)
    assert among.item_ids[place].tolist() == alone.item_ids[0].tolist()


def test_a_user_who_was_never_seen_gets_the_base_rates(artifact, sequences):
    """Nobody falls out of the answer, and nothing is made up about a stranger."""
    stranger = ("new", "2017-03-15T10:00:00", "apple", 1.0)

    found = Predictor.load(artifact).predict(sequences([*EVENTS, stranger]), cutoff=CUTOFF, top_k=2)

    place = found.user_ids.index("new")
    assert found.purchase[place] == 0.5
    assert found.churn[place] == 0.25
    assert found.spend[place] == found.spend_median[place] == 30.0
    assert not found.embeddings[place].any()


@pytest.mark.parametrize("cutoff", [date(2017, 3, 12), date(2017, 3, 13), date(2017, 5, 14)])
def test_who_is_asked_about_churn_is_who_it_was_learnt_from(artifact, sequences, horizons, cutoff):
    """The same users as the labels', over the change of clocks too; and who came when."""
    moments = [
        datetime.combine(cutoff, time.min) + timedelta(days=days, hours=hours)
        for days in (-61, -60, -59, -1, 0, 1)
        for hours in (0, 0.5, 12, 23.99)
    ]
    events = [
        (f"u{n}", str(when).replace(" ", "T"), "apple", 1.0) for n, when in enumerate(moments)
    ]
    table = sequences(events)
    found = Predictor.load(artifact).predict(table, cutoff=cutoff, top_k=1)
    truth = labels(Histories.from_arrow(table), cutoff, horizons, ZoneInfo("America/New_York"))
    days = [when.date() if when.date() < cutoff else None for when in moments]

    np.testing.assert_array_equal(found.is_active, np.isfinite(truth.churn))
    assert found.is_active.sum() == 12
    assert found.last_event_dates.tolist() == days


def test_what_a_user_has_bought_can_be_left_out(artifact, sequences):
    """Of that user alone: the next best move up, with the probability that they had."""
    predictor = Predictor.load(artifact)
    table = sequences([*EVENTS, ("v", "2017-02-12T18:00:00", "bread", -3.0)])  # a return

    usual = predictor.predict(table, cutoff=CUTOFF, top_k=4)
    new = predictor.predict(table, cutoff=CUTOFF, top_k=4, exclusion=Exclusion(bought=True))

    for user, bought in enumerate([{"apple", "bread", "cream"}, {"dates"}]):
        left = [item for item in usual.item_ids[user] if item not in bought]
        assert new.item_ids[user].tolist() == left + [""] * len(bought)
        chances = dict(zip(usual.item_ids[user], usual.item_scores[user], strict=True))
        expected = [chances[item] for item in left] + [0.0] * len(bought)
        np.testing.assert_allclose(new.item_scores[user], expected, rtol=1e-5)


def test_an_item_that_is_out_of_stock_is_offered_to_nobody(artifact, sequences):
    """To a stranger neither; an item that the model does not know is none to leave out."""
    gone = Exclusion(item_ids=frozenset({"apple", "unicorn"}))
    table = sequences([*EVENTS, ("new", "2017-03-15T10:00:00", "apple", 1.0)])

    found = Predictor.load(artifact).predict(table, cutoff=CUTOFF, top_k=4, exclusion=gone)

    assert found.user_ids == ["u", "v", "new"]
    for items in found.item_ids:
        assert sorted(items) == ["", "bread", "cream", "dates"]
        assert items[3] == ""


@pytest.mark.parametrize("top_k", [1, 4])
def test_what_a_rule_excludes_is_offered_to_nobody_at_any_rank(artifact, sequences, top_k):
    """Nor by a version that had it excluded in training, whoever asks it without a configuration.

    The other items keep their order and their probabilities.
    """
    table = sequences([*EVENTS, ("new", "2017-03-15T10:00:00", "apple", 1.0)])
    rules = Exclusions(categories=("APPLE",), item_patterns=("b*",))
    predictor = Predictor.load(artifact)
    usual = predictor.predict(table, cutoff=CUTOFF, top_k=4)
    ruled = predictor.predict(table, cutoff=CUTOFF, top_k=top_k, exclusion=Exclusion(rules=rules))
    Vocabulary.load(artifact).without(rules).save(artifact)
    served = Predictor.load(artifact).predict(table, cutoff=CUTOFF, top_k=top_k)

    for user in range(3):
        left = [item for item in usual.item_ids[user] if item in ("cream", "dates")][:top_k]
        assert [item for item in ruled.item_ids[user] if item] == left
        offered = [item for item in served.item_ids[user] if item]  # it reads them by category
        assert len({*offered} & {"cream", "dates"}) == len(offered) == len(left)
    chances = dict(zip(usual.item_ids[0], usual.item_scores[0], strict=True))
    left = [item for item in ruled.item_ids[0] if item]
    expected = [chances[item] for item in left]
    np.testing.assert_allclose(ruled.item_scores[0][: len(left)], expected, rtol=1e-5)


def test_no_user_is_no_row(artifact, sequences):
    """An empty partition of an executor is answered with nothing."""
    found = Predictor.load(artifact).predict(sequences(EVENTS).slice(0, 0), cutoff=CUTOFF, top_k=2)

    assert found.user_ids == []
    assert found.item_ids.shape == (0, 2)


def test_record_batches_are_answered_as_tables_are(artifact, sequences):
    """Executors stream record batches."""
    predictor, table = Predictor.load(artifact), sequences(EVENTS)
    (batch,) = table.to_batches()

    assert isinstance(batch, pa.RecordBatch)
    np.testing.assert_allclose(
        numbers(predictor.predict(batch, cutoff=CUTOFF, top_k=2)),
        numbers(predictor.predict(table, cutoff=CUTOFF, top_k=2)),
    )


def test_loading_gives_the_weights_that_were_saved_and_nothing_is_pickled(artifact):
    """The folder is JSON and safetensors, which is the length of a JSON header, and that header."""
    files = {file.name: file.read_bytes() for file in artifact.iterdir()}
    first, second = load_artifact(artifact).network, load_artifact(artifact).network

    assert sorted(files) == ["item_index.json", "manifest.json", "weights.safetensors"]
    length = int.from_bytes(files["weights.safetensors"][:8], "little")
    json.loads(files["weights.safetensors"][8 : 8 + length])
    assert all(json.loads(files[name]) for name in ("item_index.json", "manifest.json"))
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[name])


def test_a_folder_that_is_no_model_says_what_is_missing(tmp_path):
    """A wrong path ends in one clear error."""
    with pytest.raises(ConfigError) as error:
        load_artifact(tmp_path)

    assert str(error.value) == (
        f"{tmp_path}: found no weights.safetensors, manifest.json, item_index.json, expected "
        "weights.safetensors, manifest.json and item_index.json. "
        "Give the folder of a trained model."
    )


def test_more_layers_than_weights_are_refused_before_they_are_built(artifact):
    """A manifest that somebody else wrote must not fill the memory."""
    file = artifact / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["config"]["encoder"]["num_layers"] = 10**9
    file.write_text(json.dumps(manifest))
    with pytest.raises(DamagedModelError, match="found 1000000000 layers, expected those of"):
        load_artifact(artifact)


def test_a_version_of_before_quantities_were_read_is_refused(artifact):
    """Its weights know nothing of what this code would tell them: it has to be trained again."""
    file = artifact / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["feature_names"].remove("quantity")
    file.write_text(json.dumps(manifest))

    with pytest.raises(ConfigError) as error:
        load_artifact(artifact)

    assert str(error.value) == (
        f"{file}: found features that differ in quantity, expected those of this code. "
        "The model is of another version of the code: train again."
    )


def test_a_version_of_before_the_next_event_type_was_asked_for_is_refused(artifact):
    """A log of several types has that head, whose weights nothing else can stand for."""
    file = artifact / "weights.safetensors"
    state = load_file(file)
    save_file({name: state[name] for name in state if name != "event_type_head.bias"}, file)

    with pytest.raises(ConfigError) as error:
        load_artifact(artifact)

    assert str(error.value) == (
        f'{file}: found Missing key(s) in state_dict: "event_type_head.bias", '
        "expected the weights of this code's network. "
        "The model is of another version of the code: train again."
    )


def test_predicting_loads_neither_lightning_nor_mlflow():
    """Executors must stay light."""
    import subprocess
    import sys

    program = (
        "import sys, models.registry.predict; "
        "print([name for name in ('lightning', 'mlflow', 'pyspark', 'pandas', 'sklearn') "
        "if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert said.stdout.strip() == "[]", said.stderr
