"""The load of experts: counted in training as a literal loop counts, and what is said of it."""

import math

import numpy as np
import pytest
import torch

from codekiln.models.moe_config import DeepseekV2Config
from codekiln.models.routing import Router
from codekiln.training.expert_load import figures, shares

CONFIG = DeepseekV2Config(
    vocab_size=50,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=32,
    kv_lora_rank=8,
    qk_nope_head_dim=4,
    qk_rope_head_dim=4,
    v_head_dim=4,
    n_routed_experts=6,
    num_experts_per_tok=2,
    moe_intermediate_size=8,
    first_k_dense_replace=1,
)


def test_a_router_counts_what_it_chooses_in_training_alone() -> None:
    router = Router(CONFIG)
    torch.nn.init.normal_(router.weight, generator=torch.Generator().manual_seed(0))
    hidden = torch.randn(40, 16, generator=torch.Generator().manual_seed(1))
    router(hidden)  # nobody asks
    router.load = torch.zeros(6, dtype=torch.int64)
    wanted = [0] * 6
    for token in hidden.tolist():
        scores = [
            sum(a * b for a, b in zip(token, row, strict=True)) for row in router.weight.tolist()
        ]
        for expert in sorted(range(6), key=lambda e: -scores[e])[:2]:
            wanted[expert] += 2
    router(hidden)
    router(hidden)
    router.eval()
    router(hidden)
    assert router.load.tolist() == wanted


def test_figures_of_loads_worked_out_by_hand() -> None:
    even = np.full((3, 4), 7.0)
    assert figures(even) == {
        "expert_load_max_over_mean": 1.0,
        "expert_load_entropy_ratio": pytest.approx(1.0),
        "experts_under_half_load_share": 0.0,
    }
    one = np.array([[8.0, 0, 0, 0], [4, 2, 1, 1]])
    bits = 0.5 * 1 + 0.25 * 2 + 2 * 0.125 * 3
    assert figures(one) == {
        "expert_load_max_over_mean": 4.0,
        "expert_load_entropy_ratio": pytest.approx((0 + bits / math.log2(4)) / 2),
        "experts_under_half_load_share": 3 / 8,  # 1 of 8 is half of 2, not under it
    }
    assert shares(one) == [[1, 0, 0, 0], [0.5, 0.25, 0.125, 0.125]]
