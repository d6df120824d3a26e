"""Exchanges between ranks that gradients pass through. One rank: tensors go through unchanged."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup


def gather(part: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """All ranks' parts, one behind the other along `dim`. Backward: each gets its sum."""
    result: Tensor = _Gather.apply(part, dim, group)
    return result


def scatter_sum(whole: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """The sum over ranks, of which each keeps its part along `dim`. Backward: all parts."""
    result: Tensor = _ScatterSum.apply(whole, dim, group)
    return result


def exchange(rows: Tensor, sent: list[int], received: list[int], group: ProcessGroup) -> Tensor:
    """Rows to every rank, `sent` of them to each in turn; `received` from each come back."""
    result: Tensor = _Exchange.apply(rows, sent, received, group)
    return result


def all_gather(part: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """`gather` without gradients."""
    first = part.movedim(dim, 0).contiguous()
    whole = first.new_empty(group.size() * first.shape[0], *first.shape[1:])
    dist.all_gather_into_tensor(whole, first, group=group)
    return whole.movedim(0, dim).contiguous()


def reduce_scatter(whole: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """`scatter_sum` without gradients."""
    first = whole.movedim(dim, 0).contiguous()
    part = first.new_empty(first.shape[0] // group.size(), *first.shape[1:])
    dist.reduce_scatter_tensor(part, first, group=group)
    return part.movedim(0, dim).contiguous()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, dim: int, group: ProcessGroup) -> Tensor:
        ctx.dim, ctx.group = dim, group
        return all_gather(part, dim, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return reduce_scatter(grad, ctx.dim, ctx.group), None, None


class _ScatterSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, whole: Tensor, dim: int, group: ProcessGroup) -> Tensor:
        ctx.dim, ctx.group = dim, group
        return reduce_scatter(whole, dim, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return all_gather(grad, ctx.dim, ctx.group), None, None


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, sent: list[int], received: list[int], group: ProcessGroup
    ) -> Tensor:
        ctx.sent, ctx.received, ctx.group = sent, received, group
        return _all_to_all(rows, sent, received, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return _all_to_all(grad, ctx.received, ctx.sent, ctx.group), None, None, None


def _all_to_all(rows: Tensor, sent: list[int], received: list[int], group: ProcessGroup) -> Tensor:
    out = rows.new_empty(sum(received), *rows.shape[1:])
    dist.all_to_all_single(out, rows.contiguous(), received, sent, group=group)
    return out
