"""Floating-point operations of training, counted from the shape.

The convention of PaLM (Chowdhery et al. 2022, appendix B), which others' utilisation figures use:
6 for each parameter of a matrix that a token meets (2 forward, 4 backward), and attention's scores
and sums over the whole sequence, although causal attention needs half of them. The embedding table
is looked up and not multiplied; the head is. Of routed experts those that a token is sent to count.
"""

from __future__ import annotations

from codekiln.models.config import ModelConfig
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.moe_config import DeepseekV2Config


def training_flops(
    config: ModelConfig, sequence_length: int, *, frozen: int = 0, added: int = 0
) -> float:
    """Forward and backward, of one token in a sequence of so many.

    Args:
        config: the model's shape.
        sequence_length: tokens.
        frozen: parameters, of those in `matrix_parameters`, that do not learn: theirs is no
            gradient, which a third of their products serve.
        added: parameters of narrow additions beside matrices (LoRA).
    """
    matrices = 6.0 * (matrix_parameters(config) + added) - 2.0 * frozen
    return matrices + 6.0 * sequence_length * attention_width(config)


def matrix_parameters(config: ModelConfig) -> int:
    """Parameters of matrices that each token meets: layers and head; norms of layers left out."""
    norms = 2 * config.hidden_size * config.num_hidden_layers + config.hidden_size
    return config.active_parameters - norms


def head_parameters(config: ModelConfig) -> int:
    """Parameters of the head, tied or not."""
    return config.vocab_size * config.hidden_size


def non_embedding_flops(config: ModelConfig, sequence_length: int) -> float:
    """`training_flops` without the head: the scale of a model in DeepSeek-LLM §3.2 (M)."""
    return training_flops(config, sequence_length) - 6.0 * head_parameters(config)


def attention_width(config: ModelConfig) -> int:
    """Numbers of all heads' keys and values, over all layers: what each pair of tokens costs."""
    if isinstance(config, DeepseekV2Config):
        each = config.qk_head_dim + config.v_head_dim
    else:
        assert isinstance(config, LlamaConfig)
        each = 2 * config.head_dim
    return config.num_hidden_layers * config.num_attention_heads * each
