"""Routed experts against a literal loop in double precision, and against transformers'."""

import functools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from codekiln.models import expert_products, experts
from codekiln.models.experts import routed
from codekiln.models.product import FEWEST_ROWS

Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
HIDDEN, INTERMEDIATE = 24, 16


def literal(
    hidden: Tensor, indices: Tensor, weights: Tensor, gate_up: Tensor, down: Tensor
) -> Tensor:
    """The sum as it is written, one token and one expert at a time."""
    rows = []
    for token, chosen, shares in zip(hidden, indices.tolist(), weights, strict=True):
        row = torch.zeros_like(token)
        for expert, share in zip(chosen, shares, strict=True):
            gate, up = (gate_up[expert] @ token).chunk(2)
            row = row + share * (down[expert] @ (gate * torch.sigmoid(gate) * up))
        rows.append(row)
    return torch.stack(rows) if rows else hidden.clone()


def draw(
    tokens: int,
    count: int,
    top_k: int,
    *,
    busy: int | None = None,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    hidden_size: int = HIDDEN,
    intermediate: int = INTERMEDIATE,
) -> Inputs:
    """Inputs whose tokens go to the first `busy` of `count` experts; all but indices want grads."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    scores = normal(tokens, busy or count).softmax(-1)
    weights, indices = scores.topk(top_k, -1, sorted=False)
    hidden = normal(tokens, hidden_size)
    gate_up = normal(count, 2 * intermediate, hidden_size) / hidden_size**0.5
    down = normal(count, hidden_size, intermediate) / intermediate**0.5
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    leaves = (hidden.to(dtype), weights.to(wide), gate_up.to(dtype), down.to(dtype))
    first, *rest = (leaf.requires_grad_() for leaf in leaves)
    return first, indices, *rest


def with_gradients(function: Callable[..., Tensor], inputs: Inputs) -> list[Tensor]:
    """The output and the gradients of hidden, weights, gate_up and down."""
    out = function(*inputs)
    direction = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view_as(out).to(out.dtype)
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    return [out, *torch.autograd.grad(out, wanted, direction, materialize_grads=True)]


def as_doubles(inputs: Inputs) -> Inputs:
    return tuple(
        t.detach().double().requires_grad_() if t.is_floating_point() else t for t in inputs
    )


def distance(found: list[Tensor], exact: list[Tensor]) -> list[float]:
    return [((a.double() - b).norm() / b.norm()).item() for a, b in zip(found, exact, strict=True)]


@settings(deadline=None, max_examples=60)
@given(data=st.data(), tokens=st.integers(0, 9), count=st.integers(1, 7), seed=st.integers(0, 99))
def test_values_and_gradients_are_those_of_the_literal_sum(
    data: st.DataObject, tokens: int, count: int, seed: int
) -> None:
    busy = data.draw(st.integers(1, count))
    top_k = data.draw(st.integers(1, busy))
    inputs = draw(tokens, count, top_k, busy=busy, seed=seed)
    for a, b in zip(with_gradients(routed, inputs), with_gradients(literal, inputs), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("tokens", "count", "top_k", "busy"),
    [(5, 4, 2, None), (6, 4, 1, 1), (1, 4, 3, None), (0, 4, 2, None)],
    ids=["some", "all on one", "one token", "none"],
)
def test_gradcheck(tokens: int, count: int, top_k: int, busy: int | None) -> None:
    inputs = draw(tokens, count, top_k, busy=busy, hidden_size=5, intermediate=3)
    assert torch.autograd.gradcheck(routed, inputs)


def test_single_precision_and_many_rows() -> None:
    inputs = draw(300, 5, 2, dtype=torch.float32)
    errors = distance(with_gradients(routed, inputs), with_gradients(literal, as_doubles(inputs)))
    assert max(errors) < 1e-6


def test_onednn_products_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.skip("PyTorch without oneDNN")
    rows = []
    real = expert_products.onednn_product
    monkeypatch.setattr(expert_products, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(
        expert_products, "onednn_product", lambda x, w: rows.append(len(x)) or real(x, w)
    )
    inputs = draw(300, 5, 2, dtype=torch.float32)
    errors = distance(with_gradients(routed, inputs), with_gradients(literal, as_doubles(inputs)))
    assert max(errors) < 1e-6
    assert len(rows) == 5 * 4
    assert min(rows) >= FEWEST_ROWS


@pytest.mark.parametrize("missing", [0, 2, 3, 4])
def test_what_wants_no_gradient_gets_none_and_the_rest_stay_the_same(missing: int) -> None:
    inputs = draw(7, 4, 2)
    out, *gradients = with_gradients(routed, inputs)
    wanted = [out, *(g for i, g in zip((0, 2, 3, 4), gradients, strict=True) if i != missing)]
    frozen = tuple(t.detach() if i == missing else t for i, t in enumerate(inputs))
    for a, b in zip(with_gradients(routed, frozen), wanted, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("tokens", [0, 2, 9, FEWEST_ROWS * 4])
@pytest.mark.parametrize(("hidden_size", "intermediate"), [(24, 16), (5, 3)])
@pytest.mark.parametrize(
    ("dtype", "most"), [(torch.float64, 1e-14), (torch.float32, 1e-6), (torch.bfloat16, 0.01)]
)
def test_without_gradients_the_values_are_the_same(
    tokens: int, hidden_size: int, intermediate: int, dtype: torch.dtype, most: float
) -> None:
    sizes = {"hidden_size": hidden_size, "intermediate": intermediate}
    inputs = draw(tokens, 6, 2, busy=4, dtype=dtype, **sizes)
    with torch.no_grad():
        out = routed(*inputs)
        again = routed(*inputs)
    exact = literal(*as_doubles(inputs))
    assert out.dtype == dtype
    assert torch.equal(out, again)
    assert (out.double() - exact).norm() <= most * exact.norm()


@pytest.mark.parametrize(
    ("dtype", "autocast", "most"),
    [
        (torch.float64, False, 1e-14),
        (torch.float32, False, 1e-6),
        (torch.float32, True, 0.008),
        (torch.bfloat16, False, 0.008),
    ],
)
def test_decoding_one_token(dtype: torch.dtype, autocast: bool, most: float) -> None:
    inputs = draw(1, 8, 3, dtype=dtype)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = routed(*inputs)
    assert out.dtype == dtype
    assert max(distance([out], [literal(*as_doubles(inputs))])) < most


def test_an_idle_expert_has_gradients_of_zero() -> None:
    inputs = draw(30, 6, 2, busy=3, dtype=torch.float32)
    *_, grad_gate_up, grad_down = with_gradients(routed, inputs)
    for grad in (grad_gate_up, grad_down):
        assert not grad[3:].any()
        assert all(each.any() for each in grad[:3])


@pytest.mark.parametrize("autocast", [False, True])
def test_the_same_inputs_give_the_same_bits(autocast: bool) -> None:
    inputs = draw(500, 8, 3, dtype=torch.float32, hidden_size=128, intermediate=64)

    def run() -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return with_gradients(routed, inputs)

    first = run()
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(first, run(), strict=True))


def test_the_gradient_may_be_expanded_and_the_tensors_strided() -> None:
    hidden, indices, weights, gate_up, down = draw(8, 4, 2)
    strided = (
        hidden.detach().T.contiguous().T.requires_grad_(),
        indices.T.contiguous().T,
        weights.detach().T.contiguous().T.requires_grad_(),
        gate_up.detach().mT.contiguous().mT.requires_grad_(),
        down.detach().mT.contiguous().mT.requires_grad_(),
    )
    plain = (hidden, weights, gate_up, down)
    expected = torch.autograd.grad(literal(hidden, indices, *plain[1:]).sum(), plain)
    found = torch.autograd.grad(routed(*strided).sum(), [t for t in strided if t.requires_grad])
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_what_is_kept_for_the_backward_pass(dtype: torch.dtype) -> None:
    """Beside the inputs nothing but gate and up projections, and an eighth for rounding."""
    inputs = draw(50, 4, 2, dtype=dtype)
    own = {t.untyped_storage().data_ptr() for t in inputs}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        routed(*inputs)
    rows = 50 * 2 if dtype == torch.float64 else 50 * 2 * 9 // 8
    assert sum(kept.values()) == rows * 2 * INTERMEDIATE * dtype.itemsize


def test_few_numbers_of_rows_reach_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is compiled once: as many as there are would be compiled at every step."""
    rows = set()
    real = expert_products._multiply
    monkeypatch.setattr(
        expert_products, "_multiply", lambda x, w, out: rows.add(len(x)) or real(x, w, out)
    )
    for seed in range(40):
        routed(*draw(300, 5, 2, dtype=torch.bfloat16, seed=seed))
    assert rows <= {8 * step for step in range(16)} | {16 * step for step in range(8, 19)}


@settings(deadline=None)
@given(tokens=st.integers(1, 60), count=st.integers(1, 9), seed=st.integers(0, 99))
def test_rows_of_rounding_count_nowhere(tokens: int, count: int, seed: int) -> None:
    top_k = 1 + seed % count
    inputs = draw(tokens, count, top_k, seed=seed)
    expected = with_gradients(literal, inputs)
    with pytest.MonkeyPatch.context() as patch:
        room = tokens * top_k * 9 // 8
        patch.setattr(expert_products, "row_room", lambda *_: room)
        found = with_gradients(routed, inputs)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def transformers_experts(inputs: Inputs, implementation: str) -> Callable[..., Tensor]:
    """transformers' experts with the weights of `inputs`, as a function of the same inputs."""
    module = pytest.importorskip("transformers.models.deepseek_v2.modeling_deepseek_v2")
    config = pytest.importorskip("transformers").DeepseekV2Config(
        hidden_size=inputs[0].shape[1],
        moe_intermediate_size=inputs[4].shape[2],
        n_routed_experts=inputs[4].shape[0],
        num_experts_per_tok=inputs[1].shape[1],
        num_attention_heads=1,
        hidden_act="silu",
    )
    config._experts_implementation = implementation
    peer = module.DeepseekV2Experts(config)

    def call(
        hidden: Tensor, indices: Tensor, weights: Tensor, gate_up: Tensor, down: Tensor
    ) -> Tensor:
        parameters = {"gate_up_proj": gate_up, "down_proj": down}
        return torch.func.functional_call(peer, parameters, (hidden, indices, weights))

    return call


@pytest.mark.parametrize("implementation", ["eager", "grouped_mm", "batched_mm"])
def test_equal_to_transformers(implementation: str) -> None:
    inputs = draw(64, 8, 3, dtype=torch.float32)
    peer = transformers_experts(inputs, implementation)
    for a, b in zip(with_gradients(routed, inputs), with_gradients(peer, inputs), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("autocast", [False, True], ids=["bf16 tensors", "autocast"])
def test_bf16_is_no_further_from_exact_than_transformers(autocast: bool) -> None:
    """Its loop, that is: under autocast its grouped products compute in fp32 on a CPU."""
    dtype = torch.float32 if autocast else torch.bfloat16
    inputs = draw(256, 8, 3, dtype=dtype, hidden_size=128, intermediate=64)
    exact = with_gradients(literal, as_doubles(inputs))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        ours = with_gradients(routed, inputs)
        theirs = with_gradients(transformers_experts(inputs, "eager"), inputs)
    assert all(a.dtype == b.dtype for a, b in zip(ours, theirs, strict=True))
    for near, far in zip(distance(ours, exact), distance(theirs, exact), strict=True):
        assert near <= far


def test_under_autocast_bf16_hidden_gives_bf16() -> None:
    hidden, *rest = draw(12, 4, 2, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert routed(hidden, *rest).dtype == torch.float32
        assert routed(hidden.bfloat16(), *rest).dtype == torch.bfloat16


@pytest.mark.parametrize("autocast", [False, True])
def test_compiled_in_one_graph_equals_eager(autocast: bool) -> None:
    inputs = draw(40, 6, 2, busy=5, dtype=torch.float32)
    compiled = torch.compile(routed, fullgraph=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        for a, b in zip(
            with_gradients(compiled, inputs), with_gradients(routed, inputs), strict=True
        ):
            assert torch.equal(a, b)


def test_the_operator_of_the_compiler_keeps_its_promises() -> None:
    inputs = draw(6, 4, 2, dtype=torch.float32)
    torch.library.opcheck(experts._opaque, (*inputs, torch.float32))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("busy", [8, 3])
def test_grouped_products(device: str, busy: int) -> None:
    """What a GPU computes in bf16; on a CPU the same expressions, by PyTorch's own loop."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    inputs = draw(100, 8, 3, busy=busy, dtype=torch.bfloat16, hidden_size=64, intermediate=32)
    exact = with_gradients(literal, as_doubles(inputs))
    moved = tuple(t.detach().to(device).requires_grad_(t.requires_grad) for t in inputs)
    grouped = functools.partial(experts._grouped, dtype=torch.bfloat16)
    found = [t.cpu() for t in with_gradients(grouped, moved)]
    assert max(distance(found, exact)) < 0.012
    assert not any(grad[busy:].any() for grad in found[3:])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("tokens", "width", "autocast"),
    [(100, 64, False), (100, 64, True), (1, 64, True), (0, 64, True), (100, 20, True)],
)
def test_on_a_gpu(tokens: int, width: int, autocast: bool, compiled: bool) -> None:
    """fp32, and bf16 with none, one and many tokens and with widths that grouped_mm refuses."""
    inputs = draw(tokens, 8, 3, dtype=torch.float32, hidden_size=width)
    exact = with_gradients(literal, as_doubles(inputs))
    moved = tuple(t.detach().cuda().requires_grad_(t.requires_grad) for t in inputs)
    function = torch.compile(routed, fullgraph=True) if compiled else routed
    with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
        found = [t.cpu() for t in with_gradients(function, moved)]
    for a, b in zip(found, exact, strict=True):
        assert (a.double() - b).norm() <= (0.015 if autocast else 1e-3) * b.norm()
