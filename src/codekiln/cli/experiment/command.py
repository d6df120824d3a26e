"""Runs an experiment: every variant with every seed, from corpus to scores, then one table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codekiln.cli.experiment.settings import ExperimentSettings
from codekiln.cli.experiment.statistics import difference, interval

if TYPE_CHECKING:
    from rich.table import Table

    from codekiln.recipe import Recipe

RESULTS = "experiment.json"
METRICS = {
    "bits_per_byte": "bits a byte, held-out text (less is better)",
    "fim_middle_bits_per_byte": "bits a byte, middles of held-out files (less is better)",
    "exact_match": "lines infilled exactly",
    "edit_similarity": "edit similarity of infilled lines",
}
Results = dict[str, dict[int, dict[str, float]]]


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Change one.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of all runs, in place of the recipe's run.directory.",
)
@click.option("--json", "as_json", is_flag=True, help="All runs' scores, in place of the table.")
def experiment(recipe: Path, overrides: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Train each variant of RECIPE's [experiment] with each seed, and compare.

    Runs lie in DIR/VARIANT/seed-N; stopped anywhere, the same command goes on. The table has means
    with 95% intervals over seeds, and says where a difference cannot be told from chance.

    \b
    Example:
      codekiln experiment recipes/experiments/fim-rate.toml
      codekiln experiment recipes/experiments/fim-rate.toml --set experiment.seeds=[0,1,2,3,4]
    """
    from codekiln.errors import RecipeError
    from codekiln.recipe import Recipe, RunSettings
    from codekiln.storage import write_json

    base = Recipe.load(recipe, overrides)
    settings = base.table(ExperimentSettings)
    if not settings.variants:
        raise RecipeError(
            f"{recipe} [experiment] variants", got="none", wanted="two or more variants to compare"
        )
    folder = out or base.table(RunSettings).directory.expanduser()
    results: Results = {name: {} for name in settings.variants}
    for seed in settings.seeds:  # by seed first: a table of few seeds is there early
        for name, changes in settings.variants.items():
            directory = folder / name / f"seed-{seed}"
            varied = Recipe.load(recipe, [*overrides, *changes, f"run.seed={seed}"])
            asked = folder / next(iter(results)) / f"seed-{seed}" / "corpus"
            results[name][seed] = _run(varied, directory, asked, settings.infilling_problems)
            write_json(folder / RESULTS, results)
    if as_json:
        click.echo(json.dumps(results, indent=2))
        return
    from rich.console import Console

    Console().print(table(results, recipe.stem))


def _run(recipe: Recipe, directory: Path, asked: Path, problems: int) -> dict[str, float]:
    """One run from its corpus to its scores; what is done already is passed over.

    Lines to infill are those of the first variant's corpus, so that all are asked the same.
    """
    from codekiln.cli.corpus import build_for_run
    from codekiln.cli.tokenizer import train_for_run
    from codekiln.cli.tokens import pack_for_run
    from codekiln.evaluation.run import evaluate, identity
    from codekiln.generation.engine import Engine
    from codekiln.log import MetricsFile, stage
    from codekiln.training.loop import train

    with stage(str(directory)):
        build_for_run(recipe, directory)
        train_for_run(recipe, directory)
        pack_for_run(recipe, directory)
        train(recipe, directory, resume=any((directory / "checkpoints").glob("step-*")))
    model = directory / "model"
    score = evaluate(
        Engine.load(model),
        "infilling",
        asked,
        directory / "evaluation",
        model=identity(model),
        limit=problems,
        seed=0,
    )
    rows = MetricsFile(directory / "metrics.jsonl").rows()
    found = {name: value for name, value in score.scores.items() if name in METRICS}
    evaluations = [row for row in rows if row.get("held_out_bits_per_byte") is not None]
    for row in evaluations[-1:]:  # none with training.evaluate_tokens = 0
        found["bits_per_byte"] = row["held_out_bits_per_byte"]
        if middle := row["held_out_by_kind"].get("fim_middle"):  # not with FIM rate 0
            found["fim_middle_bits_per_byte"] = middle["bits_per_byte"]
    return found


def table(results: Mapping[str, Mapping[int, Mapping[str, float]]], title: str) -> Table:
    """A row for each variant and measure, held against the first variant."""
    from rich.markup import escape
    from rich.table import Table

    names = list(results)
    against = f"against {escape(names[0])}"
    made = Table("measure", "variant", "mean", against, "resolved", title=escape(title))
    for metric, described in METRICS.items():
        first = _values(results[names[0]], metric)
        label = described
        for name in names:
            values = _values(results[name], metric)
            if values:
                other = first if name != names[0] else {}
                made.add_row(label, escape(name), *_cells(values, other))
                label = ""
    return made


def _values(runs: Mapping[int, Mapping[str, float]], metric: str) -> dict[int, float]:
    """Seed -> value, where there is one."""
    return {seed: run[metric] for seed, run in sorted(runs.items()) if metric in run}


def _cells(values: Mapping[int, float], others: Mapping[int, float]) -> tuple[str, str, str]:
    """Mean; the difference over seeds that both have, and whether it is resolved."""
    mean, half = interval(list(values.values()))
    shown = f"{mean:.4f} ± {half:.4f}"
    seeds = [seed for seed in values if seed in others]
    if not seeds:
        return shown, "", ""
    gap, width, resolved = difference([values[s] for s in seeds], [others[s] for s in seeds])
    return shown, f"{gap:+.4f} ± {width:.4f}", "yes" if resolved else "no: within chance"
