"""Root mean square norm and gated activation, each as one step of autograd.

Written as plain expressions, autograd keeps every intermediate of [batch, sequence, width]
and walks over memory once for each. On a CPU a training step spends much of its time there.
These keep their inputs alone, and work in place on what they made themselves. Under
torch.compile the plain expressions are used: the compiler fuses them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def rms_norm(hidden: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """hidden / rms(hidden) * weight over the last dimension, in fp32 inside, given in `dtype`."""
    if torch.compiler.is_compiling():
        wide = hidden.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
        return (wide * scale * weight).to(dtype)
    result: Tensor = _RMSNorm.apply(hidden, weight, eps, dtype)
    return result


def silu_gate(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up."""
    if torch.compiler.is_compiling():
        return functional.silu(gate) * up
    result: Tensor = _SiluGate.apply(gate, up)
    return result


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        wide = hidden.float()
        # the norm reads once and makes nothing of the input's size, unlike square().mean()
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        scale = length.square_().div_(hidden.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(hidden, weight, scale)
        return (wide * scale).mul_(weight).to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        hidden, weight, scale = ctx.saved_tensors
        width = hidden.shape[-1]
        wide, grad = hidden.float(), grad.float()
        # d hidden = scale * (grad * weight - hidden * scale^2 * mean(grad * weight * hidden))
        aligned = grad * wide
        rows = aligned.view(-1, width)
        share = torch.mv(rows, weight.float()).view_as(scale).mul_(scale.pow(3)).div_(width)
        grad_weight = torch.mv(rows.T, scale.view(-1))
        grad_hidden = torch.mul(grad, weight, out=aligned).mul_(scale)
        grad_hidden.addcmul_(wide, share, value=-1)
        return grad_hidden.to(hidden.dtype), grad_weight.to(weight.dtype), None, None


class _SiluGate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return functional.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        grad_gate = torch.ops.aten.silu_backward(grad * up, gate)
        return grad_gate, functional.silu(gate).mul_(grad)
