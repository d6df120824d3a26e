"""Rotary positions: tables of angles, and the rotation of queries and keys."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from codekiln.models.config import ModelConfig


def inverse_frequencies(config: ModelConfig, device: torch.device | None = None) -> Tensor:
    """Angle per position of each pair, [head_dim / 2], fp32.

    Source: DeepSeek-Coder §3.6: linear scaling divides the angle by the factor.
    """
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32, device=device)
    frequencies = 1.0 / (config.rope_theta ** (exponents / config.head_dim))
    if config.rope_scaling is not None:
        frequencies = frequencies / config.rope_scaling.factor
    return frequencies


class RotaryTable:
    """Cosines and sines of the positions asked for, computed once and kept.

    A plain object and no buffer: a model built on the meta device has nothing to fill here,
    and checkpoints don't hold it.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._tables: dict[torch.device, Tensor] = {}

    def __call__(
        self, positions: Tensor | None, start: int, count: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Cosine and sine, each [1 or batch, count, 1, head_dim / 2], fp32.

        Args:
            positions: int [batch, count], or None for start, start + 1, …
        """
        if torch.compiler.is_compiling():
            if positions is None:
                positions = torch.arange(start, start + count, device=device)[None]
            table = _angles(self._config, positions)
        elif positions is None:
            table = self._reaching(start + count, device)[:, None, start : start + count]
        else:
            top = self._config.max_position_embeddings
            if positions.device.type == "cpu":  # elsewhere reading the maximum would wait
                top = int(positions.max()) + 1 if positions.numel() else 1
            table = self._reaching(top, device)[:, positions]
        return table[0].unsqueeze(2), table[1].unsqueeze(2)

    def _reaching(self, length: int, device: torch.device) -> Tensor:
        table = self._tables.get(device)
        if table is None or table.shape[1] < length:
            length = max(length, 2 * table.shape[1] if table is not None else 1024)
            # made while generating, it must still serve training: no inference tensor
            with torch.inference_mode(False):
                table = _angles(self._config, torch.arange(length, device=device))
            self._tables[device] = table
        return table


def rotate(heads: Tensor, cosine: Tensor, sine: Tensor, dtype: torch.dtype) -> Tensor:
    """Rotate [batch, sequence, heads, head_dim]; pairs are (i, i + head_dim / 2).

    Computed in fp32, given in `dtype`.
    """
    if torch.compiler.is_compiling():
        first, second = heads.chunk(2, -1)
        turned = (first * cosine - second * sine, second * cosine + first * sine)
        return torch.cat(turned, -1).to(dtype)
    result: Tensor = _Rotate.apply(heads, cosine, sine, dtype)
    return result


def _angles(config: ModelConfig, positions: Tensor) -> Tensor:
    """[2 (cosine, sine), *positions.shape, head_dim / 2]."""
    frequencies = inverse_frequencies(config, positions.device)
    angles = positions[..., None].float() * frequencies
    return torch.stack((angles.cos(), angles.sin()))


class _Rotate(torch.autograd.Function):
    """The backward pass of a rotation is the rotation back: nothing but the angles is kept."""

    @staticmethod
    def forward(
        ctx: Any, heads: Tensor, cosine: Tensor, sine: Tensor, dtype: torch.dtype
    ) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        ctx.dtype = heads.dtype
        return _turn(heads, cosine, sine, 1).to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        cosine, sine = ctx.saved_tensors
        return _turn(grad, cosine, sine, -1).to(ctx.dtype), None, None, None


def _turn(heads: Tensor, cosine: Tensor, sine: Tensor, sign: int) -> Tensor:
    first, second = heads.float().chunk(2, -1)
    turned = torch.empty(heads.shape, dtype=torch.float32, device=heads.device)
    left, right = turned.chunk(2, -1)
    torch.mul(first, cosine, out=left)
    left.addcmul_(second, sine, value=-sign)
    torch.mul(second, cosine, out=right)
    right.addcmul_(first, sine, value=sign)
    return turned
