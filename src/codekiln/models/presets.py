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
    # The number in a name is the size with a vocabulary of 4096 (small-60m, -120m: 8192, 16384).
    "tiny-1m": _small(128, 352, 4, 4),
    "tiny-3m": _small(192, 512, 6, 6),
    "tiny-6m": _small(256, 704, 6, 8),
    "small-30m": _small(512, 1408, 9, 8),
    "small-60m": _small(640, 1728, 12, 10),
    "small-120m": _small(768, 2048, 15, 12),
}
