"""The dense decoder: RMSNorm, SwiGLU, rotary positions, grouped queries, no biases.

Source: DeepSeek-Coder §3.3, Table 2. Modules carry the names of Hugging Face's
LlamaForCausalLM, so that checkpoints need no adapter in either direction.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from codekiln.models.attention import Visibility, attend
from codekiln.models.causal import CausalLM
from codekiln.models.config import ModelConfig
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.layers import MLP, Cache, DecoderLayer, Linear, Rotation
from codekiln.models.precision import attention_dtype
from codekiln.models.rope import rotate


class Attention(nn.Module):
    """Causal self-attention with rotary positions and grouped queries.

    Attributes:
        tensor_parallel: the dimension of each matrix that tensor-parallel ranks divide.
    """

    tensor_parallel: ClassVar = {"q_proj": 0, "k_proj": 0, "v_proj": 0, "o_proj": 1}

    def __init__(self, config: LlamaConfig, layer: int) -> None:
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


class LlamaForCausalLM(CausalLM):
    """The dense model. Source: DeepSeek-Coder §3.3."""

    config: LlamaConfig

    @staticmethod
    def layer(config: ModelConfig, index: int) -> DecoderLayer:
        """Grouped-query attention and a dense feed-forward."""
        assert isinstance(config, LlamaConfig)
        feed_forward = MLP(config.hidden_size, config.intermediate_size)
        return DecoderLayer(config, Attention(config, index), feed_forward)
