"""A run on paper: what it needs, how long it takes, what it costs. Nothing is started."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from codekiln.models.config import ModelConfig
from codekiln.models.flops import training_flops
from codekiln.models.settings import ModelSettings
from codekiln.parallel.checks import Degrees, check_layout
from codekiln.parallel.settings import ParallelSettings
from codekiln.recipe import Recipe
from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokens.settings import TokensSettings
from codekiln.training.hardware import GPU
from codekiln.training.law import Suggestion, suggest
from codekiln.training.memory import Memory, Workload, memory
from codekiln.training.settings import OptimizerSettings, TrainingSettings

SECONDS_A_DAY = 86_400.0
WITHOUT_OURS = 0.92  # of a GPU's memory: the rest is PyTorch's, NCCL's, and the allocator's gaps


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A recipe on so many GPUs of a kind.

    Args:
        tokens: of the run; 0 where the recipe names no length in tokens or steps.
        bubble: share of a step in which a pipeline's rank waits.
        fits: whether the memory of a rank holds its part.
    """

    config: ModelConfig
    degrees: Degrees
    gpu: GPU
    mfu: float
    memory: Memory
    flops_per_token: float
    tokens_per_step: int
    tokens: int
    tokens_per_second: float
    bubble: float
    law: Suggestion

    @property
    def fits(self) -> bool:
        """Whether a GPU's memory holds its part."""
        return self.memory.total <= WITHOUT_OURS * self.gpu.memory_bytes

    @property
    def days(self) -> float:
        """Of training; 0 without a length."""
        return self.tokens / self.tokens_per_second / SECONDS_A_DAY

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "parameters": self.config.parameters,
            "active_parameters": self.config.active_parameters,
            "degrees": asdict(self.degrees),
            "ranks": self.degrees.ranks,
            "gpu": asdict(self.gpu),
            "mfu": self.mfu,
            "memory_bytes": self.memory.to_json(),
            "fits": self.fits,
            "flops_per_token": self.flops_per_token,
            "tokens_per_step": self.tokens_per_step,
            "tokens": self.tokens,
            "tokens_per_second": self.tokens_per_second,
            "bubble": self.bubble,
            "days": self.days,
            "law": asdict(self.law),
        }


def estimate(recipe: Recipe, gpus: int, gpu: GPU, mfu: float) -> Estimate:
    """Work out a recipe's run.

    Args:
        mfu: share of the GPU's peak that is reached (model FLOPs utilisation).

    Raises:
        RecipeError: a layout that does not fit, see `check_layout`.
    """
    training, parallel = recipe.table(TrainingSettings), recipe.table(ParallelSettings)
    length = recipe.table(TokensSettings).sequence_length
    config = recipe.table(ModelSettings).config(
        vocab_size=recipe.table(TokenizerSettings).vocab_size
    )
    degrees = check_layout(
        config,
        parallel,
        gpus,
        batch_size=training.batch_size,
        gradient_accumulation=training.gradient_accumulation,
        sequence_length=length,
    )
    work = Workload(
        sequence_length=length,
        batch_size=training.batch_size,
        micro_batches=training.gradient_accumulation,
        dtype="float32" if training.dtype == "float32" else "bfloat16",
        checkpointing=parallel.activation_checkpointing == "layer",
        averages=1.0 if recipe.table(OptimizerSettings).name == "muon" else 2.0,
    )
    flops = training_flops(config, length)
    per_step = training.batch_size * training.gradient_accumulation * length
    tokens = training.tokens or training.steps * per_step
    bubble = _bubble(parallel, degrees, training.gradient_accumulation)
    return Estimate(
        config=config,
        degrees=degrees,
        gpu=gpu,
        mfu=mfu,
        memory=memory(config, degrees, work),
        flops_per_token=flops,
        tokens_per_step=per_step,
        tokens=tokens,
        tokens_per_second=gpus * gpu.peak_flops * mfu * (1 - bubble) / flops,
        bubble=bubble,
        law=suggest(flops * tokens),
    )


def _bubble(parallel: ParallelSettings, degrees: Degrees, micro_batches: int) -> float:
    """Narayanan et al. 2021: (p - 1) / (v m) of the working time."""
    chunks = parallel.pipeline_chunks if parallel.pipeline_schedule == "interleaved" else 1
    idle = (degrees.pipeline - 1) / (chunks * micro_batches)
    return idle / (1 + idle)
