"""The products of routed experts, one after another, forward and backward, without autograd.

Rows (a token that goes to an expert) are sorted by expert; an expert's rows are gathered, pass
its two matrices and are written out before the next expert's turn, so that what lies between
the products stays in the cache. Only the gate and up projections are kept for the backward
pass; gathers, activations and conversions of weights are cheaper to repeat than to keep. No
atomic additions: each token's rows are summed in the order of its `indices`, and the same
inputs give the same bits.

This is a loop over experts, by measurement: PyTorch's `grouped_mm` is on a CPU itself a loop.
Forward and backward around it (transformers' default, fp32 even under autocast) take 1.3 to 1.6
times as long as this in fp32, 1.7 to 2.4 times under bf16 autocast, and keep 3.5 to 8 times as
much (2 threads, Xeon with AMX). In fp32 the bare products are two thirds to three quarters of
what this takes. For a single token copies of the chosen experts' matrices, multiplied in one
batch, take up to 8 times as long as `one_token`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from codekiln.models.product import FEWEST_ROWS, onednn_is_faster, onednn_product

Needs = tuple[bool, bool, bool, bool]  # gradients of hidden, weights, gate_up, down


def forward(
    hidden: Tensor,
    indices: Tensor,
    weights: Tensor,
    gate_up: Tensor,
    down: Tensor,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """What `experts.routed` gives, and gate and up projections: [row_room, 2 * intermediate].

    The projections are in `dtype`, in which the products are computed; rows sorted by expert.
    """
    places = _Places(indices, weights, gate_up.shape[0], dtype)
    inputs = hidden.to(dtype)
    projected = places.rows(gate_up.shape[1], dtype)
    outputs = places.rows(hidden.shape[1], hidden.dtype)
    for expert, rows in places:
        gathered = inputs.index_select(0, places.tokens[rows])
        _multiply(gathered, gate_up[expert].to(dtype), projected[rows])
        gate, up = _wide(projected[rows]).chunk(2, -1)
        activation = functional.silu(gate).mul_(up).mul_(places.scales[rows])
        _multiply(activation.to(dtype), down[expert].to(dtype), outputs[rows])
    return places.sum_by_token(outputs), projected


def backward(
    grad: Tensor,
    hidden: Tensor,
    indices: Tensor,
    weights: Tensor,
    gate_up: Tensor,
    down: Tensor,
    projected: Tensor,
    *,
    needs: Needs,
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of hidden, weights, gate_up and down, where `needs` says so.

    Args:
        grad: of the output, [tokens, hidden_size].
        projected: what `forward` gave; its dtype is what the products are computed in.
    """
    dtype = projected.dtype
    places = _Places(indices, weights, gate_up.shape[0], dtype)
    inputs, grad = hidden.to(dtype), grad.to(dtype)
    grad_scales = torch.empty_like(places.scales) if needs[1] else None
    grad_gate_up = places.zeros_for_idle(gate_up) if needs[2] else None
    grad_down = places.zeros_for_idle(down) if needs[3] else None
    grad_rows = places.rows(hidden.shape[1], hidden.dtype) if needs[0] else None
    for expert, rows in places:
        tokens = places.tokens[rows]
        grad_output = grad.index_select(0, tokens)
        gate, up = _wide(projected[rows]).chunk(2, -1)
        silu = functional.silu(gate)
        activation = silu * up
        grad_activation = torch.empty_like(activation)
        _multiply(grad_output, down[expert].to(dtype).T, grad_activation)
        if grad_scales is not None:
            grad_scales[rows] = (grad_activation * activation).sum(-1, keepdim=True)
        if grad_down is not None:
            scaled = activation.mul_(places.scales[rows]).to(dtype)
            _multiply_columns(grad_output, scaled, grad_down[expert])
        if grad_gate_up is None and grad_rows is None:
            continue
        grad_activation.mul_(places.scales[rows])
        grad_gate = torch.ops.aten.silu_backward(grad_activation * up, gate)
        grad_projected = torch.cat((grad_gate, grad_activation.mul_(silu)), -1).to(dtype)
        if grad_gate_up is not None:
            gathered = inputs.index_select(0, tokens)
            _multiply_columns(grad_projected, gathered, grad_gate_up[expert])
        if grad_rows is not None:
            _multiply(grad_projected, gate_up[expert].to(dtype).T, grad_rows[rows])
    return (
        places.sum_by_token(grad_rows) if grad_rows is not None else None,
        grad_scales[places.row_of].view_as(weights) if grad_scales is not None else None,
        grad_gate_up,
        grad_down,
    )


def one_token(
    hidden: Tensor,
    indices: Tensor,
    weights: Tensor,
    gate_up: Tensor,
    down: Tensor,
    dtype: torch.dtype,
) -> Tensor:
    """The output of `forward` for a single token, [1, hidden_size], without sorting one row."""
    inputs = hidden[0].to(dtype)
    out = torch.zeros_like(_wide(inputs))
    for expert, share in zip(indices[0].tolist(), weights[0].tolist(), strict=True):
        gate, up = _wide(torch.mv(gate_up[expert].to(dtype), inputs)).chunk(2)
        activation = functional.silu(gate).mul_(up).mul_(share)
        out += torch.mv(down[expert].to(dtype), activation.to(dtype))
    return out[None].to(hidden.dtype)


class _Places:
    """Rows sorted by expert, rounded up for each; iterating gives the busy experts' slices.

    A place is an index into the flattened `indices`.

    Attributes:
        tokens: the token of each row; in rows of rounding the one before.
        scales: its weight, [rows, 1]; zero in rows of rounding, so that they count nowhere.
        row_of: the row of each place.
    """

    def __init__(self, indices: Tensor, weights: Tensor, experts: int, dtype: torch.dtype) -> None:
        self._shape = indices.shape
        self._room = row_room(indices, dtype)
        by_expert, order = indices.flatten().sort(stable=True)
        every = torch.arange(max(experts, self._room), device=indices.device)
        ends = torch.searchsorted(by_expert, every[:experts], right=True)
        counts = ends.diff(prepend=ends.new_zeros(1))
        exact = self._room == len(order)
        self._held = [n if exact else _rounded(n) for n in counts.tolist()]
        held = torch.tensor(self._held, device=indices.device)
        expert = torch.repeat_interleave(every[:experts], held)
        within = every[: len(expert)] - (held.cumsum(0) - held)[expert]
        real = within < counts[expert]
        place = order[(ends - counts)[expert] + torch.minimum(within, counts[expert] - 1)]
        self.tokens = place // max(1, indices.shape[1])
        self.scales = (weights.flatten()[place] * real)[:, None]
        self.row_of = torch.empty_like(order)
        self.row_of[place[real]] = every[: len(expert)][real]

    def __iter__(self) -> Iterator[tuple[int, slice]]:
        start = 0
        for expert, held in enumerate(self._held):
            if held:
                yield expert, slice(start, start + held)
            start += held

    def rows(self, width: int, dtype: torch.dtype) -> Tensor:
        """Unwritten: [row_room, width]."""
        return torch.empty((self._room, width), dtype=dtype, device=self.tokens.device)

    def zeros_for_idle(self, weight: Tensor) -> Tensor:
        """A tensor like `weight`, zero where an expert has no rows and unwritten elsewhere."""
        grad = torch.empty_like(weight, memory_format=torch.contiguous_format)
        for expert, held in enumerate(self._held):
            if not held:
                grad[expert].zero_()
        return grad

    def sum_by_token(self, rows: Tensor) -> Tensor:
        """The sum of each token's rows: [row_room, width] -> [tokens, width]."""
        if not len(rows):
            return rows.new_zeros(self._shape[0], rows.shape[1])
        return functional.embedding_bag(self.row_of.view(self._shape), rows, mode="sum")


def row_room(indices: Tensor, dtype: torch.dtype) -> int:
    """An upper bound of the rows that all experts have together, rounding included.

    oneDNN compiles a product for each number of rows that it meets, 1 to 2 ms each, and keeps
    the last 1024. Experts have other numbers at each step, so without rounding every product
    of every step can be a new one: measured 2.5 times the time of a whole training step.
    """
    count = indices.numel()
    compiles = dtype.itemsize < 4 or (dtype == torch.float32 and onednn_is_faster())
    return count + count // 8 if compiles and indices.device.type == "cpu" else count


def _rounded(rows: int) -> int:
    """At least `rows`, by an eighth more at most: eight sizes from one power of 2 to the next."""
    step = 1 << max(0, rows.bit_length() - 4)
    return -(-rows // step) * step


def _wide(values: Tensor) -> Tensor:
    """fp32 for the dtypes that are narrower."""
    return values.float() if values.dtype.itemsize < 4 else values


def _multiply(inputs: Tensor, weight: Tensor, out: Tensor) -> None:
    """out = inputs @ weight.T."""
    plain = inputs.dtype == torch.float32 and inputs.device.type == "cpu"
    if plain and len(inputs) >= FEWEST_ROWS and onednn_is_faster():
        out.copy_(onednn_product(inputs, weight))
    elif out.dtype == inputs.dtype:
        torch.mm(inputs, weight.T, out=out)
    else:
        out.copy_(inputs @ weight.T)


def _multiply_columns(left: Tensor, right: Tensor, out: Tensor) -> None:
    """out = left.T @ right: a weight's gradient from an expert's rows."""
    if out.dtype == left.dtype:
        torch.mm(left.T, right, out=out)
    else:
        out.copy_(left.T @ right)
