"""What decoders of every architecture are made of. Modules carry Hugging Face's names."""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from codekiln.models.attention import Visibility
from codekiln.models.config import ModelConfig
from codekiln.models.operations import rms_norm, silu_gate
from codekiln.models.precision import compute_dtype
from codekiln.models.product import local, product

Rotation = tuple[Tensor, Tensor]


class Cache(Protocol):
    """What attention keeps of the tokens already read."""

    @property
    def length(self) -> int:
        """Tokens a row that all layers hold."""

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add [batch, kv_heads, new, width] twice; give all, [batch, kv_heads, length + new, …]."""


class Adapter(nn.Module):
    """A narrow addition to a matrix; see `lora`."""

    def __init__(self, matrix: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, matrix.in_features))
        self.up = nn.Parameter(torch.empty(matrix.out_features, rank))
        self.scale = scale

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        return product(product(inputs, self.down), self.up) * self.scale


class Linear(nn.Linear):
    """A matrix without bias; its first values come from `CausalLM.init_weights`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)
        self.adapter: Adapter | None = None

    def reset_parameters(self) -> None:
        """Nothing: one initialisation is enough."""

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        out = product(inputs, local(self.weight))
        return out if self.adapter is None else out + self.adapter(inputs)


class Embedding(nn.Embedding):
    """Token embeddings; their first values come from `CausalLM.init_weights`."""

    def reset_parameters(self) -> None:
        """Nothing: one initialisation is enough."""


class RMSNorm(nn.Module):
    """Root mean square norm, fp32 inside; gives what the next matrix computes in."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., width] -> the same shape."""
        return rms_norm(hidden, self.weight, self.eps, compute_dtype(hidden))


class MLP(nn.Module):
    """SwiGLU feed-forward."""

    tensor_parallel: ClassVar = {"gate_proj": 0, "up_proj": 0, "down_proj": 1}

    def __init__(self, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.gate_proj = Linear(hidden_size, intermediate_size)
        self.up_proj = Linear(hidden_size, intermediate_size)
        self.down_proj = Linear(intermediate_size, hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., hidden_size] -> the same shape."""
        out: Tensor = self.down_proj(silu_gate(self.gate_proj(hidden), self.up_proj(hidden)))
        return out


class DecoderLayer(nn.Module):
    """Attention, then feed-forward, each behind a norm and added to the stream.

    Args:
        attention: (hidden, rotation, seen, cache) -> hidden.
        feed_forward: hidden -> hidden.
    """

    def __init__(self, config: ModelConfig, attention: nn.Module, feed_forward: nn.Module) -> None:
        super().__init__()
        self.self_attn = attention
        self.mlp = feed_forward
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self, hidden: Tensor, rotation: Rotation, seen: Visibility, cache: Cache | None
    ) -> Tensor:
        """[batch, sequence, hidden_size] -> the same shape."""
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), rotation, seen, cache)
        out: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden))
        return out
