"""`codekiln tokens`: documents to token shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from codekiln.recipe import Recipe
    from codekiln.tokens.pack import PackReport, SplitReport
    from codekiln.tokens.packing_report import PackingReport

MOST_SOURCES = 20  # lines of the table


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
        for line in _account(split):
            click.echo(f"  {line}")
    for line in _sequences(report.sequences):
        click.echo(line)


def _account(split: SplitReport) -> list[str]:
    """What the tokens are, and which files chosen for FIM are not what was asked for."""
    lines = [
        f"{split.text_tokens:,} tokens of text, {split.fim_tokens:,} of text rearranged for "
        f"infilling, {split.control_tokens:,} control tokens"
    ]
    if split.fim_short:
        lines.append(f"{split.fim_short:,} files or pieces chosen for FIM were too short to be cut")
    if split.fim_fallbacks:
        lines.append(f"{split.fim_fallbacks:,} files were cut at characters: no syntax known")
    return lines


def _sequences(report: PackingReport) -> list[str]:
    """What the training documents become, as plain columns."""
    packings = [("packing", "sequences", "documents cut", "padding")]
    for name, one in report.packings.items():
        used = " (this recipe)" if name == report.packing else ""
        shares = f"{one.cut_share:.2%}", f"{one.padding_share:.2%}"
        packings.append((name + used, f"{one.sequences:,}", *shares))
    sources = [("source", "documents", "tokens", "passes", "of a pass")]
    largest = sorted(report.sources.items(), key=lambda pair: (-pair[1].tokens, pair[0]))
    for name, row in largest[:MOST_SOURCES]:
        counts = f"{row.documents:,}", f"{row.tokens:,}"
        sources.append((name, *counts, f"{row.passes:.2f}", f"{row.share:.1%}"))
    more = len(largest) - MOST_SOURCES
    return [
        f"sequences of {report.sequence_length:,}: {report.longer_documents:,} of "
        f"{report.documents:,} documents are longer",
        *_columns(packings),
        *_columns(sources),
        *([f"and {more:,} more sources, in report.json"] if more > 0 else []),
    ]


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others, numbers, to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def pack_for_run(recipe: Recipe, directory: Path) -> PackReport:
    """Pack the corpus of the run in `directory` with the run's tokenizer.

    Raises:
        SourceError: when the run has no corpus.
        TokenizerError: when it has no tokenizer.
        ShardError: when there are no training documents.
    """
    from codekiln.corpus.read_any import reader_of
    from codekiln.corpus.store import shards
    from codekiln.recipe import RunSettings
    from codekiln.tokens.pack import pack
    from codekiln.tokens.settings import TokensSettings

    run = recipe.table(RunSettings)
    talks = _conversations(recipe)
    has_corpus = not talks or (directory / "corpus").is_dir()
    return pack(
        [*(shards(directory / "corpus") if has_corpus else []), *talks],
        reader_of(recipe),
        directory / "tokenizer",
        recipe.table(TokensSettings),
        directory / "tokens",
        seed=run.seed,
        processes=run.processes,
    )


def _conversations(recipe: Recipe) -> list[Path]:
    """The files of an instruct run, each read through; rows that do not serve are named."""
    from codekiln.corpus.conversations.read import conversation_files, inspect
    from codekiln.corpus.conversations.settings import InstructSettings
    from codekiln.errors import RecipeError
    from codekiln.log import logger
    from codekiln.recipe import RunSettings

    files = conversation_files(recipe.table(InstructSettings))
    instruct = recipe.table(RunSettings).stage == "instruct"
    if bool(files) != instruct:
        raise RecipeError(
            f"{recipe.path or 'recipe'} [instruct] conversations",
            got="none"
            if instruct
            else f"{len(files)} files, with run.stage = {recipe.table(RunSettings).stage!r}",
            wanted='files of conversations and run.stage = "instruct", or neither',
        )
    for path in files:
        for line in inspect(path).lines():
            logger.warning("%s: %s", path, line)
    return files
