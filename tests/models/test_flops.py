"""Counted operations against PyTorch's own count of a forward and backward pass."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from codekiln.models.causal import build_model
from codekiln.models.flops import matrix_parameters, training_flops
from codekiln.models.settings import ModelSettings

CONFIG = ModelSettings(preset="tiny-1m", tie_word_embeddings=False)


def counted(settings: ModelSettings, length: int) -> float:
    """Of a token; kernels of attention are not counted."""
    model = build_model(settings.config(vocab_size=512), torch.Generator().manual_seed(0)).eval()
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


def test_longer_sequences_cost_their_pairs() -> None:
    config = CONFIG.config(vocab_size=512)
    short, long = training_flops(config, 1000), training_flops(config, 3000)
    width = 2 * config.hidden_size * config.num_hidden_layers
    assert long - short == pytest.approx(6 * 2000 * width)


def test_of_experts_those_that_are_chosen_count() -> None:
    lite = ModelSettings(preset="deepseek-coder-v2-lite").config()
    assert training_flops(lite, 1) == pytest.approx(6 * 2.45e9, rel=0.01)
