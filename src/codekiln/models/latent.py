"""Multi-head latent attention: keys and values are made from one narrow latent a token.

While training, keys and values of all heads are made and attended to. With a cache, the latent and
the one rotated key are all that is kept: kv_lora_rank + qk_rope_head_dim numbers a token and layer.
Few new tokens then look at the latents themselves: the matrix that makes keys is applied to the
queries instead, the one that makes values to the result. Many new tokens are cheaper the other way.

Source: DeepSeek-V2 §2.1, appendix C.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from codekiln.models.attention import Visibility, attend
from codekiln.models.layers import Cache, Linear, RMSNorm, Rotation
from codekiln.models.moe_config import DeepseekV2Config
from codekiln.models.positions import YarnScaling
from codekiln.models.precision import attention_dtype
from codekiln.models.product import local
from codekiln.models.rope import rotate

LATENT_EPS = 1e-6  # of the latents' norms, whatever rms_norm_eps says: as the released code


class LatentAttention(nn.Module):
    """Causal self-attention over latents, with and without query compression.

    What makes latents is on every tensor-parallel rank: it is narrow, and all heads need it.
    """

    tensor_parallel: ClassVar = {"q_proj": 0, "q_b_proj": 0, "kv_b_proj": 0, "o_proj": 1}

    def __init__(self, config: DeepseekV2Config, layer: int) -> None:
        super().__init__()
        self.layer, self.config = layer, config
        heads, hidden = config.num_attention_heads, config.hidden_size
        if config.q_lora_rank is None:
            self.q_proj = Linear(hidden, heads * config.qk_head_dim)
        else:
            self.q_a_proj = Linear(hidden, config.q_lora_rank)
            self.q_a_layernorm = RMSNorm(config.q_lora_rank, LATENT_EPS)
            self.q_b_proj = Linear(config.q_lora_rank, heads * config.qk_head_dim)
        self.kv_a_proj_with_mqa = Linear(hidden, config.kv_lora_rank + config.qk_rope_head_dim)
        self.kv_a_layernorm = RMSNorm(config.kv_lora_rank, LATENT_EPS)
        width = config.qk_nope_head_dim + config.v_head_dim
        self.kv_b_proj = Linear(config.kv_lora_rank, heads * width)
        self.o_proj = Linear(heads * config.v_head_dim, hidden)
        self.scale = _score_scale(config)

    def forward(
        self, hidden: Tensor, rotation: Rotation, seen: Visibility, cache: Cache | None
    ) -> Tensor:
        """[batch, sequence, hidden_size] -> the same shape."""
        query = self._query(hidden, rotation)
        latent, turned = self._latent(hidden, rotation)
        if cache is not None:
            # one head of key, nothing of value: the value is the first part of the key
            both = torch.cat((latent, turned), -1)[:, None]
            both, _ = cache.update(self.layer, both, both[..., :0])
            latent, turned = both[:, 0].split(
                (self.config.kv_lora_rank, self.config.qk_rope_head_dim), -1
            )
            if hidden.shape[1] < self._fewest_queries:
                return self._over_latents(query, both, seen)
        key, value = self._expanded(latent, turned)
        out: Tensor = self.o_proj(attend(query, key, value, seen, scale=self.scale))
        return out

    def _query(self, hidden: Tensor, rotation: Rotation) -> Tensor:
        """[batch, heads, sequence, qk_head_dim]; the last numbers of each are turned."""
        config, dtype = self.config, attention_dtype(hidden)
        if config.q_lora_rank is None:
            query = self.q_proj(hidden)
        else:
            query = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(hidden)))
        query = query.view(*hidden.shape[:2], -1, config.qk_head_dim)
        still = config.qk_nope_head_dim
        return rotate(query, *rotation, dtype, neighbours=True, still=still).transpose(1, 2)

    def _latent(self, hidden: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        """[batch, sequence, kv_lora_rank] and the key that all heads share, qk_rope_head_dim."""
        config, dtype = self.config, attention_dtype(hidden)
        both = self.kv_a_proj_with_mqa(hidden)
        latent, key = both.split((config.kv_lora_rank, config.qk_rope_head_dim), -1)
        turned = rotate(key[:, :, None], *rotation, dtype, neighbours=True)[:, :, 0]
        return self.kv_a_layernorm(latent).to(dtype), turned

    def _expanded(self, latent: Tensor, turned: Tensor) -> tuple[Tensor, Tensor]:
        """Keys [batch, heads, sequence, qk_head_dim] and values [..., v_head_dim]."""
        config = self.config
        batch, count, _ = latent.shape
        width = config.qk_nope_head_dim + config.v_head_dim
        made = self.kv_b_proj(latent).view(batch, count, -1, width)
        still, value = made.split((config.qk_nope_head_dim, config.v_head_dim), -1)
        shared = turned[:, :, None].expand(-1, -1, made.shape[2], -1)
        key = torch.cat((still.to(turned.dtype), shared), -1)
        return key.transpose(1, 2), value.to(turned.dtype).transpose(1, 2)

    def _over_latents(self, query: Tensor, both: Tensor, seen: Visibility) -> Tensor:
        """Attention of queries over [batch, 1, keys, kv_lora_rank + qk_rope_head_dim] itself."""
        config = self.config
        width = config.qk_nope_head_dim + config.v_head_dim
        weight = local(self.kv_b_proj.weight).view(-1, width, config.kv_lora_rank)
        to_key, to_value = weight.split((config.qk_nope_head_dim, config.v_head_dim), 1)
        still, turned = query.split((config.qk_nope_head_dim, config.qk_rope_head_dim), -1)
        query = torch.cat((still @ to_key.to(query.dtype), turned), -1)
        # the key serves as value: its last numbers are left out afterwards, and nothing is copied
        out = attend(query, both, both, seen, scale=self.scale)
        out = out.unflatten(-1, (len(weight), -1))[..., : config.kv_lora_rank]
        out = out.transpose(1, 2)
        out = (out @ to_value.to(out.dtype).mT).transpose(1, 2).flatten(2)
        result: Tensor = self.o_proj(out)
        return result

    @property
    def _fewest_queries(self) -> float:
        """New tokens from which making all keys and values costs less than doing without.

        A key costs kv_lora_rank x (nope + v) products a head to make; a query and a key cost
        2 x kv_lora_rank + rope without, nope + rope + v with.
        """
        config = self.config
        made = config.qk_nope_head_dim + config.v_head_dim
        saved = 2 * config.kv_lora_rank - made
        return config.kv_lora_rank * made / saved if saved > 0 else math.inf


def _score_scale(config: DeepseekV2Config) -> float:
    scaling = config.rope_scaling
    extra = scaling.score_scale if isinstance(scaling, YarnScaling) else 1.0
    return extra / math.sqrt(config.qk_head_dim)
