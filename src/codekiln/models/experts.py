"""The routed experts of a feed-forward, one expert after another."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def routed(
    hidden: Tensor, indices: Tensor, weights: Tensor, gate_up: Tensor, down: Tensor
) -> Tensor:
    """Sum over a token's experts of weight * down(silu(gate x) * up x), [tokens, hidden_size].

    Args:
        hidden: [tokens, hidden_size].
        indices: int64 [tokens, top_k], distinct in a row.
        weights: fp32 [tokens, top_k].
        gate_up: [experts, 2 * intermediate, hidden_size], the gates' rows first.
        down: [experts, hidden_size, intermediate].
    """
    out = torch.zeros_like(hidden)
    for expert in range(gate_up.shape[0]):
        rows, places = (indices == expert).nonzero(as_tuple=True)
        gate, up = functional.linear(hidden[rows], gate_up[expert]).chunk(2, -1)
        made = functional.linear(functional.silu(gate) * up, down[expert])
        made = made * weights[rows, places, None]
        out = out.index_add(0, rows, made.to(out.dtype))
    return out
