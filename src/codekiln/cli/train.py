"""`codekiln train`: token shards to a model."""

from __future__ import annotations

import os
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
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    help="Ranks on this machine, for the recipe's [parallel]; on several machines use torchrun.",
)
def train(
    recipe: Path, overrides: tuple[str, ...], resume: bool, out: Path | None, processes: int | None
) -> None:
    """Train RECIPE's model on the run folder's tokens; resume a run.

    Writes checkpoints, metrics.jsonl and, at the end, model/ (a Hugging Face folder) into the
    run folder. A signal (Ctrl-C) saves a checkpoint first. A run may go on with another number of
    ranks, or another layout of them.

    \b
    Example:
      codekiln train recipes/pretrain-tiny.toml --set training.max_minutes=3
      codekiln train recipes/pretrain-tiny.toml --resume
      codekiln train recipes/deepseek-coder-1.3b.toml --processes 8
      torchrun --nnodes 4 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \\
        -m codekiln train recipes/deepseek-coder-33b.toml
    """
    if processes is not None and processes > 1:
        from codekiln.cli.ranks import launch

        sys.exit(launch(processes, sys.argv[1:]))
    from codekiln.recipe import Recipe, RunSettings

    values = Recipe.load(recipe, overrides)
    directory = out or values.table(RunSettings).directory.expanduser()
    from codekiln.cli.benchmarks import benchmark_callbacks
    from codekiln.log import human_count, human_seconds
    from codekiln.training.loop import train as run

    callbacks = benchmark_callbacks(values, directory)
    result = run(values, directory, resume=resume, callbacks=callbacks)
    speaks = os.environ.get("RANK", "0") == "0"
    if result.status == "interrupted":
        sys.exit(EXIT_INTERRUPTED)
    if not speaks:
        return
    if result.status == "nothing to do":
        click.echo(f"nothing to do: the model is in {result.model}")
        return
    facts = [f"{result.step} steps", f"{human_count(result.tokens)} tokens"]
    if result.bits_per_byte is not None:
        facts.append(f"{result.bits_per_byte:.3f} bits per byte on held-out text")
    facts.append(human_seconds(result.seconds))
    click.echo(f"{', '.join(facts)}: the model is in {result.model}")
