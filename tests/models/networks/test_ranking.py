"""The best items of a catalogue, chunk by chunk: the same as of all scores at once."""

import pytest
import torch
from torch import Tensor

from models.networks import ranking
from models.networks.ranking import BLOCK, Best, Catalogue, Pairs, Ranking

pytestmark = pytest.mark.torch

B, D, K = 5, 8, 10
NONE = Pairs(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))
UNKNOWN = torch.zeros(1, dtype=torch.long)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four blocks a chunk, so that a catalogue of some hundred items is many chunks."""
    monkeypatch.setattr(ranking, "CHUNK", 4 * BLOCK)


def made(V: int) -> tuple[Tensor, Tensor, Tensor]:
    """(B, D) wanted, (V, D) vectors, (V,) biases of which the unknown item's is none."""
    generator = torch.Generator().manual_seed(V)
    wanted, vectors, biases = (
        torch.randn(size, generator=generator) for size in ((B, D), (V, D), (V,))
    )
    biases[0] = -1e4
    return wanted, vectors, biases


def own_items(V: int) -> tuple[Pairs, Tensor]:
    """Three items of each user, one in the first chunk and one in the last, and their weights."""
    users = torch.arange(B).repeat_interleave(3)
    items = torch.stack([torch.arange(B) + 1, torch.arange(B) + V // 2, V - 1 - torch.arange(B)])
    return Pairs(users, items.T.flatten()), torch.linspace(-2.0, 6.0, 3 * B)


def all_at_once(wanted: Tensor, vectors: Tensor, biases: Tensor, own: Pairs, weights: Tensor):
    """-> (B, V) probabilities"""
    logits = wanted @ vectors.T + biases
    places = (own.users, own.items)
    logits[places] = torch.logaddexp(logits[places], weights)
    return logits.softmax(dim=1)


def best_of(V: int, hidden: Tensor = UNKNOWN, excluded: Pairs = NONE) -> tuple[Best, Tensor]:
    """What a ranking finds, and all probabilities."""
    wanted, vectors, biases = made(V)
    own, weights = own_items(V)
    found = Ranking(Catalogue(vectors, biases), hidden, max_users=B, k=K)
    everything = all_at_once(wanted, vectors, biases, own, weights)
    return found.best(wanted, own, weights, excluded), everything


@pytest.mark.parametrize("V", [12, 4 * BLOCK, 4 * BLOCK + 1, 1000, 3001])
def test_the_best_items_are_those_of_all_scores_at_once(V):
    """Whatever the number of chunks, and where the last one ends; with their probabilities."""
    found, everything = best_of(V)
    expected = everything[:, 1:].topk(min(K, V - 1), dim=1)

    assert found.items.tolist() == (expected.indices + 1).tolist()
    torch.testing.assert_close(found.probabilities, expected.values, rtol=1e-5, atol=1e-7)


def test_a_second_batch_is_not_disturbed_by_the_first():
    """The memory is used again, by fewer users too."""
    wanted, vectors, biases = made(1000)
    one = Ranking(Catalogue(vectors, biases), UNKNOWN, max_users=B, k=K)

    whole = one.best(wanted, NONE, torch.zeros(0), NONE)
    again = one.best(wanted[2:3], NONE, torch.zeros(0), NONE)

    assert again.items.tolist() == whole.items[2:3].tolist()
    torch.testing.assert_close(again.probabilities, whole.probabilities[2:3])


def test_an_excluded_item_is_not_offered_and_keeps_its_share():
    """The next best moves up; nobody else's probability changes."""
    usual, everything = best_of(1000)
    first = usual.items[:, 0]
    excluded, _ = best_of(1000, excluded=Pairs(torch.arange(B), first))
    hidden, _ = best_of(1000, hidden=torch.cat([UNKNOWN, first.unique()]))

    assert excluded.items[:, :-1].tolist() == usual.items[:, 1:].tolist()
    torch.testing.assert_close(excluded.probabilities[:, :-1], usual.probabilities[:, 1:])
    assert not {*first.tolist()} & {*hidden.items.flatten().tolist()}
    torch.testing.assert_close(hidden.probabilities, everything.gather(1, hidden.items))


def test_where_too_few_may_be_offered_the_rest_is_nothing():
    """Eleven items, of which the first user had nine: two are left."""
    had = Pairs(torch.zeros(9, dtype=torch.long), torch.arange(1, 10))
    found, everything = best_of(12, excluded=had)

    assert {*found.items[0, :2].tolist()} == {10, 11}
    assert found.items[0, 2:].tolist() == [0] * 8
    assert found.probabilities[0, 2:].tolist() == [0.0] * 8
    torch.testing.assert_close(found.probabilities[1], everything[1, 1:].topk(K).values)
