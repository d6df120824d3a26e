"""Named shapes: the published DeepSeek-Coder models, and small ones for one GPU or a CPU.

`vocab_size` stands only with published models: it is that of their own tokenizer. A run from a
recipe takes the size of the run's tokenizer, unless the recipe says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Source: DeepSeek-Coder §3.3, Table 2 and §3.6, and the configuration of the released models
# (linear scaling x4 of positions and base 100000: 16K context).
_CODER: dict[str, Any] = {
    "vocab_size": 32256,
    "max_position_embeddings": 16384,
    "rope_theta": 100000.0,
    "rope_scaling": {"rope_type": "linear", "factor": 4.0},
}


# Source: DeepSeek-Coder-V2 §3.1 and §3.4, and the configuration of the released models.
_YARN: dict[str, Any] = {
    "rope_type": "yarn",
    "factor": 40.0,
    "original_max_position_embeddings": 4096,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
}
_CODER_V2: dict[str, Any] = {
    "architecture": "DeepseekV2ForCausalLM",
    "vocab_size": 102400,
    "max_position_embeddings": 163840,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "n_shared_experts": 2,
    "num_experts_per_tok": 6,
    "first_k_dense_replace": 1,
    "aux_loss_alpha": 0.001,
}


def _sparse(hidden: int, layers: int, heads: int, experts: int, width: int) -> dict[str, Any]:
    """A small shape in the style of V2-Lite: one dense layer, one shared expert, four chosen."""
    return {
        "architecture": "DeepseekV2ForCausalLM",
        "hidden_size": hidden,
        "intermediate_size": 4 * width,
        "moe_intermediate_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "kv_lora_rank": hidden // 4,
        "qk_nope_head_dim": 32,
        "qk_rope_head_dim": 16,
        "v_head_dim": 32,
        "n_routed_experts": experts,
        "n_shared_experts": 1,
        "num_experts_per_tok": 4,
        "first_k_dense_replace": 1,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    }


def _small(hidden: int, intermediate: int, layers: int, heads: int) -> dict[str, Any]:
    """A shape in the style of Table 2, with tied embeddings, which at this size cost the most."""
    return {
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    }


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "deepseek-coder-1.3b": {
        **_CODER,
        "hidden_size": 2048,
        "intermediate_size": 5504,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
    },
    "deepseek-coder-6.7b": {
        **_CODER,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
    "deepseek-coder-33b": {
        **_CODER,
        "hidden_size": 7168,
        "intermediate_size": 19200,
        "num_hidden_layers": 62,
        "num_attention_heads": 56,
        "num_key_value_heads": 8,
    },
    # Source: DeepSeek-Coder §5: the shape of DeepSeek-LLM 7B, 4K context.
    "deepseek-coder-7b-v1.5": {
        "vocab_size": 102400,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 30,
        "num_attention_heads": 32,
        "max_position_embeddings": 4096,
        "rope_theta": 10000.0,
    },
    "deepseek-coder-v2-lite": {
        **_CODER_V2,
        "hidden_size": 2048,
        "intermediate_size": 10944,
        "moe_intermediate_size": 1408,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "n_routed_experts": 64,
        "rope_scaling": {**_YARN, "mscale": 0.707, "mscale_all_dim": 0.707},
    },
    "deepseek-coder-v2": {
        **_CODER_V2,
        "hidden_size": 5120,
        "intermediate_size": 12288,
        "moe_intermediate_size": 1536,
        "num_hidden_layers": 60,
        "num_attention_heads": 128,
        "q_lora_rank": 1536,
        "n_routed_experts": 160,
        "topk_method": "group_limited_greedy",
        "n_group": 8,
        "topk_group": 3,
        "routed_scaling_factor": 16.0,
        "rope_scaling": {**_YARN, "mscale": 1.0, "mscale_all_dim": 1.0},
    },
    # The number in a name is the size with a vocabulary of 4096 (small-60m, -120m: 8192, 16384).
    "tiny-1m": _small(128, 352, 4, 4),
    "tiny-3m": _small(192, 512, 6, 6),
    "tiny-6m": _small(256, 704, 6, 8),
    "small-30m": _small(512, 1408, 9, 8),
    "small-60m": _small(640, 1728, 12, 10),
    "small-120m": _small(768, 2048, 15, 12),
    # Experts: the number is that of all parameters; of a token's, see `codekiln list models`.
    "tiny-moe-8m": _sparse(192, 6, 6, 16, 128),
    "small-moe-60m": _sparse(384, 8, 12, 32, 192),
}
