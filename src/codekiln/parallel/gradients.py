"""The norm of a gradient that lies on many ranks, and clipping by it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from codekiln.models.product import local
from codekiln.parallel.world import Ranks


def norm(parameters: Iterable[nn.Parameter], ranks: Ranks, *, copies: int) -> float:
    """Of the whole gradient, the same on every rank.

    PyTorch's own refuses parameters on different meshes. Every rank's part is squared and summed
    here, and what several ranks have counts once.

    Args:
        parameters: this rank's.
        copies: ranks that have the same part of each.
    """
    mine = float(get_total_norm(_gradients(parameters), error_if_nonfinite=False))
    if ranks.alone:
        return mine
    (squares,) = ranks.sums(mine**2 / copies)
    return math.sqrt(squares)


def clip(parameters: Iterable[nn.Parameter], limit: float, total: float) -> None:
    """Shrink the gradient to the norm `limit`, given its norm."""
    if total > limit:
        for gradient in _gradients(parameters):
            gradient.mul_(limit / (total + 1e-6))  # as PyTorch does


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [local(parameter.grad) for parameter in parameters if parameter.grad is not None]
