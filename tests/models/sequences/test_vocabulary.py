"""What the network calls things, and how that grows without renaming anything."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from contracts.errors import DamagedModelError
from contracts.exclusions import Exclusions
from models.sequences.census import Census
from models.sequences.history import Histories
from models.sequences.vocabulary import Encoder, Vocabulary

OLD = Vocabulary(
    item_ids=("pear", "apple", "nameless"),
    item_categories=(2, 1, 0),
    categories=("APPLE", "PEAR"),
    event_types=("purchase",),
    amount_edges=(1e-9, 2.0),
    quantity_edges=(1e-9, 2.0),
    text_buckets=0,
)


def found(rows, min_item_count=1) -> Vocabulary:
    return Vocabulary.of(Histories.from_arrow(rows), min_item_count=min_item_count)


def test_what_is_known_keeps_its_number_and_what_is_new_comes_after(sequences):
    """An index is shared by versions: an item that came first stays first, whatever sells now."""
    rows = [("u", f"2017-01-{day:02}T10:00:00", "cream", 1.0) for day in range(1, 9)]
    rows += [("u", "2017-02-01T10:00:00", "apple", -3.0), ("v", "2017-02-02T10:00:00", "bread", 1)]

    grown = OLD.grown(found(sequences(rows)))

    assert grown.item_ids == ("pear", "apple", "nameless", "cream", "bread")
    assert grown.categories == ("APPLE", "PEAR", "BREAD", "CREAM")
    assert grown.item_categories == (2, 1, 0, 4, 3)
    assert grown.event_types == ("purchase", "return")
    assert grown.amount_edges == OLD.amount_edges
    assert grown.quantity_edges == OLD.quantity_edges


def test_a_category_that_was_not_known_is_learnt_later(sequences):
    """An item whose log once named no category takes the one it has now; others keep theirs."""
    rows = [
        ("u", "2017-02-01T10:00:00", "nameless", 1.0),
        ("u", "2017-02-02T10:00:00", "pear", 1.0),
    ]

    grown = OLD.grown(found(sequences(rows)))

    assert grown.categories == ("APPLE", "PEAR", "NAMELESS")
    assert grown.item_categories == (2, 1, 3)


def test_a_rare_new_item_waits(sequences):
    """A new item enters the catalogue with as many events as any."""
    rows = [("u", "2017-02-01T10:00:00", "cream", 1.0)]

    grown = OLD.grown(found(sequences(rows), min_item_count=2))

    assert grown.item_ids == OLD.item_ids


def test_what_is_excluded_gets_no_number_and_is_read_by_its_category(sequences):
    """So it is no target, no negative, no candidate and no recommendation, and still a purchase."""
    rows = [
        ("u", f"2017-01-0{day}T10:00:00", item, 5.0) for day, item in enumerate(("fuel", "pear"), 1)
    ]
    log = Histories.from_arrow(sequences(rows))
    rules = Exclusions(categories=("FUEL",))
    vocabulary = Vocabulary.counted(
        Census.of(log),
        amounts=log.amounts,
        quantities=log.quantities,
        min_item_count=1,
        text_buckets=0,
        exclusions=rules,
    )
    events = Encoder(vocabulary).encode(log)

    assert vocabulary.item_ids == ("pear",)
    assert vocabulary.categories == ("FUEL", "PEAR")
    assert (events.items.tolist(), events.categories.tolist()) == ([0, 1], [1, 2])


def test_an_item_that_was_known_and_is_excluded_keeps_its_number_and_is_not_read(tmp_path):
    """A version that goes on from another has its weights; the number answers to nobody."""
    vocabulary = OLD.without(Exclusions(item_ids=("pear",), categories=("APPLE",)))
    census = Census(Counter({"pear": 5, "apple": 4, "nameless": 3}))
    vocabulary.save(tmp_path)
    loaded = Vocabulary.load(tmp_path)

    assert loaded == vocabulary
    assert loaded.item_ids == OLD.item_ids
    assert Encoder(loaded).items == {"nameless": 3}
    assert loaded.counts(census).tolist() == [9, 0, 0, 3]
    assert loaded.grown(OLD).without(Exclusions()).excluded_items == ()


@pytest.mark.parametrize("number", ["amounts", "quantities"])
def test_a_number_is_told_by_its_bucket(sequences, number):
    """None and less are one bucket; one, a few and a crate are three, whatever else was sold."""
    rows = [("u", f"2017-01-{day:02}T10:00:00", "apple", 1.0) for day in range(1, 31)]
    values = np.asarray([-1.0, 0.0] + [1.0] * 18 + [3.0] * 6 + [24.0] * 4)
    log = replace(Histories.from_arrow(sequences(rows)), **{number: values})
    vocabulary = Vocabulary.of(log, min_item_count=1)

    buckets = getattr(Encoder(vocabulary).encode(log), number)

    assert [len(set(buckets[part])) for part in np.split(np.arange(30), [2, 20, 26])] == [1] * 4
    assert len(set(buckets)) == 4


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"item_ids": ["pear", "pear", "nameless"]}, "a name twice in item_ids"),
        ({"item_ids": ["pear", 2, "nameless"]}, "item_ids of another kind"),
        ({"item_ids": "pear"}, "item_ids of another kind"),
        ({"item_ids": ["pear"]}, "3 categories of 1 items"),
        ({"item_categories": [2, 3, 0]}, "an item of a category that is not there"),
        ({"item_categories": [2, -1, 0]}, "an item of a category that is not there"),
        ({"text_buckets": -1}, "text_buckets -1"),
        ({"excluded_items": [4]}, "an excluded item that is not there"),
        ({"command": "rm"}, "other keys"),
    ],
)
def test_an_index_that_no_training_writes_is_refused_by_name(tmp_path, change, found):
    """Whoever edits it by hand is told what is wrong, and nothing is scored with it."""
    OLD.save(tmp_path)
    file = tmp_path / "item_index.json"
    assert Vocabulary.load(tmp_path) == OLD
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(DamagedModelError) as raised:
        Vocabulary.load(tmp_path)

    assert str(raised.value).startswith(f"{file}: found {found}, expected ")
    assert raised.value.exit_code == 3


def test_an_index_of_before_exclusions_is_read(tmp_path):
    """What has a default may be missing."""
    OLD.save(tmp_path)
    file = tmp_path / "item_index.json"
    written = json.loads(file.read_text())
    del written["excluded_items"]
    file.write_text(json.dumps(written))

    assert Vocabulary.load(tmp_path) == OLD
