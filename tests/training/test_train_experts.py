"""Experts go the whole way: trained, resumed, written, read by transformers, asked."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from codekiln.errors import RecipeError
from codekiln.generation.engine import Engine
from codekiln.generation.sample import Sampling
from codekiln.recipe import Recipe
from codekiln.training.loop import EvaluationPoint, train

SPARSE = (
    "model.architecture='DeepseekV2ForCausalLM'",
    "model.num_key_value_heads=4",
    "model.kv_lora_rank=16",
    "model.qk_nope_head_dim=8",
    "model.qk_rope_head_dim=8",
    "model.v_head_dim=8",
    "model.n_routed_experts=8",
    "model.n_shared_experts=1",
    "model.num_experts_per_tok=2",
    "model.moe_intermediate_size=16",
    "model.first_k_dense_replace=1",
    "model.tie_word_embeddings=false",
)


def _recipe(folder: Path, *overrides: str) -> Recipe:
    return Recipe.load(folder.parent / "recipe.toml", (*SPARSE, *overrides))


def test_trained_exported_and_asked(run_folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    result = train(_recipe(run_folder), run_folder)
    assert result.status == "finished"
    assert result.loss_nats_per_token is not None
    assert result.loss_nats_per_token < 4.5  # from ln 320 = 5.8
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(
        run_folder / "model", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    engine = Engine.load(run_folder, device="cpu")
    prompts = [engine.tokenizer.encode(text) for text in ("def total(", "    return ", "def ")]
    found = engine.complete_batch(prompts, Sampling(max_new_tokens=20))
    for ids, one in zip(prompts, found, strict=True):
        out = theirs.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.int64),
            max_new_tokens=20,
            do_sample=False,
            eos_token_id=sorted(engine._ends),
            pad_token_id=engine.tokenizer.special.pad,
        )
        assert [choice.token for choice in one.choices] == out[0, len(ids) :].tolist()


def test_a_stopped_run_resumes_to_the_same_bits(run_folder: Path) -> None:
    whole = run_folder.with_name("whole")
    shutil.copytree(run_folder, whole)
    train(_recipe(run_folder), whole)

    def stop(point: EvaluationPoint) -> None:
        if point.step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(_recipe(run_folder), run_folder, callbacks=[stop])
    assert train(_recipe(run_folder), run_folder, resume=True).status == "finished"
    one, two = (load_file(f / "model/model.safetensors") for f in (whole, run_folder))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_keys_of_the_other_architecture_are_refused(run_folder: Path) -> None:
    with pytest.raises(RecipeError, match="n_routed_experts: LlamaForCausalLM has no such key"):
        Recipe.load(run_folder.parent / "recipe.toml", ("model.n_routed_experts=8",))
    with pytest.raises(RecipeError, match="v_head_dim: DeepseekV2ForCausalLM needs it"):
        left = [line for line in SPARSE if "v_head_dim" not in line]
        Recipe.load(run_folder.parent / "recipe.toml", left)
