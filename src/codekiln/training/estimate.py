"""A run on paper: what it needs, how long it takes, what it costs. Nothing is started."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from codekiln.models.config import ModelConfig
from codekiln.models.flops import (
    head_parameters,
    matrix_parameters,
    non_embedding_flops,
    training_flops,
)
from codekiln.models.lora_settings import LoraSettings
from codekiln.models.settings import ModelSettings
from codekiln.parallel.checks import Degrees
from codekiln.parallel.settings import ParallelSettings
from codekiln.recipe import Recipe
from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokens.settings import TokensSettings
from codekiln.training.batches import BatchSchedule
from codekiln.training.build import batch_schedule, check_context, degrees_of
from codekiln.training.hardware import GPU
from codekiln.training.held import parts
from codekiln.training.law import Suggestion, suggest
from codekiln.training.memory import Memory, Workload, memory
from codekiln.training.settings import OptimizerSettings, TrainingSettings

SECONDS_A_DAY = 86_400.0
WITHOUT_OURS = 0.92  # of a GPU's memory: the rest is PyTorch's, NCCL's, and the allocator's gaps


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A recipe on so many GPUs of a kind.

    Args:
        tokens: of the run; 0 where it is one pass over tokens that nobody has counted yet.
        bubble: share of a step in which a pipeline's rank waits.
        checkpointing: whether each layer's input alone is kept.
        otherwise: memory with the other kind of checkpointing.
        learning: parameters that learn.
        law: what the scaling law says of the run's compute; None without a length.
    """

    config: ModelConfig
    degrees: Degrees
    gpu: GPU
    mfu: float
    memory: Memory
    checkpointing: bool
    otherwise: Memory
    learning: int
    flops_per_token: float
    tokens_per_step: int
    tokens: int
    tokens_per_second: float
    bubble: float
    law: Suggestion | None

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
            "learning_parameters": self.learning,
            "memory_bytes": self.memory.to_json(),
            "checkpointing": self.checkpointing,
            "otherwise_memory_bytes": self.otherwise.to_json(),
            "fits": self.fits,
            "flops_per_token": self.flops_per_token,
            "tokens_per_step": self.tokens_per_step,
            "tokens": self.tokens,
            "tokens_per_second": self.tokens_per_second,
            "bubble": self.bubble,
            "days": self.days,
            "law": asdict(self.law) if self.law else None,
        }


def estimate(recipe: Recipe, gpus: int, gpu: GPU, mfu: float) -> Estimate:
    """Work out a recipe's run.

    Args:
        mfu: share of the GPU's peak that is reached while it works (model FLOPs utilisation); a
            pipeline's waiting comes on top.

    Raises:
        RecipeError: a layout that does not fit, see `check_layout`.
    """
    training, parallel = recipe.table(TrainingSettings), recipe.table(ParallelSettings)
    length = recipe.table(TokensSettings).sequence_length
    config = recipe.table(ModelSettings).config(
        vocab_size=recipe.table(TokenizerSettings).vocab_size
    )
    check_context(recipe, config, length)
    degrees = degrees_of(recipe, config, gpus, length)
    work = Workload(
        sequence_length=length,
        batch_size=training.batch_size,
        micro_batches=training.gradient_accumulation,
        dtype="float32" if training.dtype == "float32" else "bfloat16",
        checkpointing=parallel.activation_checkpointing == "layer",
        chunks=_chunks(parallel, degrees),
        optimizer=recipe.table(OptimizerSettings).name,
        lora=recipe.table(LoraSettings),
    )
    whole = parts(config, work.lora, work.optimizer).all
    flops = flops_per_token(config, length, work.lora)
    bubble = _bubble(parallel, degrees, training.gradient_accumulation)
    speed = gpus * gpu.peak_flops * mfu * (1 - bubble) / flops
    batches = batch_schedule(recipe, length)
    tokens = _tokens(training, batches, training.batch_size * length, speed)
    return Estimate(
        config=config,
        degrees=degrees,
        gpu=gpu,
        mfu=mfu,
        memory=memory(config, degrees, work),
        checkpointing=work.checkpointing,
        otherwise=memory(config, degrees, replace(work, checkpointing=not work.checkpointing)),
        learning=whole.learning,
        flops_per_token=flops,
        tokens_per_step=training.batch_size * training.gradient_accumulation * length,
        tokens=tokens,
        tokens_per_second=speed,
        bubble=bubble,
        law=suggest(non_embedding_flops(config, length) * tokens) if tokens else None,
    )


def flops_per_token(config: ModelConfig, length: int, lora: LoraSettings) -> float:
    """Forward and backward: with additions in place of matrices, those get no gradient."""
    if not lora.rank:
        return training_flops(config, length)
    learning = head_parameters(config) if lora.embeddings else 0
    return training_flops(
        config,
        length,
        frozen=matrix_parameters(config) - learning,
        added=parts(config, lora, "adamw").all.added,
    )


def _tokens(
    training: TrainingSettings, batches: BatchSchedule, micro_batch: int, speed: float
) -> int:
    """Of the run, by the smallest budget that is set; 0: one pass over all there are.

    Args:
        micro_batch: tokens of one.
        speed: tokens a second.
    """
    steps = [training.steps, batches.steps(-(-training.tokens // micro_batch))]
    if training.max_minutes:
        timed = int(training.max_minutes * 60 * speed / micro_batch)
        steps.append(max(batches.steps(timed + 1) - 1, 1))
    limits = [limit for limit in steps if limit]
    return batches.before(min(limits)) * micro_batch if limits else 0


def _bubble(parallel: ParallelSettings, degrees: Degrees, micro_batches: int) -> float:
    """Narayanan et al. 2021: (p - 1) / (v m) of the working time."""
    idle = (degrees.pipeline - 1) / (_chunks(parallel, degrees) * micro_batches)
    return idle / (1 + idle)


def _chunks(parallel: ParallelSettings, degrees: Degrees) -> int:
    interleaved = degrees.pipeline > 1 and parallel.pipeline_schedule == "interleaved"
    return parallel.pipeline_chunks if interleaved else 1
