"""Additions to matrices: nothing at first, merged the same function, and all else unmoved."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from codekiln.models.causal import build_model
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.layers import Adapter, Linear
from codekiln.models.lora import add_adapters, first_adapters, merge
from codekiln.models.lora_settings import LoraSettings
from codekiln.recipe import Recipe
from codekiln.training.export import export_checkpoint
from codekiln.training.loop import EvaluationPoint, train

CONFIG = LlamaConfig(
    vocab_size=97,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
)
TOKENS = torch.arange(40).view(2, 20)


def adapted() -> Any:
    model = build_model(CONFIG, torch.Generator().manual_seed(0)).eval()
    add_adapters(model, LoraSettings(rank=4, alpha=8.0))
    read = first_adapters(lambda name, shape: torch.empty(0), seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".adapter." in name:
                parameter.copy_(read(name, parameter.shape))
    return model


@torch.no_grad()
def test_merged_they_are_the_same_function() -> None:
    plain = build_model(CONFIG, torch.Generator().manual_seed(0)).eval()
    model = adapted()
    assert torch.equal(model(TOKENS), plain(TOKENS))  # they begin at nothing
    generator = torch.Generator().manual_seed(2)
    for name, parameter in model.named_parameters():
        if name.endswith(".adapter.up"):
            parameter.normal_(0.0, 0.1, generator=generator)
    changed = model(TOKENS)
    assert (changed - plain(TOKENS)).abs().max() > 1e-2
    merged = merge(model)
    names = [[name for name, _ in one.named_parameters()] for one in (merged, plain)]
    assert names[0] == names[1]
    torch.testing.assert_close(merged(TOKENS), changed, atol=1e-5, rtol=1e-5)


def test_with_the_full_rank_any_change_of_a_matrix_is_learnt() -> None:
    generator = torch.Generator().manual_seed(3)
    matrix = Linear(6, 6)
    with torch.no_grad():
        matrix.weight.copy_(torch.randn(6, 6, generator=generator))
    wanted = torch.randn(6, 6, generator=generator)
    matrix.adapter = Adapter(matrix, 6, 1.0)
    with torch.no_grad():
        matrix.adapter.down.copy_(torch.eye(6))
        matrix.adapter.up.copy_(wanted - matrix.weight)
    inputs = torch.randn(5, 6, generator=generator)
    torch.testing.assert_close(matrix(inputs), inputs @ wanted.T)


def test_a_run_moves_additions_alone_and_resumes_to_the_same_bits(
    run_folder: Path, tmp_path: Path
) -> None:
    recipe_file = run_folder.parent / "recipe.toml"
    base = Recipe.load(recipe_file)
    train(base, run_folder)
    model = run_folder.rename(tmp_path / "base") / "model"
    text = recipe_file.read_text().replace("seed = 7", 'seed = 8\nstage = "continue"')
    start, end = text.index("[model]"), text.index("[optimizer]")
    text = text[:start] + f'[model]\nfrom_pretrained = "{model}"\n' + text[end:]
    text += "[lora]\nrank = 4\nembeddings = false\n"
    recipe_file.write_text(text)
    recipe = Recipe.load(recipe_file)
    runs = [tmp_path / name for name in ("whole", "broken")]
    for run in runs:
        for part in ("tokenizer", "tokens"):
            shutil.copytree(tmp_path / "base" / part, run / part)

    def stop(point: EvaluationPoint) -> None:
        if point.step > 5:
            raise RuntimeError

    train(recipe, runs[0])
    with pytest.raises(RuntimeError):
        train(recipe, runs[1], callbacks=[stop])
    train(recipe, runs[1], resume=True)
    before = load_file(model / "model.safetensors")
    one, other = (load_file(run / "model" / "model.safetensors") for run in runs)
    assert one.keys() == before.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    moved = {name for name in one if not torch.equal(one[name], before[name])}
    assert moved == {name for name in before if "_proj" in name}
    export_checkpoint(runs[0] / "checkpoints" / "step-00000012", tmp_path / "exported")
    exported = load_file(tmp_path / "exported" / "model.safetensors")
    assert all(torch.allclose(exported[name], one[name], atol=1e-6) for name in one)
