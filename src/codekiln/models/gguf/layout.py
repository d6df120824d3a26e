"""Names and rows of tensors: what Hugging Face lays out one way, GGUF lays out another."""

from __future__ import annotations

import re

from torch import Tensor

from codekiln.models.dense_config import LlamaConfig

OUTPUT = "output.weight"

_TOP = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": OUTPUT,
}
_LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_IN_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)\.weight")


def gguf_name(name: str) -> str:
    """GGUF's name of a tensor of LlamaForCausalLM."""
    layer = _IN_LAYER.fullmatch(name)
    return f"blk.{layer[1]}.{_LAYER[layer[2]]}.weight" if layer else _TOP[name]


def interleaved(name: str, tensor: Tensor, config: LlamaConfig) -> Tensor:
    """Rows of queries and keys for llama.cpp, which turns the pairs (2i, 2i + 1) of a head.

    Here, as in transformers, the pairs are (i, i + head_dim / 2). Other tensors stay as they are.
    """
    heads = _heads(name, config)
    if not heads:
        return tensor
    return tensor.view(heads, 2, -1, tensor.shape[1]).transpose(1, 2).reshape(tensor.shape)


def halved(name: str, tensor: Tensor, config: LlamaConfig) -> Tensor:
    """The inverse of `interleaved`."""
    heads = _heads(name, config)
    if not heads:
        return tensor
    return tensor.view(heads, -1, 2, tensor.shape[1]).transpose(1, 2).reshape(tensor.shape)


def _heads(name: str, config: LlamaConfig) -> int:
    if name.endswith("q_proj.weight"):
        return config.num_attention_heads
    return config.num_key_value_heads if name.endswith("k_proj.weight") else 0
