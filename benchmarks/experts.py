"""Routed experts against each of transformers' ways: tokens/s, and what is kept for backward.

Same tensors, threads and dtype; run in turn in one process. `grouped_mm` is transformers' default
in a model on a CPU, `eager` that of the module alone; under autocast the former computes in fp32.
`batched_mm` copies an expert's matrices for each token and choice: 10 s where the others take
0.1 s (measured once, "narrow"), and more memory than there is at the other shapes; the remaining
ways want a GPU. Each pass has another routing, as in training: oneDNN compiles anew for other
numbers of rows. The blocks are both behind their norms, as in a model, and have shared experts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.rows import Row, paired


@dataclass(frozen=True, slots=True)
class Shape:
    """Experts, and how many tokens go through at once."""

    hidden_size: int
    moe_intermediate_size: int
    n_routed_experts: int
    num_experts_per_tok: int
    tokens: int


SHAPES = {
    "many": Shape(512, 256, 64, 6, 2048),
    "narrow": Shape(256, 128, 16, 4, 4096),
    "wide": Shape(1024, 704, 32, 6, 2048),
}
ROUNDS = {"grouped_mm": 11, "eager": 3}
DEFAULT = "grouped_mm"
SHARED = 2
ROUTINGS = 8
WARMUP = 4
CALLS = 100


def run() -> list[Row]:
    try:
        import transformers  # noqa: F401
    except ImportError:
        note = "peer not installed: pip install 'codekiln[bench]'"
        return [Row(what="routed experts", ours=0.0, unit="tokens/s", note=note)]
    rows = []
    for name in SHAPES:
        for bf16 in (False, True):
            rows += [_speed(name, bf16, way) for way in ROUNDS]
            rows += [_block(name, bf16), _kept(name, bf16)]
        rows += [_decoding(name, tokens) for tokens in (1, 8)]
    return rows


def _speed(name: str, bf16: bool, way: str) -> Row:
    draws = _draws(SHAPES[name])
    ours, peer = (_passes(f, draws, bf16) for f in (_ours(), _peer(SHAPES[name], way)))
    what = f"experts {name}, forward and backward, {_kind(bf16)}"
    return _row(
        what, SHAPES[name].tokens, paired(ours, peer, rounds=ROUNDS[way], warmup=WARMUP), way
    )


def _row(what: str, tokens: int, seconds: tuple[float, float], way: str) -> Row:
    import torch

    return Row(
        what=what,
        ours=tokens / seconds[0],
        unit="tokens/s",
        peer=tokens / seconds[1],
        peer_name=f"transformers {way}",
        target=">= 2x",
        note=f"{tokens} tokens, {torch.get_num_threads()} threads",
    )


def _kind(bf16: bool) -> str:
    return "bf16 autocast" if bf16 else "fp32"


def _draws(shape: Shape) -> list[list[Any]]:
    """hidden, indices, weights, gate_up, down: other routings, all else the same tensors."""
    import torch

    torch.manual_seed(0)
    count, width, inner = shape.n_routed_experts, shape.hidden_size, shape.moe_intermediate_size
    hidden = torch.randn(shape.tokens, width)
    gate_up, down = torch.randn(count, 2 * inner, width), torch.randn(count, width, inner)
    for tensor in (hidden, gate_up.mul_(0.02), down.mul_(0.02)):
        tensor.requires_grad_()
    draws = []
    for _ in range(ROUTINGS):
        scores = torch.randn(shape.tokens, count).softmax(-1)
        weights, indices = scores.topk(shape.num_experts_per_tok)
        draws.append([hidden, indices, weights.requires_grad_(), gate_up, down])
    return draws


def _ours() -> Callable[..., Any]:
    from codekiln.models.experts import routed

    return routed


def _config(shape: Shape, way: str) -> Any:
    import transformers

    config = transformers.DeepseekV2Config(
        hidden_size=shape.hidden_size,
        moe_intermediate_size=shape.moe_intermediate_size,
        n_routed_experts=shape.n_routed_experts,
        num_experts_per_tok=shape.num_experts_per_tok,
        n_shared_experts=SHARED,
        routed_scaling_factor=1.0,
        hidden_act="silu",
    )
    config._experts_implementation = way
    return config


def _peer(shape: Shape, way: str) -> Callable[..., Any]:
    import torch
    from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Experts

    experts = DeepseekV2Experts(_config(shape, way))

    def call(hidden: Any, indices: Any, weights: Any, gate_up: Any, down: Any) -> Any:
        parameters = {"gate_up_proj": gate_up, "down_proj": down}
        return torch.func.functional_call(experts, parameters, (hidden, indices, weights))

    return call


def _passes(function: Callable[..., Any], draws: list[list[Any]], bf16: bool) -> Callable[[], None]:
    """Forward and backward of the next draw; gradients are made anew, as after zero_grad()."""
    import torch

    direction = torch.randn_like(draws[0][0])
    endless = itertools.cycle(draws)

    def one() -> None:
        inputs = next(endless)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            out = function(*inputs)
        out.backward(direction.to(out.dtype))
        for tensor in inputs:
            tensor.grad = None

    return one


def _block(name: str, bf16: bool) -> Row:
    """Norm, router, routed and shared experts."""
    import torch

    shape = SHAPES[name]
    size = (1, shape.tokens, shape.hidden_size)
    hiddens = [torch.randn(size).requires_grad_() for _ in range(ROUTINGS)]
    ours, peer = _our_block(shape), _peer_block(shape)
    _fill(ours, peer)
    steps = (_passes(f, [[h, *f.parameters()] for h in hiddens], bf16) for f in (ours, peer))
    what = f"block {name}, forward and backward, {_kind(bf16)}"
    return _row(what, shape.tokens, paired(*steps, rounds=ROUNDS[DEFAULT], warmup=WARMUP), DEFAULT)


def _our_block(shape: Shape) -> Any:
    from codekiln.models.layers import RMSNorm
    from codekiln.models.moe import MoE
    from codekiln.models.moe_config import DeepseekV2Config

    config = DeepseekV2Config(
        vocab_size=8,
        hidden_size=shape.hidden_size,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        kv_lora_rank=8,
        qk_nope_head_dim=8,
        qk_rope_head_dim=8,
        v_head_dim=8,
        n_routed_experts=shape.n_routed_experts,
        n_shared_experts=SHARED,
        num_experts_per_tok=shape.num_experts_per_tok,
        moe_intermediate_size=shape.moe_intermediate_size,
        aux_loss_alpha=0.0,
    )
    return _behind(RMSNorm(shape.hidden_size, 1e-6), MoE(config))


def _peer_block(shape: Shape) -> Any:
    from transformers.models.deepseek_v2 import modeling_deepseek_v2 as peer

    norm = peer.DeepseekV2RMSNorm(shape.hidden_size, 1e-6)
    return _behind(norm, peer.DeepseekV2Moe(_config(shape, DEFAULT)))


def _behind(norm: Any, block: Any) -> Any:
    from torch import nn

    class Behind(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.block = norm, block

        def forward(self, hidden: Any, *_: Any) -> Any:
            out = self.block(self.norm(hidden))
            return out[0] if isinstance(out, tuple) else out

    return Behind()


def _fill(ours: Any, peer: Any) -> None:
    import torch

    for name, parameter in ours.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.02)
    peer.load_state_dict(ours.state_dict())


def _kept(name: str, bf16: bool) -> Row:
    shape = SHAPES[name]
    ours, peer = (_kept_megabytes(f, shape, bf16) for f in (_ours(), _peer(shape, DEFAULT)))
    return Row(
        what=f"experts {name}, kept for backward, {_kind(bf16)}",
        ours=ours,
        unit="MB",
        peer=peer,
        peer_name=f"transformers {DEFAULT}",
        target="<= 1.0x",
        note="beside inputs and weights; less is better",
    )


def _kept_megabytes(function: Callable[..., Any], shape: Shape, bf16: bool) -> float:
    import torch

    inputs = _draws(shape)[0]
    own = {tensor.untyped_storage().data_ptr() for tensor in inputs}
    kept: dict[int, int] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        out = function(*inputs)
    assert out.requires_grad
    return sum(kept.values()) / 1e6


def _decoding(name: str, tokens: int) -> Row:
    import torch

    shape = SHAPES[name]
    hidden, indices, weights, gate_up, down = (tensor.detach() for tensor in _draws(shape)[0])
    ours, peer = (
        _calls(f, [hidden[:tokens], indices[:tokens], weights[:tokens], gate_up, down])
        for f in (_ours(), _peer(shape, DEFAULT))
    )
    with torch.no_grad():
        seconds = paired(ours, peer, rounds=9)
    row = _row(f"experts {name}, decoding, fp32", CALLS, seconds, DEFAULT)
    return Row(what=row.what, ours=row.ours, unit=row.unit, peer=row.peer, peer_name=row.peer_name)


def _calls(function: Callable[..., Any], inputs: list[Any]) -> Callable[[], None]:
    def many() -> None:
        for _ in range(CALLS):
            function(*inputs)

    return many
