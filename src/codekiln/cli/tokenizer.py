"""`codekiln tokenizer`: learn the vocabulary of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from codekiln.cli.tokenizer_report import PER_LANGUAGE_BYTES, SHOWN, report, show

if TYPE_CHECKING:
    from codekiln.corpus.draw import Survey
    from codekiln.recipe import Recipe
    from codekiln.tokenizer.tokenizer import Tokenizer

REPORT_FILE = "report.json"


@click.group()
def tokenizer() -> None:
    """Train a tokenizer on a corpus, compare tokenizers.

    \b
    Example:
      codekiln tokenizer train recipes/pretrain-tiny.toml
      codekiln tokenizer report runs/tiny ~/models/deepseek-coder-1.3b-base --corpus runs/tiny
    """


tokenizer.add_command(report)


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

    Where the recipe continues a model (model.from_pretrained), that model's tokenizer is taken, and
    given the tokens for infilling and for the end of a turn if it lacks them.

    The folder is a Hugging Face tokenizer: transformers.AutoTokenizer gives the same ids. The
    same documents and settings give the same tokenizer; one that fits is left as it is.
    tokenizer/report.json says how well it writes the held-out documents.

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
    from codekiln.corpus.draw import survey
    from codekiln.corpus.store import shards
    from codekiln.corpus.tokenizer_sample import count_words
    from codekiln.models.settings import ModelSettings
    from codekiln.recipe import RunSettings
    from codekiln.tokenizer.settings import TokenizerSettings
    from codekiln.tokenizer.train import train_into

    if recipe.table(ModelSettings).from_pretrained is not None:
        _extend(recipe, directory)
        return
    settings = recipe.table(TokenizerSettings)
    processes = recipe.table(RunSettings).processes
    found = survey(shards(directory / "corpus"), processes)
    folder = directory / "tokenizer"
    trained, now = train_into(
        folder,
        lambda: count_words(found, settings, processes),
        settings,
        inputs=found.fingerprint,
    )
    if found.bytes("held_out") and (now or not (folder / REPORT_FILE).exists()):
        _report(trained, found, folder)
    state = "" if now else "nothing to do: "
    click.echo(f"{state}a tokenizer of {trained.vocab_size:,} ids is in {folder}")


def _extend(recipe: Recipe, directory: Path) -> None:
    """The starting model's tokenizer, with the control tokens that it lacks."""
    from codekiln.models.settings import ModelSettings
    from codekiln.tokenizer.extend import extend_into

    source, folder = recipe.table(ModelSettings).source(), directory / "tokenizer"
    tokenizer, added, now = extend_into(folder, source)
    state = "" if now else "nothing to do: "
    with_added = f", with {', '.join(added)} added" if added else ""
    count = f"{tokenizer.vocab_size:,} ids"
    click.echo(f"{state}the tokenizer of {source}{with_added}, {count}, is in {folder}")


def _report(trained: Tokenizer, found: Survey, folder: Path) -> None:
    from codekiln.corpus.tokenizer_sample import draw_texts
    from codekiln.storage import write_json
    from codekiln.tokenizer.report import measure

    weights = found.bytes("held_out")
    texts = draw_texts(found, "held_out", PER_LANGUAGE_BYTES)
    measured = measure({folder.name: trained}, texts, weights)
    write_json(folder / REPORT_FILE, measured.to_json())
    show(measured, languages=SHOWN)
