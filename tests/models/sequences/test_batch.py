"""Tokens: pooled baskets, queries between them, and the same for training as for scoring."""

from datetime import date

import numpy as np
import pytest
import torch

from models.sequences.batch import BatchBuilder
from models.sequences.history import Histories
from models.sequences.vocabulary import Encoder, Vocabulary

pytestmark = pytest.mark.torch

EVENTS = [
    ("u", "2017-03-01T10:00:00", "apple", 1.0),
    ("u", "2017-03-01T10:00:00", "bread", 2.0),
    ("u", "2017-03-05T11:00:00", "apple", 1.0),
    ("u", "2017-03-20T12:00:00", "cream", 3.0),
    ("v", "2017-03-02T09:00:00", "bread", 2.0),
]
DAYS = {name: np.array([day.toordinal()]) for name, day in {
    "early": date(2017, 3, 4), "late": date(2017, 3, 10), "end": date(2017, 4, 1)
}.items()}  # fmt: skip
ME = np.zeros(1, dtype=np.int64)


@pytest.fixture
def build(sequences, zone):
    def build_from(events, *, max_length=8) -> BatchBuilder:
        histories = Histories.from_arrow(sequences(events))
        vocabulary = Vocabulary.of(Histories.from_arrow(sequences(EVENTS)), min_item_count=1)
        return BatchBuilder(histories, Encoder(vocabulary), max_length=max_length, zone=zone)

    return build_from


def test_the_lines_of_a_basket_are_one_token(build):
    """Four events of three instants are three tokens, and the query is the fourth."""
    batch, layout = build(EVENTS).build(ME, ME, DAYS["end"])

    assert batch.is_query.tolist() == [[False, False, False, True]]
    assert batch.event_offsets.tolist() == [0, 2, 3]
    assert layout.event_counts.tolist() == [2, 1, 1]


def test_a_query_stands_between_what_it_sees_and_what_it_does_not(build):
    """Queries of any order go to their places; those of one moment stand side by side."""
    builder = build(EVENTS)
    days = np.concatenate([DAYS["end"], DAYS["early"], DAYS["late"], DAYS["early"]])

    batch, _ = builder.build(ME, np.zeros(4, dtype=np.int64), days)

    assert batch.is_query.tolist() == [[False, True, True, False, True, False, True]]
    assert batch.query_slots.tolist() == [6, 1, 4, 2]


def test_training_and_scoring_build_the_same_tokens(build):
    """The history before a query is the same whether later events exist, or other queries, or none.

    Training asks in the middle of a whole history; scoring has only what came before the cutoff.
    """
    whole, cut = build(EVENTS), build(EVENTS[:3])
    both = np.concatenate([DAYS["late"], DAYS["end"]])

    training, _ = whole.build(ME, np.zeros(2, dtype=np.int64), both)
    scoring, _ = cut.build(ME, ME, DAYS["late"])

    seen = training.instant_slots < training.query_slots[0]
    torch.testing.assert_close(training.instant_features[seen], scoring.instant_features)
    torch.testing.assert_close(training.event_items[:3], scoring.event_items)
    torch.testing.assert_close(training.event_amounts[:3], scoring.event_amounts)
    torch.testing.assert_close(training.query_features[:1], scoring.query_features)
    mine = training.copy_queries == 0
    torch.testing.assert_close(training.copy_items[mine], scoring.copy_items)
    torch.testing.assert_close(training.copy_features[mine], scoring.copy_features)


def test_an_event_at_the_cutoff_is_no_candidate_and_no_feature(build):
    """00:00 of the cutoff belongs to the labels in every part of a batch."""
    at_cutoff = [*EVENTS[:3], ("u", "2017-03-10T00:00:00", "cream", 3.0)]

    batch, _ = build(at_cutoff).build(ME, ME, DAYS["late"])
    plain, _ = build(EVENTS[:3]).build(ME, ME, DAYS["late"])

    assert batch.is_query.tolist() == plain.is_query.tolist()
    torch.testing.assert_close(batch.query_features, plain.query_features)
    assert batch.copy_items.tolist() == plain.copy_items.tolist()


def test_only_the_latest_instants_are_read(build):
    """A long history is cut at its old end; what the query's features say is of all of it."""
    batch, layout = build(EVENTS, max_length=2).build(ME, ME, DAYS["end"])
    whole, _ = build(EVENTS).build(ME, ME, DAYS["end"])

    assert layout.instants.tolist() == [1, 2]
    torch.testing.assert_close(batch.query_features, whole.query_features)


def test_hours_and_weekdays_are_local(build):
    """10:00 in New York on a Wednesday is that in winter and in summer."""
    events = [
        ("u", "2017-01-04T10:00:00", "apple", 1.0),
        ("u", "2017-07-05T10:00:00", "apple", 1.0),
    ]

    batch, _ = build(events).build(ME, ME, np.array([date(2017, 8, 1).toordinal()]))

    winter, summer = batch.instant_features[:, 3:7]
    torch.testing.assert_close(winter, summer)
    assert winter[0].item() == pytest.approx(np.sin(2 * np.pi * 10 / 24), abs=1e-6)
    assert winter[2].item() == pytest.approx(np.sin(2 * np.pi * 2 / 7), abs=1e-6)
    assert batch.query_weekdays.tolist() == [1]  # 2017-08-01 was a Tuesday
