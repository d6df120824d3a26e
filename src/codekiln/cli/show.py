"""`codekiln show`: a recipe as it will be run."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Change one setting."
)
def show(recipe: Path, overrides: tuple[str, ...]) -> None:
    """Print RECIPE with all defaults, validated; the output is a recipe too.

    \b
    Example:
      codekiln show recipes/pretrain-tiny.toml --set optimizer.learning_rate=3e-4
    """
    from codekiln.recipe import Recipe

    click.echo(Recipe.load(recipe, overrides).to_toml(), nl=False)
