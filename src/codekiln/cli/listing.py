"""`codekiln list`: the names that recipes and commands take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from codekiln.models.config import ModelConfig


@click.group()
def listing() -> None:
    """Languages, benchmarks and model presets.

    \b
    Example:
      codekiln list languages
    """


@listing.command()
def languages() -> None:
    """Languages that the corpus knows; "imports" marks those with dependency order.

    \b
    Example:
      codekiln list languages
    """
    from codekiln import registry
    from codekiln.languages import table

    resolvers = set(registry.names("resolvers"))
    rows = [
        (
            language.name,
            language.kind,
            "imports" if language.name in resolvers else "",
            " ".join(language.suffixes + language.filenames),
        )
        for _, language in sorted(table.languages().items())
    ]
    _print(("language", "kind", "order", "files"), rows)


@listing.command()
def benchmarks() -> None:
    """Benchmarks that `codekiln eval` runs.

    \b
    Example:
      codekiln list benchmarks
    """
    from codekiln import registry

    for name in registry.names("benchmarks"):
        click.echo(name)


@listing.command()
def models() -> None:
    """Model presets that a recipe's [model] table takes.

    "active" is what one token is multiplied with: the experts it is sent to, no look-up table.
    A preset without a vocabulary of its own takes the tokenizer's; its parameters are counted
    with 4,096 entries.

    \b
    Example:
      codekiln list models
    """
    from codekiln.log import human_count
    from codekiln.models.presets import PRESETS
    from codekiln.models.settings import ModelSettings

    rows = []
    for name, preset in PRESETS.items():
        settings = ModelSettings.model_validate({"preset": name})
        config = settings.config(vocab_size=preset.get("vocab_size", 4096))
        shape = (
            config.hidden_size,
            config.intermediate_size,
            config.num_hidden_layers,
            config.num_attention_heads,
            config.num_key_value_heads,
            _experts(config),
            config.max_position_embeddings,
            preset.get("vocab_size", "tokenizer's"),
        )
        sizes = map(human_count, (config.parameters, config.active_parameters))
        rows.append((name, *sizes, *map(str, shape)))
    titles = ("hidden", "intermediate", "layers", "heads", "kv heads", "experts", "context")
    _print(("preset", "parameters", "active", *titles, "vocabulary"), rows)


def _experts(config: ModelConfig) -> str:
    """Shared experts, and chosen ones of all others: "2 + 6/64"; "-" for a dense model."""
    from codekiln.models.moe_config import DeepseekV2Config

    if not isinstance(config, DeepseekV2Config):
        return "-"
    return f"{config.n_shared_experts} + {config.num_experts_per_tok}/{config.n_routed_experts}"


def _print(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table in plain columns, which other programs can read as well."""
    table = [titles, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(titles))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
