"""`codekiln tokens`: documents to token shards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from codekiln.recipe import Recipe
    from codekiln.tokens.pack import PackReport


@click.group()
def tokens() -> None:
    """Documents to token shards (FIM, packing).

    \b
    Example:
      codekiln tokens pack recipes/pretrain-tiny.toml
    """


@tokens.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Change one setting."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Run folder, in place of the recipe's run.directory.",
)
def pack(recipe: Path, overrides: tuple[str, ...], out: Path | None) -> None:
    """Pack RECIPE's corpus with its tokenizer; write DIR/tokens (Megatron .bin and .idx).

    A run that was stopped goes on where it was; what is packed already is left as it is.

    \b
    Example:
      codekiln tokens pack recipes/pretrain-tiny.toml
      codekiln tokens pack recipes/pretrain-tiny.toml --set tokens.fim_order=mixed
    """
    from codekiln.recipe import Recipe, RunSettings

    loaded = Recipe.load(recipe, overrides)
    directory = out or loaded.table(RunSettings).directory.expanduser()
    report = pack_for_run(loaded, directory)
    if not report.packed:
        click.echo(f"nothing to do: the tokens are in {directory / 'tokens'}")
    for name, split in report.splits.items():
        click.echo(
            f"{name}: {split.documents:,} documents, {split.files:,} files "
            f"({split.fim_share:.1%} FIM), {split.tokens:,} tokens, {split.bytes:,} bytes, "
            f"{split.bytes_per_token:.2f} bytes a token"
        )


def pack_for_run(recipe: Recipe, directory: Path) -> PackReport:
    """Pack the corpus of the run in `directory` with the run's tokenizer.

    Raises:
        SourceError: when the run has no corpus.
        TokenizerError: when it has no tokenizer.
        ShardError: when there are no training documents.
    """
    from codekiln.corpus.store import read_shard, shards
    from codekiln.recipe import RunSettings
    from codekiln.tokens.pack import pack
    from codekiln.tokens.settings import TokensSettings

    run = recipe.table(RunSettings)
    return pack(
        shards(directory / "corpus"),
        read_shard,
        directory / "tokenizer",
        recipe.table(TokensSettings),
        directory / "tokens",
        seed=run.seed,
        processes=run.processes,
    )
