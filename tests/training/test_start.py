"""Starting weights: those of the model that is continued, bit for bit, and rows of added tokens."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from codekiln.errors import RecipeError
from codekiln.models.causal import build_model, first_weights
from codekiln.models.config import ModelConfig
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.moe_config import DeepseekV2Config
from codekiln.models.settings import ModelSettings
from codekiln.models.weights import save_model
from codekiln.recipe import Recipe
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.training.inputs import check_stage
from codekiln.training.start import known_ids, starting_weights, weights_fingerprint

SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
DENSE = LlamaConfig(**SHAPE)
EXPERTS = DeepseekV2Config(
    **SHAPE,
    kv_lora_rank=16,
    qk_nope_head_dim=8,
    qk_rope_head_dim=4,
    v_head_dim=8,
    n_routed_experts=4,
    n_shared_experts=1,
    num_experts_per_tok=2,
    moe_intermediate_size=16,
    first_k_dense_replace=1,
)


@pytest.mark.parametrize("config", [DENSE, EXPERTS], ids=["dense", "experts"])
def test_weights_are_the_models(config: ModelConfig, tmp_path: Path) -> None:
    model = build_model(config, torch.Generator().manual_seed(1))
    save_model(model, None, tmp_path / "model")
    read = starting_weights(config, tmp_path / "model", seed=0)
    for name, parameter in model.named_parameters():
        assert torch.equal(read(name, parameter.shape), parameter), name


@pytest.mark.parametrize("tied", [False, True])
def test_added_tokens_begin_near_the_mean(tied: bool, tmp_path: Path) -> None:
    config = replace(DENSE, tie_word_embeddings=tied)
    model = build_model(config, torch.Generator().manual_seed(1))
    save_model(model, None, tmp_path / "model")
    read = starting_weights(replace(config, vocab_size=101), tmp_path / "model", seed=0)
    for name, parameter in model.named_parameters():
        if parameter.shape[0] != 97:
            continue
        value = read(name, torch.Size((101, 32)))
        assert torch.equal(value[:97], parameter)
        added, spread = value[97:] - parameter.mean(0), parameter.std(0)
        assert (added.abs() < 0.5 * spread).all()
        assert len({tuple(row.tolist()) for row in added}) == 4


def test_rows_that_were_padding_are_no_tokens(tmp_path: Path) -> None:
    model = build_model(DENSE, torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.lm_head.weight[90:] = 100.0  # never trained
    save_model(model, None, tmp_path / "model")
    read = starting_weights(DENSE, tmp_path / "model", seed=0, known=90)
    value = read("lm_head.weight", torch.Size((97, 32)))
    assert torch.equal(value[:90], model.lm_head.weight[:90])
    assert value[90:].abs().max() < 1.0


def test_only_added_tokens_are_new(tmp_path: Path, tiny_tokenizer: Tokenizer) -> None:
    tiny_tokenizer.save(tmp_path)
    assert known_ids(tmp_path, tiny_tokenizer) is None
    more = tiny_tokenizer.with_controls(("<|more|>",))
    assert known_ids(tmp_path, more) == tiny_tokenizer.vocab_size


def test_without_a_model_all_are_drawn() -> None:
    drawn = first_weights(DENSE, torch.Generator().manual_seed(5))
    started = starting_weights(DENSE, None, seed=5)
    shape = torch.Size((97, 32))
    assert torch.equal(started("lm_head.weight", shape), drawn("lm_head.weight", shape))


def test_another_models_weights_have_another_fingerprint(tmp_path: Path) -> None:
    for seed in (1, 2):
        model = build_model(DENSE, torch.Generator().manual_seed(seed))
        save_model(model, None, tmp_path / str(seed))
    one, two = (weights_fingerprint(tmp_path / str(seed)) for seed in (1, 2))
    assert one != two
    assert one == weights_fingerprint(tmp_path / "1")


def test_the_shape_is_the_starting_models(tmp_path: Path) -> None:
    save_model(build_model(DENSE), None, tmp_path / "model")
    settings = ModelSettings(
        from_pretrained=tmp_path / "model",
        max_position_embeddings=256,
        rope_theta=100_000.0,
        rope_scaling={"rope_type": "linear", "factor": 4.0},  # type: ignore[arg-type]
    )
    config = settings.config(vocab_size=99, eos_token_id=3)
    assert (config.hidden_size, config.vocab_size, config.eos_token_id) == (32, 99, 3)
    assert (config.max_position_embeddings, config.rope_theta) == (256, 100_000.0)
    assert settings.config(vocab_size=90).vocab_size == 97  # padded rows stay
    with pytest.raises(ValueError, match="hidden_size: the shape is that of from_pretrained"):
        ModelSettings(from_pretrained=tmp_path / "model", hidden_size=64)
    with pytest.raises(RecipeError, match="no config"):
        ModelSettings(from_pretrained=tmp_path / "nothing").config(vocab_size=9)


@pytest.mark.parametrize(
    "text",
    [
        '[run]\nstage = "continue"\n',
        '[run]\nstage = "instruct"\n',
        '[model]\nfrom_pretrained = "somewhere"\n',
    ],
)
def test_a_stage_and_its_beginning_belong_together(text: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match="stage"):
        check_stage(Recipe.load(path))
