"""Copy candidates: a user's own past items, and what is said of each."""

from datetime import date

import numpy as np
import pytest

from contracts.windows import instant
from models.sequences.copying import LOG_SHARE, CopyCandidates
from models.sequences.features import AsOfFeatures
from models.sequences.history import Histories, microseconds
from models.sequences.instants import Instants


@pytest.fixture
def candidates_at(zone):
    def found(table, cutoff):
        histories = Histories.from_arrow(table)
        features = AsOfFeatures(histories, Instants.of(histories))
        candidates = CopyCandidates(histories, histories.item_codes + 1, features)
        users = np.arange(len(histories))
        moments = np.full(len(users), microseconds(instant(cutoff, zone)))
        copies = candidates.at(users, moments)
        names = [str(histories.item_ids[item - 1]) for item in copies.items]
        return copies, names

    return found


def test_two_lines_of_one_item_in_a_basket_are_one_purchase(sequences, candidates_at):
    """How often an item is bought is counted in baskets."""
    table = sequences(
        [
            ("u", "2017-03-01T10:00:00", "apple", 1.0),
            ("u", "2017-03-01T10:00:00", "apple", 1.0),
            ("u", "2017-03-08T10:00:00", "apple", 1.0),
            ("u", "2017-03-08T10:00:00", "bread", 1.0),
        ]
    )

    copies, names = candidates_at(table, date(2017, 3, 15))

    assert dict(zip(names, np.expm1(copies.features[:, 1]).round(4), strict=True)) == {
        "apple": 2.0,
        "bread": 1.0,
    }


def test_shares_of_a_user_sum_to_one_and_favour_what_is_recent(sequences, candidates_at):
    """What was bought as often but lately has the larger share."""
    table = sequences(
        [
            ("u", "2017-01-01T10:00:00", "apple", 1.0),
            ("u", "2017-03-01T10:00:00", "bread", 1.0),
            ("v", "2017-03-01T10:00:00", "bread", 1.0),
        ]
    )

    copies, names = candidates_at(table, date(2017, 3, 2))

    shares = np.exp(copies.features[:, LOG_SHARE])
    np.testing.assert_allclose(np.bincount(copies.queries, weights=shares), [1.0, 1.0], rtol=1e-5)
    assert shares[names.index("bread")] > shares[names.index("apple")]


def test_only_items_before_the_moment_are_candidates(sequences, candidates_at):
    """What a user buys later is not known yet; a user without history has no candidate."""
    table = sequences(
        [("u", "2017-03-01T10:00:00", "apple", 1.0), ("u", "2017-03-02T00:00:00", "bread", 1.0)]
    )

    assert candidates_at(table, date(2017, 3, 2))[1] == ["apple"]
    assert candidates_at(table, date(2017, 3, 1))[1] == []
