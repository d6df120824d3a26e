"""Muon: momentum whose matrices are made orthogonal before each step; AdamW for all else.

The update of a matrix is U V^T of its momentum's singular value decomposition, nearly, by five
steps of Newton and Schulz; scaled by 0.2 sqrt(longer side) it is about as large as AdamW's, so
that one learning rate serves both.

Source: Jordan et al. 2024 (Muon); Liu et al. 2025, "Muon is scalable for LLM training" (the
scale). The papers of DeepSeek-Coder use AdamW alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.placement_types import Placement

COEFFICIENTS, STEPS, EPS = (3.4445, -4.7750, 2.0315), 5, 1e-7
AS_ADAMW = 0.2  # root mean square of AdamW's updates


def orthogonal(matrices: Tensor) -> Tensor:
    """[..., rows, columns] -> nearly U V^T of each; singular values lie around 1, not at it."""
    wide = matrices.shape[-2] <= matrices.shape[-1]
    narrow = torch.bfloat16 if matrices.is_cuda else torch.float32
    now = (matrices if wide else matrices.mT).reshape(-1, *sorted(matrices.shape[-2:])).to(narrow)
    now = now / now.norm(dim=(-2, -1), keepdim=True).clamp(min=EPS)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        gram = now @ now.mT
        now = now.baddbmm(gram.baddbmm(gram, gram, beta=b, alpha=c), now, beta=a)
    return (now if wide else now.mT).reshape(matrices.shape).to(matrices.dtype)


class Muon(torch.optim.AdamW):
    """AdamW but for groups with `muon`: True, whose matrices take orthogonal steps.

    Groups with `halves`: True hold two matrices in each, one above the other. Parameters may have
    dimensions in front of a matrix's two. A matrix that lies on several ranks is gathered: each of
    them makes the whole of it orthogonal, and keeps its part. Of experts, which lie in a stack, a
    rank takes those alone that it has.

    Args:
        groups: as AdamW's, with `muon` and `halves`.
        momentum: of the matrices.
        others: AdamW's own arguments.
    """

    def __init__(self, groups: list[dict[str, Any]], *, momentum: float, **others: Any) -> None:
        super().__init__(groups, **others)
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of all groups."""
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group["muon"]]
        try:
            super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            if group["muon"]:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._step_matrix(parameter, group)

    def _step_matrix(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum: Tensor = state["momentum"]
        assert parameter.grad is not None
        momentum.lerp_(parameter.grad, 1 - self.momentum)
        ahead = parameter.grad.lerp(momentum, self.momentum)  # Nesterov's
        whole = _with_whole_matrices(ahead)
        matrices = whole.to_local() if isinstance(whole, DTensor) else whole
        parts = matrices.chunk(2, -2) if group["halves"] else (matrices,)
        rate = group["lr"] * AS_ADAMW * math.sqrt(max(parts[0].shape[-2:]))
        for part in parts:
            part.copy_(orthogonal(part))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(_as_it_was(whole, parameter), alpha=rate)


def _with_whole_matrices(tensor: Tensor) -> Tensor:
    """The same values, no matrix divided among ranks; a stack of them may stay divided."""
    if not isinstance(tensor, DTensor):
        return tensor
    placements: list[Placement] = [
        p if _divides_a_stack(p, tensor) else Replicate() for p in tensor.placements
    ]
    if not all(type(p) in (Shard, Replicate) for p in tensor.placements):
        placements = [Replicate() for _ in placements]  # parts of parts are not told apart
    return tensor.redistribute(placements=placements)


def _divides_a_stack(placement: Placement, tensor: Tensor) -> bool:
    return type(placement) is Shard and placement.dim < tensor.ndim - 2


def _as_it_was(whole: Tensor, parameter: Tensor) -> Tensor:
    """This rank's part of `_with_whole_matrices`."""
    if not isinstance(whole, DTensor):
        return whole
    assert isinstance(parameter, DTensor)
    return whole.redistribute(placements=parameter.placements)
