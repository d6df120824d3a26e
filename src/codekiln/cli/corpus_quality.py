"""`codekiln corpus quality`: score files, say why, train a model of your own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from codekiln.corpus.quality.judge import Assessment
    from codekiln.corpus.quality.screen import Screen

SYNTAX = click.option(
    "--syntax",
    type=click.Choice(["off", "tree-sitter", "compiler"]),
    default="tree-sitter",
    help="What checks the syntax; a compiler runs in the sandbox.",
)
MODEL = click.option(
    "--model", type=click.Path(path_type=Path), help="A model of your own: what train wrote."
)
FILES = click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)


@click.group()
def quality() -> None:
    """How well files are made: syntax, signals, and a model that scores them.

    \b
    Example:
      codekiln corpus quality score src/*.py
    """


@quality.command()
@FILES
@SYNTAX
@MODEL
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines with all signals.")
def score(files: tuple[Path, ...], syntax: str, model: Path | None, as_json: bool) -> None:
    """The score of each FILE, and why it would be dropped.

    \b
    Example:
      codekiln corpus quality score src/*.py --json
    """
    with _screen(syntax, model) as screen:
        for path, language, found in _assessed(screen, files):
            reason = screen.judge(found, language, path.as_posix())
            if as_json:
                click.echo(json.dumps(_row(path, language, found, reason), ensure_ascii=False))
            else:
                click.echo(f"{found.quality:.3f}  {path}  {reason or 'kept'}")


@quality.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@SYNTAX
@MODEL
def explain(file: Path, syntax: str, model: Path | None) -> None:
    """All signals of FILE, and what each adds to its score.

    \b
    Example:
      codekiln corpus quality explain src/main.c
    """
    from rich.console import Console
    from rich.table import Table

    from codekiln.corpus.quality import model as models

    with _screen(syntax, model) as screen:
        for path, language, found in _assessed(screen, (file,)):
            reason = screen.judge(found, language, path.as_posix())
            parts = models.load(model).reasons(language, found.signals)
            added = {name: (far, part) for name, far, part in parts}
            table = Table("signal", "value", "from the usual", "adds to the score's logit")
            for name, value in found.signals._asdict().items():
                far, part = added.get(name, (None, None))
                table.add_row(name, f"{value:.4g}", _signed(far), _signed(part))
            errors = found.syntax.errors
            said = "not checked" if errors is None else f"{errors:.2%} of the file in errors"
            console = Console()
            console.print(table)
            console.print(f"syntax: {said} {found.syntax.note}".rstrip(), highlight=False)
            console.print(f"score: {found.quality:.3f}; {reason or 'kept'}", highlight=False)


@quality.command()
@click.argument("repositories", nargs=-1, required=True)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Where the labels go (JSONL)."
)
@click.option("--seed", type=int, default=0, help="Chooses files and how they are spoiled.")
def labels(repositories: tuple[str, ...], out: Path, seed: int) -> None:
    """Labels without hands: good files of REPOSITORIES, and spoiled copies of them.

    \b
    Example:
      codekiln corpus quality labels ~/src/* --out labels.jsonl
    """
    from codekiln.corpus.quality.weak import weak_labels, write

    click.echo(f"{write(weak_labels(repositories, seed=seed), out)} rows in {out}")


@quality.command()
@click.option(
    "--labels",
    "labelled",
    required=True,
    type=click.Path(path_type=Path),
    help="JSON lines: text or path, language, label (0 or 1), and group if known.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the model.")
def train(labelled: Path, out: Path) -> None:
    """Train a model on labelled files; set it as quality.model in a recipe.

    \b
    Example:
      codekiln corpus quality train --labels labels.jsonl --out models/quality
    """
    from codekiln.corpus.quality.train import train as train_model
    from codekiln.log import Progress

    with Progress("files measured", unit="files") as progress:
        about = train_model(labelled, out, progress.advance)
    test = about["test"]
    click.echo(
        f"{about['rows']} rows of {about['groups']} groups; on {test['rows']} of groups not seen:"
        f" AUC {test['auc']:.3f}, calibration error {test['calibration_error']:.3f}"
    )
    for name, value in test["auc_by_language"].items():
        click.echo(f"  {name}: {value:.3f}")
    click.echo(f"model in {out}")


def _screen(syntax: str, model: Path | None) -> Screen:
    from codekiln.corpus.quality.screen import Screen
    from codekiln.corpus.quality.settings import QualitySettings

    return Screen(QualitySettings.model_validate({"syntax": syntax, "model": model}))


def _assessed(screen: Screen, files: tuple[Path, ...]) -> Iterator[tuple[Path, str, Assessment]]:
    """Files whose language is known; the others are named on standard error."""
    from codekiln.languages import table
    from codekiln.types import SourceFile

    for path in files:
        text = path.read_bytes().decode("utf-8", "replace")
        language = table.detect(path.as_posix(), text)
        if language is None:
            click.echo(f"{path}: language not known", err=True)
            continue
        file = SourceFile(path=path.as_posix(), text=text, language=language.name)
        yield path, language.name, screen.assess_files([file])[0]


def _row(path: Path, language: str, found: Assessment, reason: str | None) -> dict[str, object]:
    return {
        "path": path.as_posix(),
        "language": language,
        "reason": reason,
        "score": found.quality,
        "syntax_errors": found.syntax.errors,
        "syntax_note": found.syntax.note,
        **found.signals._asdict(),
    }


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"
