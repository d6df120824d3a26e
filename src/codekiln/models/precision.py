"""Which dtype a part of the model computes in."""

from __future__ import annotations

import functools

import torch
from torch import Tensor


def compute_dtype(tensor: Tensor) -> torch.dtype:
    """What a matrix product with `tensor` computes in: autocast's dtype, or the tensor's own."""
    kind = tensor.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tensor.dtype


def attention_dtype(tensor: Tensor) -> torch.dtype:
    """What attention computes in: as a matrix product, but fp32 under autocast on most CPUs.

    Without AMX the kernel gains nothing from bf16.
    """
    if tensor.device.type == "cpu" and torch.is_autocast_enabled("cpu") and not _has_amx():
        return torch.float32
    return compute_dtype(tensor)


@functools.cache
def _has_amx() -> bool:
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
