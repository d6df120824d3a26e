"""What a run reads: tokenizer, training tokens, held-out documents, and who they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codekiln.errors import RecipeError, ShardError
from codekiln.models.lora_settings import LoraSettings
from codekiln.models.settings import ModelSettings
from codekiln.recipe import Recipe, RunSettings, Settings
from codekiln.storage import fingerprint, read_json
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokens.pack import REPORT_FILE, open_shards, shaping
from codekiln.tokens.settings import TokensSettings
from codekiln.tokens.shards import Shard
from codekiln.tokens.stages import StagedLoader
from codekiln.training.held_out import HeldOut, held_out_of
from codekiln.training.settings import OptimizerSettings, TrainingSettings
from codekiln.training.start import weights_fingerprint

# A resumed run may change these: they do not move the weights. (Threads do: the plan keeps their
# number, and `build.make_plan` refuses another one.)
FREE_TO_CHANGE = frozenset(
    (
        "device",
        "threads",
        "checkpoint_every",
        "keep_checkpoints",
        "keep_every",
        "evaluate_every",
        "evaluate_tokens",
        "evaluate_fim_tokens",
        "tensorboard",
        "log_every",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A run's data.

    Args:
        held_out: what an evaluation reads; without texts, no evaluation.
        epoch_sequences: training sequences in one pass.
        identity: "table.key" -> value: all that the weights depend on.
    """

    tokenizer: Tokenizer
    loader: StagedLoader
    sequence_length: int
    epoch_sequences: int
    held_out: HeldOut
    identity: dict[str, Any]


def open_inputs(recipe: Recipe, directory: Path) -> Inputs:
    """Open `directory/tokenizer` and `directory/tokens`.

    Raises:
        ShardError: no tokens, damaged ones, those of another tokenizer, or those that other
            settings gave.
        RecipeError: weights or shares that the documents cannot have.
        TokenizerError: no tokenizer.
    """
    folder = directory / "tokens"
    if not (folder / REPORT_FILE).exists():
        command = f"codekiln tokens pack {recipe.path or 'RECIPE'}"
        raise ShardError(
            folder,
            got="no token shards, or a packing that did not end",
            wanted="the tokens of this run",
            remedy=f"run `{command}` first; it goes on where it stopped",
        )
    check_stage(recipe)
    tokenizer = Tokenizer.load(directory / "tokenizer")
    shards = open_shards(folder, "train", tokenizer.sha256)
    run, tokens = recipe.table(RunSettings), recipe.table(TokensSettings)
    training = recipe.table(TrainingSettings)
    _check_settings(shards, tokens)
    loader = StagedLoader(
        shards,
        tokens,
        batch_size=training.batch_size,
        seed=run.seed,
        pad_id=tokenizer.special.pad,
    )
    return Inputs(
        tokenizer=tokenizer,
        loader=loader,
        sequence_length=tokens.sequence_length,
        epoch_sequences=loader.epoch_sequences,
        held_out=_held_out(folder, tokenizer, tokens, training),
        identity=_identity(recipe, tokenizer, shards),
    )


def check_stage(recipe: Recipe) -> None:
    """Make sure that the recipe says where its stage begins.

    Raises:
        RecipeError: a stage that continues a model without one, or pre-training with one.
    """
    stage, source = recipe.table(RunSettings).stage, recipe.table(ModelSettings).from_pretrained
    if (stage == "pretrain") == (source is None):
        return
    raise RecipeError(
        f"{recipe.path or 'recipe'} [run] stage",
        got=f"{stage!r} with model.from_pretrained = {str(source)!r}"
        if source
        else f"{stage!r} without model.from_pretrained",
        wanted='"continue", "extend" or "instruct" with a model to begin from, or "pretrain" '
        "without",
    )


def _check_settings(shards: Sequence[Shard], tokens: TokensSettings) -> None:
    wanted = shaping(tokens)
    for shard in shards:
        found = shard.facts.get("settings", {})
        other = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
        if other:
            key = other[0]
            raise ShardError(
                shard.prefix,
                got=f"packed with tokens.{key} = {found.get(key)}",
                wanted=f"{wanted.get(key)}, as the recipe has it",
                remedy="pack the tokens again, or give this command the same --set",
            )


def _held_out(
    folder: Path, tokenizer: Tokenizer, tokens: TokensSettings, training: TrainingSettings
) -> HeldOut:
    names = read_json(folder / REPORT_FILE).get("held_out", {}).get("shards", [])
    if not training.evaluate_tokens or not names:
        return HeldOut()
    learnt = any(rate for _, rate in tokens.stages)
    return held_out_of(
        open_shards(folder, "held_out", tokenizer.sha256),
        tokenizer,
        tokens=training.evaluate_tokens,
        fim_tokens=training.evaluate_fim_tokens if learnt else 0,
        sequence_length=tokens.sequence_length,
        order="spm" if tokens.fim_order == "spm" else "psm",
    )


def _identity(recipe: Recipe, tokenizer: Tokenizer, shards: Sequence[Shard]) -> dict[str, Any]:
    tables: dict[str, Settings] = {
        "model": recipe.table(ModelSettings),
        "tokens": recipe.table(TokensSettings),
        "lora": recipe.table(LoraSettings),
        "optimizer": recipe.table(OptimizerSettings),
        "training": recipe.table(TrainingSettings),
    }
    identity: dict[str, Any] = {"run.seed": recipe.table(RunSettings).seed}
    for table, settings in tables.items():
        for key, value in settings.model_dump(mode="json").items():
            if table != "training" or key not in FREE_TO_CHANGE:
                identity[f"{table}.{key}"] = value
    model = recipe.table(ModelSettings)
    if model.from_pretrained is not None:
        identity["model.from_pretrained"] = weights_fingerprint(model.source())
    identity["tokenizer.sha256"] = tokenizer.sha256
    identity["tokens.shards"] = fingerprint([shard.facts for shard in shards])
    return identity
