"""Counted operations against PyTorch's own count of a forward and backward pass."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from codekiln.models.causal import build_model
from codekiln.models.flops import (
    head_parameters,
    matrix_parameters,
    non_embedding_flops,
    training_flops,
)
from codekiln.models.lora import add_adapters
from codekiln.models.lora_settings import LoraSettings
from codekiln.models.settings import ModelSettings

CONFIG = ModelSettings(preset="tiny-1m", tie_word_embeddings=False)


def counted(settings: ModelSettings, length: int, lora: LoraSettings | None = None) -> float:
    """Of a token; kernels of attention are not counted."""
    model = build_model(settings.config(vocab_size=512), torch.Generator().manual_seed(0)).eval()
    add_adapters(model, lora or LoraSettings())
    tokens = torch.randint(0, 512, (1, length))
    with FlopCounterMode(display=False) as counter, torch.autocast("cpu", torch.bfloat16):
        # products are counted, operators of our own are not: autocast takes the plain ones
        model(tokens).float().logsumexp(-1).sum().backward()
    return counter.get_total_flops() / length


@pytest.mark.parametrize(
    "settings",
    [
        ModelSettings(preset="tiny-1m"),
        ModelSettings(preset="tiny-1m", tie_word_embeddings=False, num_key_value_heads=2),
        ModelSettings(preset="tiny-moe-8m"),
    ],
)
def test_products_are_those_of_the_matrices(settings: ModelSettings) -> None:
    config = settings.config(vocab_size=512)
    assert counted(settings, 128) == pytest.approx(6 * matrix_parameters(config), rel=0.02)


@pytest.mark.parametrize("keys", [4, 2])
def test_attention_counts_every_pair(keys: int) -> None:
    """The way there, a third of all, exactly as PyTorch counts its own kernels on a GPU."""
    settings = ModelSettings(preset="tiny-1m", num_key_value_heads=keys)
    config, length = settings.config(vocab_size=512), 256
    model = build_model(config, torch.Generator().manual_seed(0)).eval()
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

    def count(query: Tensor, key: Tensor, value: Tensor, *_: object, **__: object) -> int:
        return sdpa_flop_count(query, key, value)

    counter = FlopCounterMode(display=False, custom_mapping={kernel: count})
    with counter, torch.autocast("cpu", torch.bfloat16):
        model(torch.randint(0, 512, (1, length)))
    assert 3 * counter.get_total_flops() / length == training_flops(config, length)


@pytest.mark.parametrize("embeddings", [True, False])
def test_what_does_not_learn_has_no_gradient_to_be_counted(embeddings: bool) -> None:
    lora = LoraSettings(rank=8, embeddings=embeddings)
    config = CONFIG.config(vocab_size=512)
    model = build_model(config, torch.Generator().manual_seed(0))
    add_adapters(model, lora)
    added = sum(p.numel() for name, p in model.named_parameters() if ".adapter." in name)
    frozen = matrix_parameters(config) - (head_parameters(config) if embeddings else 0)
    said = training_flops(config, 0, frozen=frozen, added=added)
    # without learning embeddings nothing flows back into the first layer's first products
    assert counted(CONFIG, 128, lora) == pytest.approx(said, rel=0.01 if embeddings else 0.04)


def test_the_scaling_laws_model_has_no_vocabulary() -> None:
    config = ModelSettings(preset="deepseek-coder-7b-v1.5").config()
    # DeepSeek-LLM §3.2: 72 layers hidden^2 + 12 layers hidden length, for a feed-forward of 8/3
    said = 72 * 30 * 4096**2 + 12 * 30 * 4096 * 4096
    assert non_embedding_flops(config, 4096) == pytest.approx(said, rel=0.01)


def test_longer_sequences_cost_their_pairs() -> None:
    config = CONFIG.config(vocab_size=512)
    short, long = training_flops(config, 1000), training_flops(config, 3000)
    width = 2 * config.hidden_size * config.num_hidden_layers
    assert long - short == pytest.approx(6 * 2000 * width)


def test_of_experts_those_that_are_chosen_count() -> None:
    lite = ModelSettings(preset="deepseek-coder-v2-lite").config()
    assert training_flops(lite, 1) == pytest.approx(6 * 2.45e9, rel=0.01)
