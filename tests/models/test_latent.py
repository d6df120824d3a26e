"""Latent attention: what the cache holds, and both ways to compute with it."""

from typing import Any

import pytest
import torch

from codekiln.generation.cache import KVCache
from codekiln.models import latent
from codekiln.models.moe import DeepseekV2ForCausalLM
from codekiln.models.moe_config import DeepseekV2Config
from codekiln.models.settings import ModelSettings


def _model(shape: dict[str, Any], **changes: Any) -> DeepseekV2ForCausalLM:
    config = DeepseekV2Config(**shape | changes)
    return DeepseekV2ForCausalLM(config, torch.Generator().manual_seed(5)).eval()


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"q_lora_rank": 24}, {"qk_rope_head_dim": 4}])
def test_a_token_costs_the_latent_and_the_turned_key(
    shape: dict[str, Any], changes: dict[str, Any]
) -> None:
    model = _model(shape, **changes)
    cache = KVCache(2, 64)
    tokens = torch.randint(0, 97, (3, 20))
    model(tokens, cache=cache)
    held = sum(block.numel() for block in (*cache._keys, *cache._values) if block is not None)
    per_token = held / (3 * cache.capacity * model.config.num_hidden_layers)
    assert per_token == model.config.kv_lora_rank + model.config.qk_rope_head_dim
    assert per_token < 2 * model.config.num_attention_heads * model.config.v_head_dim


def test_v2_keeps_576_numbers_a_token_and_layer() -> None:
    for name in ("deepseek-coder-v2", "deepseek-coder-v2-lite"):
        config = ModelSettings(preset=name).config()
        assert isinstance(config, DeepseekV2Config)
        assert config.kv_lora_rank + config.qk_rope_head_dim == 576


@torch.no_grad()
@pytest.mark.parametrize("fewest", [0, 10**9])
def test_with_and_without_making_keys_agree(
    shape: dict[str, Any], fewest: float, monkeypatch: Any
) -> None:
    model, tokens = _model(shape, q_lora_rank=24), torch.randint(0, 97, (2, 40))
    wanted = model(tokens)
    monkeypatch.setattr(latent.LatentAttention, "_fewest_queries", fewest)
    cache = KVCache(2, 64)
    found = [model(piece, cache=cache) for piece in tokens.split((13, 1, 20, 6), 1)]
    assert torch.allclose(torch.cat(found, 1), wanted, atol=1e-5)


@torch.no_grad()
def test_padded_batches_read_a_cache_of_latents(shape: dict[str, Any]) -> None:
    model, tokens = _model(shape), torch.randint(1, 97, (2, 12))
    mask = torch.ones_like(tokens)
    mask[0, :5] = 0
    cache = KVCache(2, 64)
    first = model(tokens[:, :11], attention_mask=mask[:, :11], cache=cache)
    second = model(tokens[:, 11:], attention_mask=mask, cache=cache)
    alone = model(tokens[:1, 5:])
    found = torch.cat((first, second), 1)[0, 5:]
    assert torch.allclose(found, alone[0], atol=1e-5)


def test_few_queries_are_those_for_which_doing_without_is_cheaper() -> None:
    config = ModelSettings(preset="deepseek-coder-v2-lite").config()
    assert isinstance(config, DeepseekV2Config)
    with torch.device("meta"):
        block = latent.LatentAttention(config, 0)
    keys = 1000

    def products(queries: int, *, made: bool) -> int:
        if made:
            return keys * 512 * 256 + queries * keys * (192 + 128)
        return queries * keys * (576 + 512)

    border = block._fewest_queries
    for queries in (1, 50, 150, 200, 1000):
        cheaper = products(queries, made=False) < products(queries, made=True)
        assert cheaper == (queries < border)
