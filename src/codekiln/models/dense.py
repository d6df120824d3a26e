"""The dense decoder: RMSNorm, SwiGLU, rotary positions, grouped queries, no biases.

Source: DeepSeek-Coder §3.3, Table 2. Modules carry the names of Hugging Face's
LlamaForCausalLM, so that checkpoints need no adapter in either direction.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from codekiln.models.attention import Visibility, attend, visibility
from codekiln.models.config import ModelConfig
from codekiln.models.loss import cross_entropy
from codekiln.models.operations import rms_norm, silu_gate
from codekiln.models.precision import attention_dtype, compute_dtype
from codekiln.models.product import product
from codekiln.models.rope import RotaryTable, rotate

Rotation = tuple[Tensor, Tensor]


class Cache(Protocol):
    """Keys and values of the tokens already read."""

    @property
    def length(self) -> int:
        """Tokens a row that all layers hold."""

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add [batch, kv_heads, new, head_dim]; give all, [batch, kv_heads, length + new, …]."""


class Linear(nn.Linear):
    """A matrix without bias; its first values come from `LlamaForCausalLM.init_weights`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def reset_parameters(self) -> None:
        """Nothing: one initialisation is enough."""

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        return product(inputs, self.weight)


class Embedding(nn.Embedding):
    """Token embeddings; their first values come from `LlamaForCausalLM.init_weights`."""

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


class Attention(nn.Module):
    """Causal self-attention with rotary positions and grouped queries."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_dim = config.head_dim
        queries = config.num_attention_heads * config.head_dim
        keys = config.num_key_value_heads * config.head_dim
        self.q_proj = Linear(config.hidden_size, queries)
        self.k_proj = Linear(config.hidden_size, keys)
        self.v_proj = Linear(config.hidden_size, keys)
        self.o_proj = Linear(queries, config.hidden_size)

    def forward(
        self, hidden: Tensor, rotation: Rotation, seen: Visibility, cache: Cache | None
    ) -> Tensor:
        """[batch, sequence, hidden_size] -> the same shape."""
        batch, count, _ = hidden.shape
        shape = (batch, count, -1, self.head_dim)
        dtype = attention_dtype(hidden)
        query = rotate(self.q_proj(hidden).view(shape), *rotation, dtype).transpose(1, 2)
        key = rotate(self.k_proj(hidden).view(shape), *rotation, dtype).transpose(1, 2)
        value = self.v_proj(hidden).view(shape).to(dtype).transpose(1, 2)
        if cache is not None:
            key, value = cache.update(self.layer, key, value)
        out: Tensor = self.o_proj(attend(query, key, value, seen))
        return out


class MLP(nn.Module):
    """SwiGLU feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.intermediate_size)
        self.up_proj = Linear(config.hidden_size, config.intermediate_size)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., hidden_size] -> the same shape."""
        out: Tensor = self.down_proj(silu_gate(self.gate_proj(hidden), self.up_proj(hidden)))
        return out


class DecoderLayer(nn.Module):
    """Attention, then feed-forward, each behind a norm and added to the stream."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.self_attn = Attention(config, layer)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self, hidden: Tensor, rotation: Rotation, seen: Visibility, cache: Cache | None
    ) -> Tensor:
        """[batch, sequence, hidden_size] -> the same shape."""
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), rotation, seen, cache)
        out: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden))
        return out


class Decoder(nn.Module):
    """Embeddings, layers and the last norm (`model.` in a checkpoint's names)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            DecoderLayer(config, i) for i in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self, tokens: Tensor, rotation: Rotation, seen: Visibility, cache: Cache | None
    ) -> Tensor:
        """[batch, sequence] -> the stream before the last norm, [batch, sequence, hidden_size]."""
        hidden: Tensor = self.embed_tokens(tokens)
        for layer in self.layers:
            hidden = layer(hidden, rotation, seen, cache)
        return hidden


class LlamaForCausalLM(nn.Module):
    """A decoder with a head over the vocabulary; freshly initialised unless on the meta device.

    Args:
        config: its shape.
        generator: draws the first weights; None is torch's own.

    Source: DeepSeek-Coder §3.3.
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = Linear(config.hidden_size, config.vocab_size)
        self.rotary = RotaryTable(config)
        self.tie_weights()
        if not self.lm_head.weight.is_meta:
            self.init_weights(generator)

    def tie_weights(self) -> None:
        """Make the head the embeddings, where the configuration says so."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Normal weights with `initializer_range`; norms are ones.

        The same generator state gives the same weights: tensors are drawn in the order of
        their names in the model. Open: the paper does not say how weights start.
        """
        for module in self.modules():
            if isinstance(module, RMSNorm):
                module.weight.fill_(1.0)
        for parameter in self.parameters():  # tied weights come once
            if parameter.dim() == 2:
                parameter.normal_(0.0, self.config.initializer_range, generator=generator)

    def forward(
        self,
        tokens: Tensor,
        *,
        positions: Tensor | None = None,
        document_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        last_only: bool = False,
    ) -> Tensor:
        """Logits, fp32 or the model's dtype: [batch, sequence (1 if last_only), vocab_size].

        Args:
            tokens: int64 [batch, sequence].
            positions: int64 [batch, sequence]; default: counted on from the cache's length.
            document_ids: int64 [batch, sequence]; attention stays inside a run of equal ids.
            attention_mask: [batch, cache.length + sequence], zero for padding (on the left).
                Positions are then counted from each row's first token, unless given.
            cache: keys and values of earlier tokens; takes those of the new ones.
            last_only: logits of the last token alone, for decoding.
        """
        hidden = self._hidden(tokens, positions, document_ids, attention_mask, cache)
        hidden = self.model.norm(hidden[:, -1:] if last_only else hidden)
        logits: Tensor = self.lm_head(hidden)
        return logits

    def loss(
        self,
        tokens: Tensor,
        targets: Tensor,
        *,
        positions: Tensor | None = None,
        document_ids: Tensor | None = None,
    ) -> Tensor:
        """Mean cross-entropy in nats a token, fp32 scalar; targets of -100 don't count.

        Args:
            tokens: int64 [batch, sequence].
            targets: int64 [batch, sequence]: the token that follows each.
        """
        hidden = self._hidden(tokens, positions, document_ids, None, None)
        hidden = self.model.norm(hidden)
        dtype = hidden.dtype
        return cross_entropy(hidden.flatten(0, 1), self.lm_head.weight, targets.flatten(), dtype)

    def _hidden(
        self,
        tokens: Tensor,
        positions: Tensor | None,
        document_ids: Tensor | None,
        attention_mask: Tensor | None,
        cache: Cache | None,
    ) -> Tensor:
        batch, count = tokens.shape
        past = cache.length if cache is not None else 0
        dtype = attention_dtype(self.lm_head.weight)
        seen = visibility(
            batch,
            count,
            past,
            device=tokens.device,
            dtype=dtype,
            document_ids=document_ids,
            attention_mask=attention_mask,
        )
        if positions is None and attention_mask is not None and seen.mask is not None:
            positions = (attention_mask.long().cumsum(1) - 1).clamp_(min=0)[:, past:]
        rotation = self.rotary(positions, past, count, tokens.device)
        hidden: Tensor = self.model(tokens, rotation, seen, cache)
        return hidden
