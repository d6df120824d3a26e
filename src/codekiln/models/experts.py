"""Routed experts: the feed-forward of a mixture of experts, given who goes where.

Three ways to the same sums. On a CPU, and wherever the others cannot go, one expert after
another inside one step of autograd (`expert_products`). On a GPU in bf16, PyTorch's grouped
products, which take all experts in one kernel. Under torch.compile without them, the first way
as an operator that the compiler does not look into.

Source: DeepSeek-Coder-V2 §3.1; DeepSeek-V2 §2.2 (DeepSeekMoE).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from codekiln.models import expert_products
from codekiln.models.operations import silu_gate
from codekiln.models.precision import compute_dtype
from codekiln.models.product import FEWEST_ROWS

AllGradients = tuple[Tensor, Tensor, Tensor, Tensor]
# grouped products want rows that begin at multiples of 16 bytes
GROUPED_ALIGNMENT = 16 // torch.bfloat16.itemsize


def routed(
    hidden: Tensor, indices: Tensor, weights: Tensor, gate_up: Tensor, down: Tensor
) -> Tensor:
    """The weighted sum of each token's experts: [tokens, hidden_size], in `hidden`'s dtype.

    Args:
        hidden: [tokens, hidden_size].
        indices: int64 [tokens, top_k]: the experts of each token, distinct in a row.
        weights: fp32 [tokens, top_k].
        gate_up: [experts, 2 * intermediate, hidden_size]: rows of the gate, then of up.
        down: [experts, hidden_size, intermediate].

    On a CPU the same inputs give the same bits, gradients included.
    """
    dtype = compute_dtype(hidden)
    if _grouped_suits(hidden, gate_up, dtype):
        return _grouped(hidden, indices, weights, gate_up, down, dtype)
    if torch.compiler.is_compiling():
        out: Tensor = _opaque(hidden, indices, weights, gate_up, down, dtype)[0]
        return out
    inputs = (hidden, weights, gate_up, down)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        result: Tensor = _Routed.apply(hidden, indices, weights, gate_up, down, dtype)
        return result
    return _without_gradients(hidden, indices, weights, gate_up, down, dtype)


def _without_gradients(
    hidden: Tensor,
    indices: Tensor,
    weights: Tensor,
    gate_up: Tensor,
    down: Tensor,
    dtype: torch.dtype,
) -> Tensor:
    """On a CPU few tokens are faster by PyTorch's loop than by one in Python, 1.1 to 1.8 times."""
    inputs = (hidden, indices, weights, gate_up, down, dtype)
    if len(hidden) == 1:
        return expert_products.one_token(*inputs)
    few = 0 < indices.numel() < FEWEST_ROWS * len(gate_up)
    if few and hidden.device.type == "cpu" and dtype in (torch.float32, torch.bfloat16):
        return _grouped(*inputs)
    return expert_products.forward(*inputs)[0]


class _Routed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        indices: Tensor,
        weights: Tensor,
        gate_up: Tensor,
        down: Tensor,
        dtype: torch.dtype,
    ) -> Tensor:
        inputs = (hidden, indices, weights, gate_up, down)
        out, projected = expert_products.forward(*inputs, dtype)
        ctx.save_for_backward(*inputs, projected)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        needs_hidden, _, *needs_rest, _ = ctx.needs_input_grad
        needs = (needs_hidden, *needs_rest)
        grads = expert_products.backward(grad, *ctx.saved_tensors, needs=needs)
        return grads[0], None, *grads[1:], None


def _grouped_suits(hidden: Tensor, gate_up: Tensor, dtype: torch.dtype) -> bool:
    widths = (hidden.shape[1], gate_up.shape[1] // 2)
    return (
        hidden.device.type == "cuda"
        and dtype == torch.bfloat16
        and len(hidden) > 0
        and all(width % GROUPED_ALIGNMENT == 0 for width in widths)
        and hasattr(functional, "grouped_mm")
        and torch.cuda.get_device_capability(hidden.device) >= (8, 0)
    )


def _grouped(
    hidden: Tensor,
    indices: Tensor,
    weights: Tensor,
    gate_up: Tensor,
    down: Tensor,
    dtype: torch.dtype,
) -> Tensor:
    """All experts in one call a product; on a GPU one kernel, of bf16 alone."""
    by_expert, order = indices.flatten().sort(stable=True)
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(len(order), device=order.device)
    experts = torch.arange(len(gate_up), device=order.device)
    # no synchronisation with the host, unlike bincount; grouped_mm wants int32
    ends = torch.searchsorted(by_expert, experts, right=True, out_int32=True)
    top_k = indices.shape[1]
    rows = _Rows.apply(hidden.to(dtype), order, inverse, top_k)
    projected = functional.grouped_mm(rows, gate_up.to(dtype).transpose(1, 2), offs=ends)
    activation = silu_gate(*projected.chunk(2, -1))
    # scaled before the product, where the rows are narrower
    activation = (activation * weights.flatten()[order, None]).to(dtype)
    outputs = functional.grouped_mm(activation, down.to(dtype).transpose(1, 2), offs=ends)
    outputs = _Rows.apply(outputs, inverse, order, 1)
    summed = outputs.view(len(hidden), top_k, -1).sum(1, dtype=torch.float32)
    return summed.to(hidden.dtype)


class _Rows(torch.autograd.Function):
    """Rows in a new order, each `copies` times; the gradient by its inverse, without atomics."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: Tensor, inverse: Tensor, copies: int) -> Tensor:
        ctx.save_for_backward(inverse)
        ctx.copies = copies
        return rows.index_select(0, order // copies)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (inverse,) = ctx.saved_tensors
        back = grad.index_select(0, inverse)
        return back.view(-1, ctx.copies, grad.shape[1]).sum(1), None, None, None


@torch.library.custom_op("codekiln::expert_products", mutates_args=())
def _opaque(
    hidden: Tensor,
    indices: Tensor,
    weights: Tensor,
    gate_up: Tensor,
    down: Tensor,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    return expert_products.forward(hidden, indices, weights, gate_up, down, dtype)


@_opaque.register_fake
def _(
    hidden: Tensor,
    indices: Tensor,
    weights: Tensor,
    gate_up: Tensor,
    down: Tensor,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    rows = expert_products.row_room(indices, dtype)
    projected = hidden.new_empty(rows, gate_up.shape[1], dtype=dtype)
    return hidden.new_empty(hidden.shape), projected


@torch.library.custom_op("codekiln::expert_products_backward", mutates_args=())
def _opaque_backward(
    grad: Tensor,
    hidden: Tensor,
    indices: Tensor,
    weights: Tensor,
    gate_up: Tensor,
    down: Tensor,
    projected: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs = (hidden, indices, weights, gate_up, down, projected)
    grads = expert_products.backward(grad, *inputs, needs=(True, True, True, True))
    return cast(AllGradients, grads)


@_opaque_backward.register_fake
def _(
    grad: Tensor,
    hidden: Tensor,
    indices: Tensor,
    weights: Tensor,
    gate_up: Tensor,
    down: Tensor,
    projected: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    grads = tuple(tensor.new_empty(tensor.shape) for tensor in (hidden, weights, gate_up, down))
    return cast(AllGradients, grads)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:5], output[1])


def _gradients(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    grads = _opaque_backward(grad, *ctx.saved_tensors)
    return grads[0], None, *grads[1:], None


_opaque.register_autograd(_gradients, setup_context=_keep)
