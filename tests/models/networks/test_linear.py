"""Products by oneDNN are those of plain sums, forward and backward."""

import pytest
import torch

from models.networks import linear
from models.networks.linear import Linear, product

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("widths", [(5, 9), (9, 5), (16, 16), (1, 3)])
@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 2), (0,)])
def test_states_and_gradients_are_those_of_float64(widths, shape):
    """Whichever of the two widths is the larger, and however the rows are arranged."""
    torch.manual_seed(0)
    layer = Linear(*widths)
    x = torch.randn(*shape, widths[0], requires_grad=True)
    seed = torch.randn(*shape, widths[1])

    made = layer(x)
    found = torch.autograd.grad(made, [x, layer.weight, layer.bias], seed)

    rows, wanted = x.detach().double().flatten(0, -2), seed.double().flatten(0, -2)
    weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
    plain = (rows @ weight.T + bias).reshape(seed.shape)
    gradients = [(wanted @ weight).reshape(x.shape), wanted.T @ rows, wanted.sum(dim=0)]
    torch.testing.assert_close(made, plain.float())
    torch.testing.assert_close(list(found), [each.float() for each in gradients])


def test_without_onednn_the_product_is_the_same(monkeypatch):
    """A processor or a PyTorch that has none of it takes the common way."""
    x, weight, bias = torch.randn(6, 5), torch.randn(4, 5), torch.randn(4)
    made = [product(x, weight, bias), product(x.double(), weight.double())]

    monkeypatch.setattr(linear, "_HAS_ONEDNN", False)

    torch.testing.assert_close(product(x, weight, bias), made[0])
    torch.testing.assert_close(product(x.double(), weight.double()), made[1])


def test_a_transposed_view_is_read_as_it_is():
    """The full softmax hands its shares over as they lie, without a copy."""
    x, weight = torch.randn(5, 6), torch.randn(6, 8)

    torch.testing.assert_close(product(x, weight.T), x @ weight)
