"""What every encoder promises, checked on every encoder."""

import pytest
import torch
from torch import Tensor, nn

from models.config import CNNConfig, GRUConfig, LSTMConfig, TransformerConfig
from models.networks.encoders import build_encoder

pytestmark = pytest.mark.torch

SMALL = {"max_length": 8, "dim": 8, "dropout": 0.0}
CONFIGS = [
    LSTMConfig(**SMALL, num_layers=2),
    GRUConfig(**SMALL, num_layers=1),
    CNNConfig(**SMALL, num_layers=2, kernel_size=3),
    TransformerConfig(**SMALL, num_layers=2, num_heads=2),
]


@pytest.fixture(params=CONFIGS, ids=lambda config: config.kind)
def encoder(request) -> nn.Module:
    torch.manual_seed(0)
    return build_encoder(request.param).eval()


def tokens_of(*names: str) -> tuple[Tensor, Tensor]:
    """Tokens by letter, the same letter the same token; `?x` is a query. -> (1, T, D), (1, T)"""
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(26, 8, generator=generator)
    rows = [table[ord(name[-1]) - ord("a")] for name in names]
    return torch.stack(rows)[None], torch.tensor([[name.startswith("?") for name in names]])


def encode(encoder: nn.Module, *names: str) -> Tensor:
    """-> (T, D)"""
    tokens, is_query = tokens_of(*names)
    return encoder(tokens, is_query, torch.tensor([len(names)]))[0]


def test_the_list_of_encoders_is_whole():
    """An encoder that is not in this list would be promised and not checked."""
    kinds = {config.kind for config in CONFIGS}

    assert kinds == {"lstm", "gru", "cnn", "transformer"}


def test_a_later_event_never_changes_an_earlier_state(encoder):
    """The state of a token depends on what came up to it: the future does not leak."""
    before = encode(encoder, "a", "?q", "b", "c")
    after = encode(encoder, "a", "?q", "b", "d")

    torch.testing.assert_close(after[:3], before[:3])
    assert not torch.allclose(after[3], before[3])


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_a_query_sees_every_instant_before_it(encoder, changed):
    """Whatever changes in the history changes the answer."""
    names = ["a", "b", "c", "?q"]
    others = [*names]
    others[changed] = "z"

    assert not torch.allclose(encode(encoder, *names)[3], encode(encoder, *others)[3])


def test_nothing_sees_a_query(encoder):
    """Asking more often, or otherwise, changes no other token's state."""
    plain = encode(encoder, "a", "b", "c", "?q")
    asked = encode(encoder, "?q", "a", "?r", "b", "?s", "?s", "c", "?q")

    torch.testing.assert_close(asked[[1, 3, 6, 7]], plain)


def test_instants_alone_have_the_states_that_they_have_beside_queries(encoder):
    """A batch in which nobody asks takes a shorter way to the same states."""
    asked = encode(encoder, "a", "?q", "b", "c", "?r")

    torch.testing.assert_close(encode(encoder, "a", "b", "c"), asked[[0, 2, 3]])


def test_a_query_sees_nothing_after_it(encoder):
    """The state of a query in the middle is that of one at the end of a shorter history."""
    middle = encode(encoder, "a", "b", "?q", "c", "d")
    end = encode(encoder, "a", "b", "?q")

    torch.testing.assert_close(middle[2], end[2])


def test_padding_and_the_other_users_of_a_batch_change_nothing(encoder):
    """A user's states are the same alone and beside a longer user."""
    short, longer = ("a", "?q", "b"), ("c", "d", "e", "?r", "f", "g")
    tokens, is_query = torch.zeros(2, 6, 8), torch.zeros(2, 6, dtype=torch.bool)
    tokens[0, :3], is_query[0, :3] = (part[0] for part in tokens_of(*short))
    tokens[1], is_query[1] = (part[0] for part in tokens_of(*longer))
    tokens[0, 3:] = 7.0  # what lies in the padding must not matter

    together = encoder(tokens, is_query, torch.tensor([3, 6]))

    torch.testing.assert_close(together[0, :3], encode(encoder, *short))
    torch.testing.assert_close(together[1], encode(encoder, *longer))


def test_the_state_of_the_last_token_alone_is_that_of_the_whole(encoder):
    """Scoring asks each user once, after all instants, and takes a shorter way to the answer."""
    users = [("a", "b", "c", "d", "?q"), ("e", "f", "?r"), ("?s",)]
    tokens, is_query = torch.zeros(3, 5, 8), torch.zeros(3, 5, dtype=torch.bool)
    for row, names in enumerate(users):
        tokens[row, : len(names)], is_query[row, : len(names)] = (
            part[0] for part in tokens_of(*names)
        )
        tokens[row, len(names) :] = 7.0  # what lies in the padding must not matter
    lengths = torch.tensor([len(names) for names in users])

    whole = encoder(tokens, is_query, lengths)[torch.arange(3), lengths - 1]

    torch.testing.assert_close(encoder.latest(tokens, lengths), whole, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(whole[0], whole[1], atol=1e-2)


def test_the_state_of_the_last_token_is_made_where_the_tokens_are(encoder):
    """On another device than the processor nothing is mixed with what lies in its memory."""
    elsewhere = torch.device("meta")
    tokens = torch.zeros(2, 5, 8, device=elsewhere)
    lengths = torch.zeros(2, dtype=torch.long, device=elsewhere)

    assert encoder.to(elsewhere).latest(tokens, lengths).device == elsewhere


def test_the_order_of_instants_matters(encoder):
    """A sequence is more than a set."""
    assert not torch.allclose(
        encode(encoder, "a", "b", "?q")[2], encode(encoder, "b", "a", "?q")[2], atol=1e-4
    )


def test_a_query_with_nothing_before_it_has_an_answer(encoder):
    """A user without history is asked too, and gets finite numbers that depend on the query."""
    first, other = encode(encoder, "?q", "a")[0], encode(encoder, "?r", "a")[0]

    assert torch.isfinite(first).all()
    assert not torch.allclose(first, other)
