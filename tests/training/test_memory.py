"""The memory model against the bytes of all live tensors in real training steps."""

from pathlib import Path

import pytest
import torch

from codekiln.models.causal import first_weights
from codekiln.models.settings import ModelSettings
from codekiln.parallel.checks import Degrees
from codekiln.parallel.model import ParallelModel
from codekiln.parallel.settings import ParallelSettings
from codekiln.parallel.world import ALONE, Meshes
from codekiln.recipe import Recipe
from codekiln.tokens.batch import Batch
from codekiln.tokens.cursor import Cursor
from codekiln.training.estimate import estimate
from codekiln.training.hardware import gpu
from codekiln.training.memory import Workload, memory
from codekiln.training.optim import build_optimizer
from codekiln.training.settings import OptimizerSettings

from .live_bytes import LiveBytes

RECIPES = Path(__file__).parents[2] / "recipes"


def measured(settings: ModelSettings, vocab_size: int, work: Workload) -> tuple[int, float]:
    """Peak of the second step, and the model's word for it."""
    config = settings.config(vocab_size=vocab_size)
    checkpointing = "layer" if work.checkpointing else "none"
    model = ParallelModel(
        config,
        first_weights(config, torch.Generator().manual_seed(0)),
        Meshes(ALONE, Degrees()),
        ParallelSettings(activation_checkpointing=checkpointing),
        dtype=work.dtype,
    )
    model.train()
    optimizer = build_optimizer(model, OptimizerSettings())
    shape = (work.batch_size, work.sequence_length)
    tokens = torch.randint(0, vocab_size, (shape[0], shape[1] + 1))
    batch = Batch(
        tokens=tokens[:, :-1],
        targets=tokens[:, 1:],
        positions=torch.arange(shape[1]).expand(shape),
        document_ids=torch.zeros(shape, dtype=torch.long),
        cursor=Cursor(),
    )
    with LiveBytes() as live:
        for _, parameter in model.named_parameters():
            live.add(parameter.detach())
        for _ in range(2):
            live.peak = live.now
            batches = [batch] * work.micro_batches
            model.backward(batches, model.targets(batches))
            model.clip(1.0)
            optimizer.step()
            optimizer.zero_grad()
    return live.peak, memory(config, Degrees(), work).total


@pytest.mark.parametrize(
    ("preset", "vocab_size", "batch", "length", "changes"),
    [
        ("tiny-3m", 4096, 4, 256, {}),
        ("tiny-3m", 4096, 4, 256, {"checkpointing": True}),
        ("tiny-3m", 4096, 4, 256, {"micro_batches": 2}),
        ("tiny-3m", 4096, 1, 1024, {"dtype": "bfloat16"}),
        ("tiny-1m", 32000, 2, 512, {}),
        ("tiny-6m", 4096, 1, 128, {}),
        ("tiny-moe-8m", 4096, 2, 256, {}),
    ],
)
def test_the_peak_is_within_a_tenth(
    preset: str, vocab_size: int, batch: int, length: int, changes: dict[str, object]
) -> None:
    work = Workload(sequence_length=length, batch_size=batch, device="cpu", **changes)  # type: ignore[arg-type]
    found, said = measured(ModelSettings(preset=preset), vocab_size, work)
    assert said == pytest.approx(found, rel=0.1)


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
    ("name", "gpus"), [("deepseek-coder-33b.toml", 512), ("deepseek-coder-v2-236b.toml", 1024)]
)
def test_the_large_recipes_fit_their_meshes(name: str, gpus: int) -> None:
    found = estimate(Recipe.load(RECIPES / name), gpus, gpu("h100"), 0.4)
    assert found.fits, found.memory
    assert found.days > 1
