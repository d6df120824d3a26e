"""Rotary positions: tables of angles, and the rotation of queries and keys."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from codekiln.models.config import ModelConfig
from codekiln.models.positions import LinearScaling, YarnScaling


def inverse_frequencies(config: ModelConfig, device: torch.device | None = None) -> Tensor:
    """Angle per position of each pair, [rope_width / 2], fp32.

    Source: DeepSeek-Coder §3.6: linear scaling divides the angle by the factor;
    DeepSeek-Coder-V2 §3.4: YaRN divides that of slow pairs alone.
    """
    exponents = torch.arange(0, config.rope_width, 2, dtype=torch.float32, device=device)
    frequencies = 1.0 / (config.rope_theta ** (exponents / config.rope_width))
    scaling = config.rope_scaling
    if isinstance(scaling, LinearScaling):
        return frequencies / scaling.factor
    if isinstance(scaling, YarnScaling):
        kept = _kept_share(config, scaling, device)
        return frequencies / scaling.factor * (1 - kept) + frequencies * kept
    return frequencies


def _kept_share(config: ModelConfig, scaling: YarnScaling, device: torch.device | None) -> Tensor:
    """How much of each pair's own angle YaRN keeps: 1 for fast pairs, 0 for slow ones."""
    context, width = scaling.original_max_position_embeddings, config.rope_width

    def pair_of(turns: float) -> float:
        """The pair that turns so often within the original context."""
        ratio = math.log(context / (turns * 2 * math.pi)) / math.log(config.rope_theta)
        return width * ratio / 2

    low = max(math.floor(pair_of(scaling.beta_fast)), 0)
    high = min(math.ceil(pair_of(scaling.beta_slow)), width - 1)
    pairs = torch.arange(width // 2, dtype=torch.float32, device=device)
    return 1 - ((pairs - low) / max(high - low, 0.001)).clamp(0, 1)


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
        """Cosine and sine, each [1 or batch, count, 1, rope_width / 2], fp32.

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


def rotate(
    heads: Tensor,
    cosine: Tensor,
    sine: Tensor,
    dtype: torch.dtype,
    *,
    neighbours: bool = False,
) -> Tensor:
    """Rotate [batch, sequence, heads, width]. Computed in fp32, given in `dtype`.

    Args:
        neighbours: pairs are (2 i, 2 i + 1), as DeepseekV2ForCausalLM has them; otherwise
            (i, i + width / 2), as LlamaForCausalLM.
    """
    if torch.compiler.is_compiling():
        first, second = _pairs(heads, neighbours)
        turned = (first * cosine - second * sine, second * cosine + first * sine)
        if neighbours:
            return torch.stack(turned, -1).flatten(-2).to(dtype)
        return torch.cat(turned, -1).to(dtype)
    result: Tensor = _Rotate.apply(heads, cosine, sine, dtype, neighbours)
    return result


def _pairs(heads: Tensor, neighbours: bool) -> tuple[Tensor, Tensor]:
    """The first and the second of all pairs, as views."""
    if neighbours:
        return heads[..., 0::2], heads[..., 1::2]
    first, second = heads.chunk(2, -1)
    return first, second


def _angles(config: ModelConfig, positions: Tensor) -> Tensor:
    """[2 (cosine, sine), *positions.shape, rope_width / 2]."""
    frequencies = inverse_frequencies(config, positions.device)
    angles = positions[..., None].float() * frequencies
    table = torch.stack((angles.cos(), angles.sin()))
    scaling = config.rope_scaling
    return table * scaling.rotation_scale if isinstance(scaling, YarnScaling) else table


class _Rotate(torch.autograd.Function):
    """The backward pass of a rotation is the rotation back: nothing but the angles is kept."""

    @staticmethod
    def forward(
        ctx: Any, heads: Tensor, cosine: Tensor, sine: Tensor, dtype: torch.dtype, neighbours: bool
    ) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        ctx.dtype, ctx.neighbours = heads.dtype, neighbours
        return _turn(heads, cosine, sine, 1, neighbours).to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        cosine, sine = ctx.saved_tensors
        turned = _turn(grad, cosine, sine, -1, ctx.neighbours)
        return turned.to(ctx.dtype), None, None, None, None


def _turn(heads: Tensor, cosine: Tensor, sine: Tensor, sign: int, neighbours: bool) -> Tensor:
    first, second = _pairs(heads.float(), neighbours)
    turned = torch.empty(heads.shape, dtype=torch.float32, device=heads.device)
    left, right = _pairs(turned, neighbours)
    torch.mul(first, cosine, out=left)
    left.addcmul_(second, sine, value=-sign)
    torch.mul(second, cosine, out=right)
    right.addcmul_(first, sine, value=sign)
    return turned
