"""The law against the published runs of DeepSeek-LLM and DeepSeek-Coder."""

import pytest

from codekiln.models.flops import non_embedding_flops
from codekiln.models.settings import ModelSettings
from codekiln.training.law import suggest


def test_the_33b_models_rate_and_batch_are_the_laws() -> None:
    config = ModelSettings(preset="deepseek-coder-33b").config()
    law = suggest(non_embedding_flops(config, 4096) * 1.8e12)
    assert law.learning_rate == pytest.approx(3.5e-4, rel=0.01)  # Table 2
    assert law.batch_tokens == pytest.approx(3840 * 4096, rel=0.05)


def test_model_and_data_multiply_to_the_budget() -> None:
    for compute in (1e17, 3e20):
        law = suggest(compute)
        assert law.flops_per_token * law.tokens == pytest.approx(compute, rel=0.01)
