"""The memory model against the bytes of all live tensors in real training steps."""

from pathlib import Path

import pytest

from codekiln.models.lora_settings import LoraSettings
from codekiln.models.settings import ModelSettings
from codekiln.parallel.checks import Degrees
from codekiln.recipe import Recipe
from codekiln.training.estimate import estimate
from codekiln.training.hardware import gpu
from codekiln.training.held import parts
from codekiln.training.memory import Workload, memory
from codekiln.training.settings import OptimizerSettings

from .peaks import peak

RECIPES = Path(__file__).parents[2] / "recipes"


NARROW = LoraSettings(rank=8)
LAYERS_ALONE = LoraSettings(rank=8, embeddings=False)


@pytest.mark.parametrize(
    ("preset", "vocab_size", "batch", "length", "changes"),
    [
        ("tiny-3m", 4096, 4, 256, {}),
        ("tiny-3m", 4096, 4, 256, {"checkpointing": True}),
        ("tiny-3m", 4096, 4, 256, {"micro_batches": 2}),
        ("tiny-3m", 4096, 1, 1024, {"dtype": "bfloat16"}),
        ("tiny-1m", 32000, 2, 512, {}),
        ("tiny-1m", 32000, 1, 64, {}),  # the tables' gradients are most
        ("tiny-1m", 32000, 1, 64, {"micro_batches": 2}),
        ("tiny-6m", 4096, 1, 128, {}),
        ("tiny-moe-8m", 4096, 2, 256, {}),
        ("tiny-3m", 4096, 1, 64, {"optimizer": "muon"}),
        ("tiny-moe-8m", 4096, 1, 64, {"optimizer": "muon"}),  # the step is most
        ("tiny-3m", 4096, 1, 64, {"lora": NARROW}),
        ("tiny-moe-8m", 4096, 2, 256, {"lora": LAYERS_ALONE}),
    ],
)
def test_the_peak_is_within_a_tenth(
    preset: str, vocab_size: int, batch: int, length: int, changes: dict[str, object]
) -> None:
    work = Workload(sequence_length=length, batch_size=batch, device="cpu", **changes)  # type: ignore[arg-type]
    config = ModelSettings(preset=preset).config(vocab_size=vocab_size)
    assert memory(config, Degrees(), work).total == pytest.approx(peak(config, work), rel=0.1)


@pytest.mark.parametrize("preset", ["deepseek-coder-33b", "deepseek-coder-v2", "tiny-moe-8m"])
def test_the_parts_are_the_model(preset: str) -> None:
    config = ModelSettings(preset=preset).config(
        vocab_size=None if preset.startswith("deepseek") else 4096
    )
    whole = parts(config, LoraSettings(), "adamw").all
    assert whole.weights == whole.learning == config.parameters
    assert whole.kept == 2 * config.parameters
    turned = parts(config, LoraSettings(), "muon").all
    tables = config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
    # one of a number in a layer's matrix, two of all others, which are few but for the tables
    assert turned.kept == pytest.approx(config.parameters + tables, rel=0.01)


def test_dividing_a_model_divides_its_weights() -> None:
    config = ModelSettings(preset="deepseek-coder-6.7b").config()
    work = Workload(sequence_length=4096, batch_size=8, dtype="bfloat16", checkpointing=True)
    one, eight = (memory(config, Degrees(data=n), work) for n in (1, 8))
    assert one.weights == pytest.approx(4 * config.parameters, rel=0.001)
    assert eight.weights == pytest.approx(one.weights / 8)
    assert eight.activations == pytest.approx(one.activations / 8)
    staged = memory(config, Degrees(pipeline=4), work)
    assert one.weights / 4 < staged.weights < one.weights / 3


@pytest.mark.parametrize(
    ("name", "gpus", "sequences", "rate"),
    [
        ("deepseek-coder-6.7b", 128, 2304, 4.2e-4),  # V1, Table 2
        ("deepseek-coder-33b", 512, 3840, 3.5e-4),
        ("deepseek-coder-v2-lite", 64, 4608, 4.2e-4),  # DeepSeek-V2, appendix B and §3.1.2
        ("deepseek-coder-v2-236b", 1024, 9216, 2.4e-4),
    ],
)
def test_the_large_recipes_fit_their_meshes(
    name: str, gpus: int, sequences: int, rate: float
) -> None:
    recipe = Recipe.load(RECIPES / f"{name}.toml")
    found = estimate(recipe, gpus, gpu("h100"), 0.4)
    assert found.fits, found.memory
    assert found.days > 1
    assert found.tokens_per_step == sequences * 4096
    assert recipe.table(OptimizerSettings).learning_rate == rate
