"""`codekiln corpus`: build a corpus, report on one, show a repository's import graph."""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from codekiln.corpus.reports.report import BuildReport
    from codekiln.recipe import Recipe

LATER = {
    "graph": (
        "codekiln.cli.corpus_graph:graph",
        "The import graph of a repository, and the order of its files.",
    ),
    "quality": (
        "codekiln.cli.corpus_quality:quality",
        "How well files are made: score, explain, train.",
    ),
    "why": (
        "codekiln.cli.corpus_why:why",
        "Why a repository, a file or a document is in a corpus, or is not.",
    ),
}


class CorpusGroup(click.Group):
    """The commands below, and those of other files, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, sorted."""
        return sorted([*self.commands, *LATER])

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one command."""
        if name not in LATER:
            return super().get_command(ctx, name)
        module, _, attribute = LATER[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing those of other files."""
        rows = {name: command.get_short_help_str(80) for name, command in self.commands.items()}
        rows |= {name: line for name, (_, line) in LATER.items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(rows.items()))


@click.group(cls=CorpusGroup)
def corpus() -> None:
    """Turn repositories into training documents.

    \b
    Example:
      codekiln corpus build recipe.toml
    """


@corpus.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where the corpus goes; by default the run's directory, below corpus/.",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Change one setting."
)
def build(recipe: Path, out: Path | None, overrides: tuple[str, ...]) -> None:
    """Build the corpus that a recipe describes, or finish one that was stopped.

    \b
    Example:
      codekiln corpus build recipe.toml --out corpora/mine --set corpus.order=paper
    """
    from codekiln.recipe import Recipe, RunSettings

    read = Recipe.load(recipe, overrides)
    build_for_run(read, read.table(RunSettings).directory.expanduser(), out)


def build_for_run(recipe: Recipe, directory: Path, out: Path | None = None) -> BuildReport:
    """Build the corpus of the run in `directory`, unless it stands there already.

    Args:
        out: the corpus's folder; by default `directory`/corpus.

    Raises:
        SourceError: no repository could be built.
    """
    from rich.console import Console

    from codekiln.corpus.build import build as build_corpus
    from codekiln.corpus.reports.tables import tables
    from codekiln.corpus.settings import CorpusSettings
    from codekiln.recipe import RunSettings

    run = recipe.table(RunSettings)
    folder = out or directory / "corpus"
    report = build_corpus(
        recipe.table(CorpusSettings),
        folder,
        seed=run.seed,
        processes=run.processes,
        engine=run.engine,
    )
    if report.nothing_to_do:
        click.echo(f"nothing to do: the corpus is in {folder}")
    else:
        Console().print(tables(report))
        click.echo(f"corpus in {folder}")
    return report


@corpus.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--html", type=click.Path(path_type=Path), help="Write one self-contained page.")
def report(directory: Path, as_json: bool, html: Path | None) -> None:
    """What a corpus holds, and what was dropped and why.

    \b
    Example:
      codekiln corpus report runs/default/corpus
      codekiln corpus report runs/default/corpus --html report.html
    """
    from rich.console import Console

    from codekiln.corpus.reports.report import BuildReport
    from codekiln.corpus.reports.tables import tables

    found = BuildReport.load(directory)
    if html is not None:
        from codekiln.corpus.reports.page import page
        from codekiln.storage import write_text

        write_text(html, page(directory.resolve().name, found))
        click.echo(f"page in {html}")
    elif as_json:
        click.echo(json.dumps(asdict(found), indent=2, ensure_ascii=False))
    else:
        Console().print(tables(found))
