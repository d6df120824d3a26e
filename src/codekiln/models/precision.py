"""Which dtype a part of the model computes in."""

from __future__ import annotations

import torch
from torch import Tensor


def compute_dtype(tensor: Tensor) -> torch.dtype:
    """What a matrix product with `tensor` computes in: autocast's dtype, or the tensor's own."""
    kind = tensor.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tensor.dtype


def attention_dtype(tensor: Tensor) -> torch.dtype:
    """What attention computes in: as a matrix product, but fp32 under autocast on a CPU.

    There the kernel gains nothing from bf16, and its backward pass loses: measured 1.2 times
    slower at 512 tokens, 3 to 5 times in documents of 128 and fewer.
    """
    if tensor.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        return torch.float32
    return compute_dtype(tensor)
