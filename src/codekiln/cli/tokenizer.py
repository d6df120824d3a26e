"""`codekiln tokenizer`: learn the vocabulary of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from codekiln.recipe import Recipe


@click.group()
def tokenizer() -> None:
    """Train a tokenizer on a corpus.

    \b
    Example:
      codekiln tokenizer train recipes/pretrain-tiny.toml
    """


@tokenizer.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Change one setting."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Run folder, in place of the recipe's run.directory.",
)
def train(recipe: Path, overrides: tuple[str, ...], out: Path | None) -> None:
    """Train on the training documents of RECIPE's corpus; write DIR/tokenizer.

    The folder is a Hugging Face tokenizer: transformers.AutoTokenizer gives the same ids. The
    same documents and settings give the same tokenizer; one that fits is left as it is.

    \b
    Example:
      codekiln tokenizer train recipes/pretrain-tiny.toml
      codekiln tokenizer train recipes/pretrain-tiny.toml --set tokenizer.vocab_size=4096
    """
    from codekiln.recipe import Recipe, RunSettings

    loaded = Recipe.load(recipe, overrides)
    train_for_run(loaded, out or loaded.table(RunSettings).directory.expanduser())


def train_for_run(recipe: Recipe, directory: Path) -> None:
    """Train the tokenizer of the run in `directory`, unless it stands there already.

    Raises:
        SourceError: when the run has no corpus.
        TokenizerError: when the corpus has no text.
    """
    from codekiln.corpus.store import read_documents, shards
    from codekiln.storage import fingerprint, fingerprint_file
    from codekiln.tokenizer.settings import TokenizerSettings
    from codekiln.tokenizer.train import train_into

    corpus = directory / "corpus"
    inputs = fingerprint([fingerprint_file(path) for path in shards(corpus)])
    trained, now = train_into(
        directory / "tokenizer",
        lambda: (document.text for document in read_documents(corpus, "train")),
        recipe.table(TokenizerSettings),
        inputs=inputs,
    )
    state = "" if now else "nothing to do: "
    click.echo(f"{state}a tokenizer of {trained.vocab_size:,} ids is in {directory / 'tokenizer'}")
