"""`codekiln train`: token shards to a model."""

from __future__ import annotations

import sys
from pathlib import Path

import click

EXIT_INTERRUPTED = 130


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Change one setting."
)
@click.option("--resume", is_flag=True, help="Go on from the newest whole checkpoint.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Run folder, in place of the recipe's run.directory.",
)
def train(recipe: Path, overrides: tuple[str, ...], resume: bool, out: Path | None) -> None:
    """Train RECIPE's model on the run folder's tokens; resume a run.

    Writes checkpoints, metrics.jsonl and, at the end, model/ (a Hugging Face folder) into the
    run folder. A signal (Ctrl-C) saves a checkpoint first.

    \b
    Example:
      codekiln train recipes/pretrain-tiny.toml --set training.max_minutes=3
      codekiln train recipes/pretrain-tiny.toml --resume
    """
    from codekiln.recipe import Recipe, RunSettings

    values = Recipe.load(recipe, overrides)
    directory = out or values.table(RunSettings).directory.expanduser()
    from codekiln.log import human_count, human_seconds
    from codekiln.training.loop import train as run

    result = run(values, directory, resume=resume)
    if result.status == "interrupted":
        sys.exit(EXIT_INTERRUPTED)
    if result.status == "nothing to do":
        click.echo(f"nothing to do: the model is in {result.model}")
        return
    facts = [f"{result.step} steps", f"{human_count(result.tokens)} tokens"]
    if result.bits_per_byte is not None:
        facts.append(f"{result.bits_per_byte:.3f} bits per byte on held-out text")
    facts.append(human_seconds(result.seconds))
    click.echo(f"{', '.join(facts)}: the model is in {result.model}")
