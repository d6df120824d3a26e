"""The matrix product of a layer.

On AMD's processors PyTorch's fp32 products go to MKL, which leaves a third of the speed to
oneDNN (measured, one thread, Zen 4: 60-67 against 85-95 GFLOP/s, forward and for the gradient
of the input; for the gradient of the weight they are level). PyTorch has oneDNN's product as
an operator that its compiler uses; here it is called by name. Where it is missing, on other
processors, in other dtypes and for few rows, the plain product does the work.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.distributed.tensor import DTensor
from torch.nn import functional

# below this oneDNN's preparation of the weight costs more than it gains
FEWEST_ROWS = 64


def local(weight: Tensor) -> Tensor:
    """This rank's part of a weight that lies on several, or the weight."""
    # by its type: the compiler does not see the methods of what lies in a DTensor
    return weight.to_local() if isinstance(weight, DTensor) else weight


def product(inputs: Tensor, weight: Tensor) -> Tensor:
    """inputs @ weight.T: [..., width] and [outputs, width] -> [..., outputs]."""
    if not _suits(inputs, weight):
        return functional.linear(inputs, weight)
    if torch.is_grad_enabled() and (inputs.requires_grad or weight.requires_grad):
        result: Tensor = _Product.apply(inputs, weight)
        return result
    return onednn_product(inputs, weight)


def onednn_product(inputs: Tensor, weight: Tensor) -> Tensor:
    """inputs @ weight.T by oneDNN, fp32 on a CPU; no gradients."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, None, "none", [], "")
    return out


@functools.cache
def onednn_is_faster() -> bool:
    """Whether this is an AMD processor and PyTorch has oneDNN: the same answer at each run."""
    operators = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available() or not hasattr(operators, "_linear_pointwise"):
        return False
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def _suits(inputs: Tensor, weight: Tensor) -> bool:
    return (
        inputs.device.type == "cpu"
        and inputs.dtype == weight.dtype == torch.float32
        and inputs.numel() >= FEWEST_ROWS * weight.shape[1]
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and onednn_is_faster()
    )


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return onednn_product(inputs, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        inputs, weight = ctx.saved_tensors
        needs_inputs, needs_weight = ctx.needs_input_grad
        grad_inputs = onednn_product(grad, weight.T) if needs_inputs else None
        if not needs_weight:
            return grad_inputs, None
        return grad_inputs, grad.flatten(0, -2).T @ inputs.flatten(0, -2)
