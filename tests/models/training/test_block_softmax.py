"""Softmax in blocks agrees with plain sums in float64, and never holds all logits."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models.training import block_softmax
from models.training.block_softmax import mixture_loss, softmax_loss

pytestmark = pytest.mark.torch

GENERATOR = torch.Generator().manual_seed(0)
STATES = torch.randn(3, 4, generator=GENERATOR, dtype=torch.float64)
VECTORS = torch.randn(6, 4, generator=GENERATOR, dtype=torch.float64)
BIASES = torch.randn(6, generator=GENERATOR, dtype=torch.float64)
ROWS, ITEMS = torch.tensor([0, 0, 2]), torch.tensor([1, 4, 5])  # row 1 has no target


def plain_loss(
    weights: Tensor, rows: list[int], items: list[int], own: list[tuple[int, int, Tensor]]
) -> Tensor:
    """The claim itself, a target at a time, from (N, V) weights and (row, item, log weight)."""
    for row, item, value in own:
        weights = weights.index_put(
            (torch.tensor([row]), torch.tensor([item])), value.exp()[None], accumulate=True
        )
    of_row: dict[int, list[Tensor]] = {}
    for row, item in zip(rows, items, strict=True):
        of_row.setdefault(row, []).append(-(weights[row, item] / weights[row].sum()).log())
    means = [torch.stack(losses).mean() for losses in of_row.values()]
    return torch.stack(means).mean() if means else weights.sum() * 0.0


def test_softmax_is_the_mean_over_rows_of_the_mean_over_their_items():
    """Row 0 has two targets, row 1 none, row 2 one: rows count alike."""
    weights = (STATES @ VECTORS.T + BIASES).exp().tolist()
    first = -(math.log(share(weights[0], 1)) + math.log(share(weights[0], 4))) / 2
    last = -math.log(share(weights[2], 5))

    loss = softmax_loss(STATES, VECTORS, BIASES, ROWS, ITEMS)

    assert loss.item() == pytest.approx((first + last) / 2)


def share(weights: list[float], item: int) -> float:
    return weights[item] / sum(weights)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(1, 5)),
    num_targets=st.integers(0, 12),
    num_own=st.integers(0, 8),
    block=st.sampled_from([1, 2, 3, 100]),
    seed=st.integers(0, 1000),
    dtype=st.sampled_from([torch.float64, torch.float32]),
)
def test_losses_and_gradients_are_those_of_plain_sums(
    shape, num_targets, num_own, block, seed, dtype
):
    """Of any shape, targets and own items, and wherever the blocks happen to end."""
    (N, V, D), generator = shape, torch.Generator().manual_seed(seed)
    given_values = [
        torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for size in ((N, D), (V, D), (V,), (num_own,))
    ]
    states, vectors, biases, own = given_values
    rows = torch.randint(N, (num_targets,), generator=generator)
    items = torch.randint(V, (num_targets,), generator=generator)
    places = torch.randperm(N * V, generator=generator)[:num_own]  # an own item is there once
    num_own = len(places)
    own_places = list(zip((places // V).tolist(), (places % V).tolist(), strict=True))
    pairs = zip(rows.tolist(), items.tolist(), strict=True)
    copies = [own_places.index(pair) if pair in own_places else -1 for pair in pairs]
    weights = (states.double() @ vectors.double().T + biases.double()).exp()
    own_items = [(*place, own.double()[n]) for n, place in enumerate(own_places)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_softmax, "FEWEST_ROWS", block)
        patch.setattr(block_softmax, "CPU_BLOCK", 1)
        full = softmax_loss(states, vectors, biases, rows, items)
        mixed = mixture_loss(
            states,
            vectors,
            biases,
            own[:num_own],
            places // V,
            rows=rows,
            items=items,
            copies=torch.tensor(copies, dtype=torch.int64),
        )

    plain = plain_loss(weights, rows.tolist(), items.tolist(), [])
    expected = plain_loss(weights, rows.tolist(), items.tolist(), own_items)
    exactness = {"rtol": 1e-9, "atol": 1e-9} if dtype == torch.float64 else {}
    for found, truth in ((full, plain), (mixed, expected)):
        torch.testing.assert_close(found, truth.to(dtype), **exactness)
        torch.testing.assert_close(gradients(found, given_values), gradients(truth, given_values))


def gradients(loss: Tensor, values: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(loss, values, retain_graph=True, materialize_grads=True))


def test_a_target_without_a_share_still_has_its_whole_loss():
    """A target 400 below the best item underflows in float32; its loss does not."""
    states = torch.tensor([[1.0]], requires_grad=True)
    vectors = torch.tensor([[400.0], [0.0], [399.0]])

    loss = softmax_loss(states, vectors, torch.zeros(3), torch.tensor([0]), torch.tensor([1]))
    loss.backward()

    assert loss.item() == pytest.approx(400.0 + math.log1p(math.exp(-1.0)), rel=1e-6)
    assert states.grad.item() == pytest.approx(400.0 - 1.0 / (1.0 + math.e), rel=1e-4)


def test_no_tensor_ever_holds_the_logits_of_all_rows():
    """4,096 rows and 1,000 items: forward and backward hold a block of logits, not 4 million."""
    states = torch.randn(4096, 8, requires_grad=True)
    vectors = torch.randn(1000, 8, requires_grad=True)
    rows, items = torch.arange(4096), torch.randint(1000, (4096,))

    with LargestTensor() as full, pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_softmax, "CPU_BLOCK", 100_000)
        softmax_loss(states, vectors, torch.zeros(1000), rows, items).backward()
    with LargestTensor() as plain:
        torch.nn.functional.cross_entropy(states @ vectors.T, items).backward()

    assert plain.numbers == 4096 * 1000
    assert full.numbers == 100 * 1000


class LargestTensor(TorchDispatchMode):
    """The most numbers that any tensor made meanwhile holds, in backward passes too."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, tuple | list) else (made,):
            if isinstance(each, Tensor):
                self.numbers = max(self.numbers, each.numel())
        return made
