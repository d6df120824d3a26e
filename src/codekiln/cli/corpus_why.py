"""`codekiln corpus why`: what became of a repository, a file or a document."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path))
@click.argument("subject", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def why(corpus: Path, subject: str, as_json: bool) -> None:
    """Why a repository, a file or a document is in CORPUS, or is not.

    ID is a repository's name, REPOSITORY/PATH, or the id of a document.

    \b
    Example:
      codekiln corpus why runs/default/corpus project-a/src/app.py
    """
    from codekiln.corpus.why import why as ask

    answer = ask(corpus, subject)
    if as_json:
        click.echo(json.dumps(asdict(answer), indent=2, ensure_ascii=False))
        return
    click.echo(f"{answer.subject}: {'kept' if answer.kept else 'dropped'}, {answer.reason}")
    for name, value in answer.facts.items():
        click.echo(f"  {name}: {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
