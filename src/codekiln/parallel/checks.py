"""Whether a layout of ranks fits model, batch and number of ranks: before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from codekiln.errors import RecipeError
from codekiln.models.config import ModelConfig
from codekiln.models.moe_config import DeepseekV2Config
from codekiln.parallel.settings import ParallelSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Degrees:
    """How many ranks share what; all known. Their product, `expert` aside, is all ranks."""

    pipeline: int = 1
    replicate: int = 1
    data: int = 1
    context: int = 1
    tensor: int = 1
    expert: int = 1

    @property
    def rows(self) -> int:
        """Ranks, or groups of them, that have sequences of their own."""
        return self.replicate * self.data

    @property
    def ranks(self) -> int:
        """All of them."""
        return self.pipeline * self.rows * self.context * self.tensor


def check_layout(
    config: ModelConfig,
    settings: ParallelSettings,
    ranks: int,
    *,
    batch_size: int,
    gradient_accumulation: int,
    sequence_length: int,
) -> Degrees:
    """The degrees of a run on `ranks` ranks.

    Args:
        batch_size: sequences in a micro-batch.
        gradient_accumulation: micro-batches in a step.
        sequence_length: tokens.

    Raises:
        RecipeError: a degree that does not divide what it is to divide, with the reason.
    """
    degrees = _resolved(settings, ranks)
    _divides("data x replicate", degrees.rows, batch_size, "training.batch_size")
    pieces = degrees.context * degrees.tensor * (2 if degrees.context > 1 else 1)
    _divides(
        "context x tensor" + (", twice" if degrees.context > 1 else ""),
        pieces,
        sequence_length,
        "tokens.sequence_length",
    )
    _check_tensor(config, degrees.tensor)
    _check_experts(config, degrees)
    _check_pipeline(config, settings, degrees, gradient_accumulation)
    return degrees


def _resolved(settings: ParallelSettings, ranks: int) -> Degrees:
    others = settings.replicate * settings.tensor * settings.context * settings.pipeline
    data = settings.data or max(ranks // others, 1)
    if others * data != ranks:
        parts = "replicate x data x context x tensor x pipeline"
        raise RecipeError(
            "[parallel]",
            got=f"{parts} = {others * data}",
            wanted=f"{ranks}, the number of ranks",
            remedy="start as many processes (torchrun --nproc-per-node, or codekiln train "
            "--processes), or change the degrees; data = 0 takes what the others leave",
        )
    return Degrees(
        pipeline=settings.pipeline,
        replicate=settings.replicate,
        data=data,
        context=settings.context,
        tensor=settings.tensor,
        expert=settings.expert,
    )


def _divides(what: str, degree: int, amount: int, name: str, *, others: int = 0) -> None:
    """Refuse a degree that does not divide an amount; the remedy divides `others`, too."""
    if amount % degree:
        raise RecipeError(
            f"[parallel] {what}",
            got=str(degree),
            wanted=f"a divisor of {name}, which is {amount}",
            remedy=f"{_nearest(degree, gcd(amount, others))}, or another {name}",
        )


def _nearest(degree: int, amount: int) -> str:
    """The divisors of an amount on both sides of a degree: "8 or 16"."""
    divisors = [n for n in range(1, amount + 1) if amount % n == 0]
    below = [n for n in divisors if n < degree][-1:]
    above = [n for n in divisors if n > degree][:1]
    return " or ".join(map(str, below + above))


def _check_tensor(config: ModelConfig, tensor: int) -> None:
    names = ("num_attention_heads", "num_key_value_heads", "intermediate_size")
    amounts = {name: getattr(config, name) for name in names}
    for name, amount in amounts.items():
        _divides("tensor", tensor, amount, name, others=gcd(*amounts.values()))


def _check_experts(config: ModelConfig, degrees: Degrees) -> None:
    if degrees.expert == 1:
        return
    if not isinstance(config, DeepseekV2Config):
        raise RecipeError(
            "[parallel] expert",
            got=str(degrees.expert),
            wanted="1: the model has no routed experts",
            remedy="take the key out, or another model (codekiln list models)",
        )
    _divides("expert", degrees.expert, config.n_routed_experts, "n_routed_experts")
    tokens = degrees.data * degrees.context * degrees.tensor
    _divides("expert", degrees.expert, tokens, "data x context x tensor")


def _check_pipeline(
    config: ModelConfig, settings: ParallelSettings, degrees: Degrees, micro_batches: int
) -> None:
    pipeline = degrees.pipeline
    if pipeline == 1:
        return
    interleaved = settings.pipeline_schedule == "interleaved"
    stages = pipeline * (settings.pipeline_chunks if interleaved else 1)
    if stages > config.num_hidden_layers:
        raise RecipeError(
            "[parallel] pipeline" + (" x pipeline_chunks" if interleaved else ""),
            got=str(stages),
            wanted=f"at most the model's {config.num_hidden_layers} layers",
            remedy="fewer stages, and more of data or tensor in their place",
        )
    if config.tie_word_embeddings:
        raise RecipeError(
            "[parallel] pipeline",
            got=str(pipeline),
            wanted="1: the head is the embeddings, which would lie on two stages",
            remedy="set model.tie_word_embeddings to false, or use data instead",
        )
    if micro_batches < pipeline:
        raise RecipeError(
            "[parallel] pipeline",
            got=f"{pipeline} stages for {micro_batches} micro-batches",
            wanted="at least as many micro-batches (training.gradient_accumulation) as stages",
            remedy=f"set training.gradient_accumulation to {pipeline} or more, and "
            "training.batch_size lower by as much for the same step",
        )
    if interleaved:
        _divides("pipeline", pipeline, micro_batches, "training.gradient_accumulation")
