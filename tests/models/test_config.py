"""A training's configuration: what is refused, and in which words."""

from pathlib import Path
from typing import get_args

import pytest
import yaml

from contracts.errors import ConfigError, UnknownKeyError
from models.config import BinaryLoss, EncoderConfig, NextItemLoss, load_train_config

PROJECT = Path(__file__).resolve().parents[2]
FILES = sorted((PROJECT / "configs" / "models").glob("*.yaml"))


@pytest.fixture
def changed(tmp_path):
    """A copy of the Transformer's file with some keys changed: `encoder__dim=3`."""

    def change(**values) -> Path:
        config = yaml.safe_load((PROJECT / "configs/models/transformer.yaml").read_text())
        for name, value in values.items():
            *sections, key = name.split("__")
            place = config
            for section in sections:
                place = place[section]
            place[key] = value
        file = tmp_path / "changed.yaml"
        file.write_text(yaml.safe_dump(config))
        return file

    return change


def test_every_file_is_of_the_encoder_it_is_named_after():
    """Each file of configs/models is valid, and there is one for each encoder."""
    kinds = {file.stem: load_train_config(file).encoder.kind for file in FILES}

    assert kinds == {name: name for name in ("lstm", "gru", "cnn", "transformer")}


def test_a_flag_overrides_the_file_and_nothing_does_not():
    """`--epochs 2` wins over the file; a flag that was not given changes nothing."""
    plain = load_train_config(FILES[0])
    changed = load_train_config(FILES[0], epochs=2, seed=None)

    assert changed.epochs == 2
    assert changed.seed == plain.seed


def test_a_flag_that_cannot_be_is_blamed_and_not_the_file():
    """Who wrote `--epochs 0` need not look for it in the file."""
    with pytest.raises(ConfigError) as error:
        load_train_config(FILES[0], epochs=0)
    with pytest.raises(ConfigError) as of_minutes:
        load_train_config(FILES[0], max_minutes=-1.0)

    assert str(error.value) == (
        "--epochs: found 0, expected input should be greater than 0. Correct the value."
    )
    assert str(of_minutes.value).startswith("--max-minutes: found -1.0, ")


def test_a_key_is_named_as_the_file_has_it(changed):
    """A kind is the value of a key, not a section of the file."""
    file = changed(encoder__num_heads=0)

    with pytest.raises(ConfigError) as error:
        load_train_config(file, epochs=2)

    assert str(error.value) == (
        f"{file}: encoder.num_heads: found 0, expected input should be greater than 0. "
        "Correct the value."
    )


def test_a_setting_without_effect_cannot_be_written(changed):
    """A full softmax draws no negatives, so it has no number of them."""
    file = changed(next_item_loss={"kind": "full", "num_negatives": 5})

    with pytest.raises(UnknownKeyError) as error:
        load_train_config(file)

    assert str(error.value) == (
        f"{file}: found the key 'next_item_loss.num_negatives', expected one of kind. "
        "Correct the spelling or remove the key."
    )


def test_a_class_weight_of_one_cannot_be_written(changed):
    """It would be the cross entropy, which has a name."""
    file = changed(churn_loss={"kind": "class_weight", "positive": 1.0})

    with pytest.raises(ConfigError) as error:
        load_train_config(file)

    assert str(error.value) == (
        f"{file}: churn_loss.positive: found 1.0, "
        "expected a weight other than 1, or kind cross_entropy. Correct one of them."
    )


def test_the_cross_entropy_has_no_gamma(changed):
    """A focusing that nothing would read is refused."""
    file = changed(purchase_loss={"kind": "cross_entropy", "gamma": 2.0})

    with pytest.raises(UnknownKeyError) as error:
        load_train_config(file)

    assert str(error.value) == (
        f"{file}: found the key 'purchase_loss.gamma', expected one of kind. "
        "Correct the spelling or remove the key."
    )


def test_an_unknown_key_names_its_neighbours(changed):
    """A misspelt key is an error that lists what is known in its section."""
    file = changed(loss_weights__purchse=1.0)

    with pytest.raises(UnknownKeyError) as error:
        load_train_config(file)

    assert str(error.value) == (
        f"{file}: found the key 'loss_weights.purchse', "
        "expected one of churn, items, next_event_type, next_item, purchase, spend. "
        "Did you mean purchase? Correct the spelling or remove the key."
    )


def test_heads_share_the_width_evenly(changed):
    """A width that the heads cannot divide is refused before anything is read."""
    file = changed(encoder__dim=30, encoder__num_heads=4)

    with pytest.raises(ConfigError) as error:
        load_train_config(file)

    assert str(error.value) == (
        f"{file}: encoder: found dim 30 and num_heads 4, "
        "expected a dim that num_heads divides. Correct one of them."
    )


def test_no_more_queries_rank_than_are_asked(changed):
    """The queries that rank the catalogue are some of those that are drawn."""
    file = changed(num_queries=2, num_ranked_queries=3)

    with pytest.raises(ConfigError) as error:
        load_train_config(file)

    assert str(error.value) == (
        f"{file}: found num_ranked_queries 3 of num_queries 2, expected at most as many. "
        "Correct one of them."
    )


def test_a_missing_file_names_those_that_are_there():
    """A wrong encoder's name is answered with the right ones."""
    file = PROJECT / "configs" / "models" / "rnn.yaml"

    with pytest.raises(ConfigError) as error:
        load_train_config(file)

    assert str(error.value) == (
        f"{file}: found no such file, expected the configuration of a training. "
        "Choose one of cnn, gru, lstm, transformer."
    )


@pytest.mark.parametrize(
    ("place", "kind", "key", "nearest"),
    [
        ("next_item_loss", {"kind": "in_batch_gbce"}, "calibratoin", "calibration"),
        ("next_item_loss", {"kind": "gbce", "num_negatives": 3}, "calibratoin", "calibration"),
        ("next_item_loss", {"kind": "sampled"}, "num_negative", "num_negatives"),
        ("next_item_loss", {"kind": "in_batch"}, "knd", "kind"),
        ("churn_loss", {"kind": "focal"}, "gama", "gamma"),
        ("purchase_loss", {"kind": "class_weight"}, "postive", "positive"),
    ],
)
def test_a_misspelt_key_is_answered_with_the_keys_of_its_own_section(
    changed, place, kind, key, nearest
):
    """Of the kind that was chosen, and the nearest of them; not that it is missing."""
    file = changed(**{place: {**kind, key: 0.5}})

    with pytest.raises(UnknownKeyError) as error:
        load_train_config(file)

    assert str(error.value).startswith(f"{file}: found the key '{place}.{key}', expected one of ")
    assert nearest in error.value.expected
    assert "epochs" not in error.value.expected
    assert error.value.do.startswith(f"Did you mean {nearest}? ")


def test_every_kind_of_every_section_names_its_own_keys(changed):
    """A list by hand had forgotten a loss: this one is made from the types."""
    unions = {"encoder": EncoderConfig, "next_item_loss": NextItemLoss, "churn_loss": BinaryLoss}
    kinds = [
        (place, kind) for place, union in unions.items() for kind in get_args(get_args(union)[0])
    ]

    assert len(kinds) >= 12
    for place, kind in kinds:
        file = changed(**{place: {"kind": kind.model_fields["kind"].default, "zzz": 1}})
        with pytest.raises(UnknownKeyError) as error:
            load_train_config(file)
        assert error.value.expected == f"one of {', '.join(sorted(kind.model_fields))}"
