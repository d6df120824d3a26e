"""The layer's product by oneDNN: present in this PyTorch, equal to the plain one."""

import pytest
import torch
from torch.nn import functional

from codekiln.models import product as module
from codekiln.models.product import FEWEST_ROWS, onednn_product, product


@pytest.fixture
def onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take oneDNN on any processor, as if it were AMD's."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("PyTorch without oneDNN")
    monkeypatch.setattr(module, "onednn_is_faster", lambda: True)


def test_this_pytorch_has_the_operator() -> None:
    """It is not public: a release that drops it would only make training slower, silently."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("PyTorch without oneDNN")
    out = onednn_product(torch.eye(3), torch.arange(6.0).view(2, 3))
    assert torch.equal(out, torch.arange(6.0).view(2, 3).T)


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("needs", [(True, True), (True, False), (False, True)])
def test_values_and_gradients(needs: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(
        module, "onednn_product", lambda x, w: calls.append(1) or onednn_product(x, w)
    )
    torch.manual_seed(0)
    inputs = torch.randn(2, FEWEST_ROWS, 24, requires_grad=needs[0])
    weight = torch.randn(40, 24, requires_grad=needs[1])
    ours, plain = product(inputs, weight), functional.linear(inputs, weight)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    wanted = [tensor for tensor, need in zip((inputs, weight), needs, strict=True) if need]
    direction = torch.randn_like(plain)
    for a, b in zip(
        torch.autograd.grad(ours, wanted, direction),
        torch.autograd.grad(plain, wanted, direction),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-5)
    assert len(calls) == 1 + needs[0]


@pytest.mark.usefixtures("onednn")
def test_few_rows_other_dtypes_and_autocast_take_the_plain_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "onednn_product", None)  # calling it would fail
    weight = torch.randn(5, 8)
    assert product(torch.randn(FEWEST_ROWS - 1, 8), weight).shape == (FEWEST_ROWS - 1, 5)
    many = torch.randn(2 * FEWEST_ROWS, 8)
    assert product(many.bfloat16(), weight.bfloat16()).dtype == torch.bfloat16
    assert product(many.double(), weight.double()).dtype == torch.float64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert product(many, weight).dtype == torch.bfloat16


@pytest.mark.usefixtures("onednn")
def test_the_same_product_twice_is_bit_equal() -> None:
    torch.manual_seed(0)
    inputs, weight = torch.randn(300, 64), torch.randn(96, 64)
    assert torch.equal(product(inputs, weight), product(inputs, weight))
