"""Builds what a run needs before its first step: model, optimiser, plan."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from codekiln.errors import CheckpointError, RecipeError, UserError
from codekiln.log import logger
from codekiln.models.config import ModelConfig
from codekiln.models.lora import first_adapters
from codekiln.models.lora_settings import LoraSettings
from codekiln.models.settings import ModelSettings
from codekiln.parallel.checks import Degrees, check_layout
from codekiln.parallel.model import ParallelModel
from codekiln.parallel.settings import ParallelSettings
from codekiln.parallel.world import Meshes, Ranks
from codekiln.recipe import Recipe, RunSettings
from codekiln.storage import fingerprint, read_json, write_json
from codekiln.tokens.cursor import Cursor
from codekiln.training.batches import BatchSchedule
from codekiln.training.device import candidates, fastest
from codekiln.training.inputs import Inputs
from codekiln.training.optim import build_optimizer
from codekiln.training.plan import Plan, Timing, decide
from codekiln.training.settings import OptimizerSettings, TrainingSettings
from codekiln.training.start import known_ids, starting_weights
from codekiln.training.step import Stepper, measure


def model_config(recipe: Recipe, inputs: Inputs) -> ModelConfig:
    """The shape of the recipe's model, for the run's tokenizer.

    Raises:
        RecipeError: the vocabulary is smaller than the tokenizer's, or the context too short.
    """
    special = inputs.tokenizer.special
    instruct = recipe.table(RunSettings).stage == "instruct"
    config = recipe.table(ModelSettings).config(
        vocab_size=inputs.tokenizer.vocab_size,
        bos_token_id=special.bos,
        # a chat model ends a text or a turn, and still fills in
        eos_token_id=(special.eos, special.eot) if instruct and special.eot else special.eos,
        pad_token_id=special.pad,
    )
    check_context(recipe, config, inputs.sequence_length)
    return config


def check_context(recipe: Recipe, config: ModelConfig, sequence_length: int) -> None:
    """Refuse sequences that are longer than the model's context.

    Raises:
        RecipeError: they are.
    """
    if config.max_position_embeddings < sequence_length:
        raise RecipeError(
            f"{recipe.path or 'recipe'} [model] max_position_embeddings",
            got=str(config.max_position_embeddings),
            wanted=f"at least tokens.sequence_length, which is {sequence_length}",
        )


def meshes_of(recipe: Recipe, inputs: Inputs, ranks: Ranks) -> Meshes:
    """How the recipe's [parallel] lays the run on its ranks.

    Raises:
        RecipeError: a layout that does not fit model, batch or number of ranks.
    """
    config = model_config(recipe, inputs)
    return Meshes(ranks, degrees_of(recipe, config, ranks.size, inputs.sequence_length))


def degrees_of(recipe: Recipe, config: ModelConfig, ranks: int, sequence_length: int) -> Degrees:
    """The degrees of the recipe's [parallel] on so many ranks; nothing is started.

    Raises:
        RecipeError: a layout that does not fit model, batch, optimiser or number of ranks.
    """
    settings = recipe.table(TrainingSettings)
    degrees = check_layout(
        config,
        recipe.table(ParallelSettings),
        ranks,
        batch_size=settings.batch_size,
        gradient_accumulation=settings.gradient_accumulation,
        sequence_length=sequence_length,
    )
    if degrees.pipeline > 1 and recipe.table(OptimizerSettings).batch_warmup_tokens:
        raise RecipeError(
            "[optimizer] batch_warmup_tokens",
            got="batches of few micro-batches at first, with a pipeline to be filled",
            wanted="0 with parallel.pipeline above 1",
        )
    if degrees.tensor > 1 and recipe.table(LoraSettings).rank:
        raise RecipeError(
            "[lora] rank",
            got=f"additions to matrices that {degrees.tensor} tensor ranks divide",
            wanted="parallel.tensor = 1 with [lora]",
        )
    return degrees


def new_stepper(recipe: Recipe, inputs: Inputs, meshes: Meshes, dtype: str) -> Stepper:
    """Model and optimiser as they stand before the first step; a function of the seed.

    Weights that are drawn are drawn on the CPU, so that a run on a GPU begins with the same ones.
    """
    config = model_config(recipe, inputs)
    seed = recipe.table(RunSettings).seed
    model_settings = recipe.table(ModelSettings)
    source = model_settings.source() if model_settings.from_pretrained else None
    known = known_ids(source, inputs.tokenizer) if source else None
    settings, optimizer = recipe.table(TrainingSettings), recipe.table(OptimizerSettings)
    model = ParallelModel(
        config,
        first_adapters(starting_weights(config, source, seed, known=known), seed),
        meshes,
        recipe.table(ParallelSettings),
        dtype=dtype,
        across_documents=settings.attention == "full",
        compiled=settings.compile,
        z_loss=optimizer.z_loss,
        lora=recipe.table(LoraSettings),
    )
    model.train()
    return Stepper(model, build_optimizer(model, optimizer), gradient_clip=optimizer.gradient_clip)


def batch_schedule(recipe: Recipe, sequence_length: int) -> BatchSchedule:
    """The sizes of the run's steps."""
    settings = recipe.table(TrainingSettings)
    tokens = recipe.table(OptimizerSettings).batch_warmup_tokens
    micro_batch = settings.batch_size * sequence_length
    return BatchSchedule(settings.gradient_accumulation, -(-tokens // micro_batch))


def make_plan(
    recipe: Recipe, inputs: Inputs, meshes: Meshes, path: Path, saved: dict[str, Any]
) -> Plan:
    """The run's plan: a checkpoint's, or the one in `path`, or a new one, written to `path`.

    The file makes a run that is killed before its first checkpoint begin again with the same
    number of steps and the same precision. Of an older plan the recipe may change the two
    intervals alone: they do not move the weights.

    Raises:
        CheckpointError: the recipe wants another number of threads than the plan.
    """
    settings = recipe.table(TrainingSettings)
    made_from = fingerprint(inputs.identity)
    ranks = meshes.ranks
    older = Plan(**saved) if saved else ranks.from_first(_stored(path, made_from))
    if older is not None:
        _same_threads(settings, older, path.parent)
        return replace(
            older,
            checkpoint_every=settings.checkpoint_every or older.checkpoint_every,
            evaluate_every=settings.evaluate_every or older.evaluate_every,
        )
    plan = decide(
        settings,
        sequence_length=inputs.sequence_length,
        epoch_sequences=inputs.epoch_sequences,
        precisions=candidates(settings.dtype, ranks.device),
        threads=torch.get_num_threads(),
        batches=batch_schedule(recipe, inputs.sequence_length),
        trial=lambda dtype: _trial(recipe, inputs, meshes, dtype),
        fastest=fastest,
    )
    plan = Plan(**ranks.from_first(plan.to_json()))
    if ranks.first:
        write_json(path, {"fingerprint": made_from, "plan": plan.to_json()})
    return plan


def _same_threads(settings: TrainingSettings, plan: Plan, root: Path) -> None:
    if settings.threads not in (0, plan.threads):
        raise CheckpointError(
            root,
            got=f"training.threads = {settings.threads}, but this run began with {plan.threads}",
            wanted="the same number: with another one sums round differently",
            remedy=f"set training.threads to {plan.threads} or 0, or train into another folder "
            "(--out DIR)",
        )


def _stored(path: Path, made_from: str) -> Plan | None:
    try:
        values = read_json(path)
        return Plan(**values["plan"]) if values["fingerprint"] == made_from else None
    except (UserError, KeyError, TypeError):
        return None  # absent, or not ours: a new plan takes its place


def _trial(recipe: Recipe, inputs: Inputs, meshes: Meshes, dtype: str) -> Timing:
    stepper = new_stepper(recipe, inputs, meshes, dtype)
    batch_size = recipe.table(TrainingSettings).batch_size
    batch, _ = inputs.loader.batch(Cursor(), stepper.model.rows(batch_size))
    timing = measure(stepper, batch)
    del stepper
    gc.collect()
    if meshes.ranks.device.type == "cuda":
        torch.cuda.empty_cache()
    rate = batch_size * inputs.sequence_length / timing.micro_batch_seconds
    logger.info("trial in %s: %.0f tokens/s", dtype, rate)
    return timing
