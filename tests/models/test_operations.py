"""The lean operations against plain expressions: values and gradients, in double precision."""

import pytest
import torch
from torch.nn import functional

from codekiln.models.dense_config import LlamaConfig
from codekiln.models.loss import CHUNK_TOKENS, cross_entropy
from codekiln.models.operations import rms_norm, silu_gate
from codekiln.models.positions import LinearScaling
from codekiln.models.rope import RotaryTable, rotate


def _gradients(result: torch.Tensor, *inputs: torch.Tensor) -> list[torch.Tensor]:
    weights = torch.linspace(-1, 1, result.numel()).view_as(result).to(result.dtype)
    return list(torch.autograd.grad((result * weights).sum(), inputs))


def test_rms_norm_and_its_gradients() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(3, 5, 16, requires_grad=True)
    weight = torch.randn(16, requires_grad=True)
    ours = rms_norm(hidden, weight, 1e-3, torch.float32)
    plain = functional.rms_norm(hidden, (16,), weight, 1e-3)
    torch.testing.assert_close(ours, plain, atol=1e-6, rtol=1e-6)
    for a, b in zip(
        _gradients(ours, hidden, weight), _gradients(plain, hidden, weight), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_rms_norm_of_zeros_and_of_an_expanded_gradient() -> None:
    hidden = torch.zeros(2, 8, requires_grad=True)
    weight = torch.ones(8, requires_grad=True)
    rms_norm(hidden, weight, 1e-6, torch.float32).sum().backward()
    assert hidden.grad is not None
    assert torch.isfinite(hidden.grad).all()


def test_rms_norm_of_bf16_is_computed_wide() -> None:
    torch.manual_seed(0)
    hidden = (torch.randn(4, 256) * 30).bfloat16()
    ours = rms_norm(hidden, torch.ones(256), 1e-6, torch.bfloat16)
    exact = functional.rms_norm(hidden.double(), (256,), None, 1e-6)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours, exact.bfloat16(), atol=0, rtol=2**-7)


def test_silu_gate_and_its_gradients() -> None:
    torch.manual_seed(0)
    gate, up = (torch.randn(4, 7, requires_grad=True) for _ in range(2))
    ours, plain = silu_gate(gate, up), functional.silu(gate) * up
    torch.testing.assert_close(ours, plain)
    for a, b in zip(_gradients(ours, gate, up), _gradients(plain, gate, up), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


SHAPE = {"vocab_size": 9, "hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1}


@pytest.mark.parametrize("factor", [None, 4.0])
def test_rotation_is_multiplication_by_a_complex_angle(factor: float | None) -> None:
    scaling = None if factor is None else LinearScaling(factor=factor)
    config = LlamaConfig(**SHAPE, num_attention_heads=2, rope_theta=100.0, rope_scaling=scaling)
    torch.manual_seed(0)
    heads = torch.randn(2, 6, 2, 8, requires_grad=True)
    turned = rotate(heads, *RotaryTable(config)(None, 3, 6, heads.device), torch.float32)
    pairs = torch.complex(heads[..., :4], heads[..., 4:])
    speed = torch.tensor([100.0 ** (-i / 4) for i in range(4)])
    angle = torch.arange(3, 9)[:, None] * speed / (factor or 1.0)
    expected = pairs * torch.polar(torch.ones_like(angle), angle)[None, :, None]
    expected = torch.cat((expected.real, expected.imag), -1)
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=1e-5)
    a, b = _gradients(turned, heads)[0], _gradients(expected, heads)[0]
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_positions_pick_their_angles_beyond_the_first_table() -> None:
    config = LlamaConfig(**SHAPE, num_attention_heads=2)
    table = RotaryTable(config)
    table(None, 0, 4, torch.device("cpu"))
    counted = table(None, 5000, 3, torch.device("cpu"))
    picked = table(torch.tensor([[5000, 5001, 5002]]), 0, 3, torch.device("cpu"))
    for a, b in zip(counted, picked, strict=True):
        assert torch.equal(a, b)
        assert a.shape == (1, 3, 1, 4)


@pytest.mark.parametrize("tokens", [1, 2 * CHUNK_TOKENS["cpu"] + 3])
def test_chunked_cross_entropy_equals_the_plain_one(tokens: int) -> None:
    torch.manual_seed(0)
    vocabulary = 50
    hidden = torch.randn(tokens, 8, requires_grad=True)
    weight = torch.randn(vocabulary, 8, requires_grad=True)
    targets = torch.randint(0, vocabulary, (tokens,))
    if tokens > 1:
        targets[::7] = -100
    ours = cross_entropy(hidden, weight, targets, torch.float32)
    plain = functional.cross_entropy(hidden @ weight.T, targets)
    torch.testing.assert_close(ours, plain, atol=1e-6, rtol=1e-6)
    inputs = (hidden, weight)
    for a, b in zip(
        torch.autograd.grad(3 * ours, inputs), torch.autograd.grad(3 * plain, inputs), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_without_gradients_the_loss_is_the_same() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(10, 4, requires_grad=True), torch.randn(11, 4)
    targets = torch.randint(0, 11, (10,))
    with_gradients = cross_entropy(hidden, weight, targets, torch.float32)
    with torch.no_grad():
        assert torch.equal(
            cross_entropy(hidden, weight, targets, torch.float32), with_gradients.detach()
        )


@pytest.mark.parametrize(("learns", "frozen"), [(0, 1), (1, 0)])
def test_what_does_not_learn_gets_no_gradient(learns: int, frozen: int) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(10, 4, requires_grad=True), torch.randn(11, 4, requires_grad=True)]
    targets = torch.randint(0, 11, (10,))
    (wanted,) = torch.autograd.grad(
        functional.cross_entropy(inputs[0] @ inputs[1].T, targets), inputs[learns]
    )
    inputs[frozen].requires_grad_(False)
    cross_entropy(inputs[0], inputs[1], targets, torch.float32).backward()
    torch.testing.assert_close(inputs[learns].grad, wanted, atol=1e-6, rtol=1e-5)
    assert inputs[frozen].grad is None


def test_only_ignored_targets_give_zero_and_no_nan() -> None:
    hidden, weight = torch.randn(4, 3, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    loss = cross_entropy(hidden, weight, torch.full((4,), -100), torch.float32)
    loss.backward()
    assert loss.item() == 0.0
    assert not hidden.grad.any()
    assert not weight.grad.any()
