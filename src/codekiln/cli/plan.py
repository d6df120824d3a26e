"""`codekiln plan`: memory, time and cost of a recipe, before anyone pays for it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from codekiln.training.estimate import Estimate

HOURS = 24
WHOLE = 100  # from here on a cost has no cents


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Change one.")
@click.option("--gpus", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--gpu", "kind", default="h100", show_default=True, help="h100, a100, rtx-4090, …")
@click.option(
    "--mfu",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=0.4,
    show_default=True,
    help="Share of the GPU's peak that is reached.",
)
@click.option(
    "--price", type=click.FloatRange(min=0), default=2.5, show_default=True, help="Of a GPU hour."
)
@click.option("--json", "as_json", is_flag=True, help="Plain values, in place of the table.")
def plan(
    recipe: Path,
    overrides: tuple[str, ...],
    gpus: int,
    kind: str,
    mfu: float,
    price: float,
    as_json: bool,
) -> None:
    """What RECIPE needs on so many GPUs: memory by part, FLOPs, tokens/s, days, cost.

    A layout that cannot be is refused, with the reason. Beside the recipe's learning rate and
    batch stands what DeepSeek-LLM's scaling law suggests.

    \b
    Example:
      codekiln plan recipes/deepseek-coder-33b.toml --gpus 512 --gpu h100
      codekiln plan recipes/deepseek-coder-33b.toml --gpus 512 --set parallel.tensor=8
      codekiln plan recipes/pretrain-tiny.toml --gpu rtx-4090 --json
    """
    from codekiln.recipe import Recipe
    from codekiln.training.estimate import estimate
    from codekiln.training.hardware import gpu

    loaded = Recipe.load(recipe, overrides)
    found = estimate(loaded, gpus, gpu(kind), mfu)
    if as_json:
        cost = found.days * HOURS * gpus * price
        click.echo(json.dumps(found.to_json() | {"cost": cost}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    from codekiln.training.settings import OptimizerSettings

    table = Table("what", "value", title=f"{recipe.name} on {gpus} {found.gpu.name}")
    rate = loaded.table(OptimizerSettings).learning_rate
    for row in _rows(found, gpus, price, rate):
        table.add_row(*row)
    Console().print(table)


def _rows(found: Estimate, gpus: int, price: float, rate: float) -> list[tuple[str, str]]:
    from codekiln.log import human_count

    degrees = ", ".join(f"{k} {v}" for k, v in asdict(found.degrees).items() if v > 1) or "one rank"
    rows = [
        ("parameters", human_count(found.config.parameters)),
        ("of these met by a token", human_count(found.config.active_parameters)),
        ("that learn", human_count(found.learning)),
        ("layout", degrees),
        *_memory_rows(found),
        ("FLOPs a token", human_count(found.flops_per_token)),
        ("step", f"{human_count(found.tokens_per_step)} tokens"),
        ("pipeline waits", f"{found.bubble:.1%}"),
        (
            "speed",
            f"{human_count(found.tokens_per_second)} tokens/s at "
            f"{found.mfu * (1 - found.bubble):.0%} of the peak",
        ),
    ]
    law = found.law
    if law is None:
        remedy = "one pass over the tokens: set training.tokens to know days and cost"
        return [*rows, ("length", remedy)]
    cost = found.days * HOURS * gpus * price
    return [
        *rows,
        ("tokens", human_count(found.tokens)),
        ("time", _duration(found.days)),
        ("cost", f"{cost:,.{0 if cost >= WHOLE else 2}f} at {price:g} a GPU hour"),
        ("learning rate", f"{rate:.2e}; by the law {law.learning_rate:.2e}"),
        (
            "batch",
            f"{human_count(found.tokens_per_step)} tokens; by the law "
            f"{human_count(law.batch_tokens)}",
        ),
        (
            "for this compute",
            f"the law would train {human_count(law.flops_per_token)} FLOPs a token on "
            f"{human_count(law.tokens)} tokens",
        ),
    ]


def _memory_rows(found: Estimate) -> list[tuple[str, str]]:
    """The peak and its parts, which do not all stand at once."""
    memory, room = found.memory, found.gpu.memory_bytes
    other = "without" if found.checkpointing else "with"
    what = {
        "weights": "weights, float32",
        "gradients": "gradients, float32",
        "averages": "optimiser's averages",
        "gathered": "copies to compute with",
        "activations": "activations",
        "loss": "logits of a chunk, head",
        "step": "optimiser's step",
    }
    parts = {name: value for part, name in what.items() if (value := getattr(memory, part))}
    fits = "yes" if found.fits else "no: more ranks, a smaller micro-batch, checkpointing"
    return [
        ("memory of a GPU", f"{_size(memory.total)} of {_size(room)}"),
        *((f"  {name}", _size(value)) for name, value in parts.items()),
        (f"  {other} checkpointing", f"{_size(found.otherwise.total)} in all"),
        ("fits", fits),
    ]


def _size(count: float) -> str:
    from codekiln.log import human_count

    return f"{human_count(count)}B"


def _duration(days: float) -> str:
    from codekiln.log import human_seconds

    return f"{days:.1f} days" if days >= 1 else human_seconds(days * HOURS * 3600)
