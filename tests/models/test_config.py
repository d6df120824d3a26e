"""Configuration: published sizes, both spellings of RoPE, refusals."""

import pytest
import torch

from codekiln.errors import CheckpointError, RecipeError
from codekiln.models.causal import build_model
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.positions import LinearScaling
from codekiln.models.presets import PRESETS
from codekiln.models.settings import ModelSettings
from codekiln.recipe import Recipe, validate

PLAIN = {
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 100,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}

# Parameter counts as the hub shows them for the released checkpoints (safetensors metadata).
PUBLISHED = {
    "deepseek-coder-1.3b": 1_346_471_936,
    "deepseek-coder-6.7b": 6_740_512_768,
    "deepseek-coder-33b": 33_342_991_360,
    "deepseek-coder-7b-v1.5": 6_910_365_696,
    "deepseek-coder-v2-lite": 15_706_484_224,
    "deepseek-coder-v2": 235_741_434_880,
}
# Billions of a token's parameters, as DeepSeek-Coder-V2 §1 names them.
ACTIVE = {"deepseek-coder-v2-lite": 2.4, "deepseek-coder-v2": 21}


@pytest.mark.parametrize(("preset", "count"), PUBLISHED.items())
def test_published_models_have_their_published_size(preset: str, count: int) -> None:
    config = ModelSettings(preset=preset).config()
    with torch.device("meta"):
        model = build_model(config)
    assert sum(p.numel() for p in model.parameters()) == count
    assert config.parameters == count


@pytest.mark.parametrize(("preset", "billions"), ACTIVE.items())
def test_published_models_have_their_published_active_size(preset: str, billions: float) -> None:
    config = ModelSettings(preset=preset).config()
    assert abs(config.active_parameters / 1e9 - billions) < 0.2 * billions**0.1
    # what a token is multiplied with, counted in the modules: norms and matrices but the look-up
    with torch.device("meta"):
        model = build_model(config)
    counted = 0
    for name, parameter in model.named_parameters():
        share = 1.0
        if ".experts." in name:
            share = config.num_experts_per_tok / config.n_routed_experts
        counted += 0 if "embed_tokens" in name else parameter.numel() * share
    assert config.active_parameters == counted


@pytest.mark.parametrize("preset", [name for name in PRESETS if not name.startswith("deepseek")])
def test_small_presets_have_about_the_size_of_their_name(preset: str) -> None:
    vocabulary = {"small-60m": 8192, "small-120m": 16384}.get(preset, 4096)
    config = ModelSettings(preset=preset).config(vocab_size=vocabulary)
    with torch.device("meta"):
        model = build_model(config)
    named = float(preset.rpartition("-")[2].removesuffix("m")) * 1e6
    assert sum(p.numel() for p in model.parameters()) == config.parameters
    assert abs(config.parameters / named - 1) < 0.35


def test_released_coder_has_the_long_context_of_the_paper() -> None:
    config = ModelSettings(preset="deepseek-coder-33b").config()
    assert (config.max_position_embeddings, config.rope_theta) == (16384, 100000.0)
    assert config.rope_scaling == LinearScaling(factor=4.0)
    assert (config.num_key_value_heads, config.head_dim) == (8, 128)


def test_the_tokenizers_vocabulary_wins_over_the_presets() -> None:
    settings = ModelSettings(preset="deepseek-coder-1.3b")
    assert settings.config(vocab_size=4100).vocab_size == 4100
    assert settings.config().vocab_size == 32256


def test_the_recipes_vocabulary_must_hold_the_tokenizers() -> None:
    settings = ModelSettings(preset="tiny-1m", vocab_size=4096)
    assert settings.config(vocab_size=4000).vocab_size == 4096
    with pytest.raises(RecipeError, match=r"vocab_size.*4096"):
        settings.config(vocab_size=4097)
    with pytest.raises(RecipeError, match="not given"):
        ModelSettings(preset="tiny-1m").config()


def test_any_key_overrides_the_preset() -> None:
    values = {"preset": "deepseek-coder-33b", "num_hidden_layers": 2, "rope_theta": 5e5}
    config = ModelSettings(**values, rope_scaling={"factor": 1}).config()
    assert (config.num_hidden_layers, config.rope_theta, config.rope_scaling) == (2, 5e5, None)
    assert config.hidden_size == 7168


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"preset": "tiny3m"}, "did you mean 'tiny-3m'"),
        ({"hiden_size": 64}, "did you mean 'hidden_size'"),
        ({"hidden_size": 100}, "not a multiple of num_attention_heads"),
        ({"num_key_value_heads": 4}, "not a multiple of num_key_value_heads"),
        ({"head_dim": 31}, "odd"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"rope_scaling": {"factor": 0.5}}, "rope_scaling"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4}}, "rope_scaling"),
    ],
)
def test_impossible_settings_are_recipe_errors(values: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        validate("model", values, "recipe.toml")


def test_settings_survive_the_saved_recipe(tmp_path) -> None:
    table = {"preset": "tiny-6m", "rope_scaling": {"factor": 4.0}, "tie_word_embeddings": False}
    first = validate("model", table, "x")
    recipe = Recipe({"model": first})
    path = tmp_path / "recipe.toml"
    recipe.save(path)
    assert Recipe.load(path).table(ModelSettings) == first


ROPE_SPELLINGS = [
    ({}, 10000.0, None),
    ({"rope_theta": 5e5, "rope_scaling": None}, 5e5, None),
    ({"rope_theta": 1e5, "rope_scaling": {"type": "linear", "factor": 4.0}}, 1e5, 4.0),
    ({"rope_theta": 1e5, "rope_scaling": {"rope_type": "linear", "factor": 4}}, 1e5, 4.0),
    ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e5}}, 1e5, None),
    ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1e5, "factor": 4.0}}, 1e5, 4.0),
]


@pytest.mark.parametrize(("keys", "theta", "factor"), ROPE_SPELLINGS)
def test_both_spellings_of_rope(keys: dict, theta: float, factor: float | None) -> None:
    config = LlamaConfig.from_hf(PLAIN | keys)
    assert config.rope_theta == theta
    assert (config.rope_scaling and config.rope_scaling.factor) == factor
    assert LlamaConfig.from_hf(config.to_hf()) == config


def test_what_is_written_keeps_every_field() -> None:
    config = LlamaConfig.from_hf(
        PLAIN
        | {"num_key_value_heads": 2, "head_dim": 16, "rms_norm_eps": 1e-5}
        | {"tie_word_embeddings": True, "bos_token_id": 3, "eos_token_id": [4, 5]}
        | {"pad_token_id": 5, "max_position_embeddings": 777, "initializer_range": 0.006}
    )
    assert config.eos_token_ids == (4, 5)
    assert LlamaConfig.from_hf(config.to_hf()) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["Qwen2ForCausalLM"]}, "Qwen2ForCausalLM"),
        ({"architectures": None, "model_type": "gpt2"}, "gpt2"),
        ({"architectures": None}, "no architecture"),
        ({"hidden_size": None}, "lacks hidden_size"),
        ({"hidden_size": "32"}, "hidden_size"),
        ({"hidden_size": 30}, "not a multiple"),
        ({"attention_bias": True}, "attention_bias"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"bos_token_id": 100}, "bos_token_id = 100 is no id"),
        ({"eos_token_id": 99999}, "eos_token_id = 99999 is no id"),
        ({"eos_token_id": [99, 100]}, "eos_token_id = 100 is no id"),
        ({"eos_token_id": "99"}, "eos_token_id = '99' is not a whole number"),
        ({"pad_token_id": -2}, "pad_token_id = -2 is no id"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, "yarn"),
        ({"rope_scaling": "linear"}, "rope_scaling"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps"),
        (
            {
                "rope_scaling": {"type": "linear", "factor": 2.0},
                "rope_parameters": {"rope_type": "linear", "factor": 4.0},
            },
            "same scaling",
        ),
    ],
)
def test_other_models_are_refused_by_name(change: dict, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        LlamaConfig.from_hf(PLAIN | change)
