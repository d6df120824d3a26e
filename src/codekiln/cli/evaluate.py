"""`codekiln eval`: a model on benchmarks, or completions that are there already."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from codekiln.evaluation.score import Score

MODEL = "MODEL BENCHMARK..."  # no folder is called so: the command for everything but `score`
_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


class ModelOrCommand(click.Group):
    """A group whose first word is a subcommand or else a model (write ./score for a folder)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Send what is no subcommand to the command that evaluates a model."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [MODEL, *args]
        return super().parse_args(ctx, args)


class ModelCommand(click.Command):
    """Its name names its arguments already; the usage line need not repeat them."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Only that there are options."""
        return [self.options_metavar or ""]


def _shared(command: _Decorated) -> _Decorated:
    """Options of both commands."""
    options = (
        click.option(
            "--profile",
            type=click.Choice(["strict", "paper"]),
            help="By what the problems mean, or by the published rules with their quirks, where "
            "the two differ. [default: strict]",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object, no table."),
        click.option(
            "--unsafe",
            is_flag=True,
            help="Run programs as you, without the sandbox: only those that you trust.",
        ),
    )
    for option in options:
        command = option(command)
    return command


@click.group(cls=ModelOrCommand, context_settings={"help_option_names": ["-h", "--help"]})
def evaluate() -> None:
    """Evaluate a model, or score completions.

    \b
    Example:
      codekiln eval runs/default infilling
      codekiln eval score humaneval --completions mine.jsonl --data ~/data/humaneval --json
    """


@evaluate.command(MODEL, cls=ModelCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("benchmarks", metavar="BENCHMARK...", nargs=-1, required=True)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder of the benchmark's data; for infilling a corpus or run folder. "
    "[default: MODEL; RUN for RUN/model]",
)
@click.option("--limit", type=click.IntRange(1), help="Only so many problems.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for completions and results. [default: RUN/evaluation for RUN or RUN/model, "
    "./evaluation/NAME for another model folder NAME]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Draws infilling's lines.")
@click.option(
    "--order",
    type=click.Choice(["psm", "spm"]),
    help="Of prefix, suffix and middle. [default: as the model was trained]",
)
@_shared
def model_command(
    model: Path,
    benchmarks: tuple[str, ...],
    data: Path | None,
    limit: int | None,
    out: Path | None,
    seed: int,
    order: Any,
    profile: Any,
    unsafe: bool,
    as_json: bool,
) -> None:
    """Let MODEL (a model or run folder) answer each BENCHMARK, greedily, and score it.

    Completions are kept in --out: a second run goes on where the first was cut off, and
    `codekiln eval score` scores them again without the model.

    \b
    Example:
      codekiln eval runs/default infilling --limit 100
      codekiln eval runs/default humaneval --data ~/data/humaneval --out results
    """
    from codekiln.evaluation.run import identity, load, run_problems
    from codekiln.generation.engine import Engine
    from codekiln.models.folder import find_model

    folder = find_model(model)
    data = data or _data_folder(model, folder)
    loaded = [load(name, data, limit=limit, seed=seed, profile=profile) for name in benchmarks]
    engine = Engine.load(folder)  # after the data, so that what is missing shows at once
    known, target = identity(folder), out or _results_folder(model, folder)
    results = [
        run_problems(
            engine,
            benchmark,
            problems,
            target,
            model=known,
            fim_order=order or engine.fim_order,
            unsafe=unsafe,
        )
        for benchmark, problems in loaded
    ]
    if as_json:
        rows = [result.to_json() for result in results]
        click.echo(json.dumps({"model": str(model), "results": rows}))
        return
    for result in results:
        _print(result)
    click.echo(f"completions and results: {target}")


@evaluate.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("benchmark")
@click.option(
    "--completions",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="JSON lines, gzipped or not: task_id and completion (text after the prompt) or solution "
    "(a whole program); several rows of a task are several samples.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="The benchmark's file or its folder.",
)
@click.option("--partial", is_flag=True, help="Score what is there if problems are missing.")
@click.option("--workers", type=click.IntRange(1), help="Programs at a time. [default: cores]")
@_shared
def score(
    benchmark: str,
    completions: Path,
    data: Path,
    partial: bool,
    workers: int | None,
    profile: Any,
    unsafe: bool,
    as_json: bool,
) -> None:
    """Run the tests of completions that some model wrote.

    \b
    Example:
      codekiln eval score humaneval --completions mine.jsonl --data ~/data/humaneval
    """
    from codekiln.errors import BenchmarkError
    from codekiln.evaluation.completions import read_completions
    from codekiln.evaluation.profiles import make
    from codekiln.evaluation.score import score as score_samples

    kind = make(benchmark, profile)
    if not hasattr(kind, "program"):
        raise BenchmarkError(
            benchmark,
            got="has no programs to run",
            wanted="a benchmark such as humaneval",
            remedy="use `codekiln eval MODEL " + benchmark + "`",
        )
    problems = kind.problems(data)
    samples = read_completions(completions, problems, partial=partial)
    result = score_samples(kind, problems, samples, workers=workers or 0, unsafe=unsafe)
    if as_json:
        click.echo(json.dumps(result.to_json()))
    else:
        _print(result)


def _data_folder(named: Path, model: Path) -> Path:
    """Where data are looked for by default: MODEL, or the run whose model it is.

    Args:
        named: the folder on the command line.
        model: the model folder that it stands for.
    """
    run = model.resolve().parent
    return run if named == model and (run / "corpus").is_dir() else named


def _results_folder(named: Path, model: Path) -> Path:
    """Where results go by default: never into a model folder, which training would not replace.

    Args:
        named: the folder on the command line.
        model: the model folder that it stands for.
    """
    if named != model:
        return named / "evaluation"  # of the run
    model = model.resolve()
    if model.name == "model" and (model.parent / "recipe.toml").is_file():
        return model.parent / "evaluation"
    here = model.parent if Path.cwd().is_relative_to(model) else Path()
    return here / "evaluation" / model.name


def _print(result: Score) -> None:
    click.echo(f"{result.benchmark} ({result.profile} rules)")
    for name, value in result.scores.items():
        if name.endswith("_interval"):
            continue
        sure = result.scores.get(f"{name}_interval")
        shown = f"{value:.4f}" if isinstance(value, float) else str(value)
        click.echo(f"  {name:<18} {shown}" + (f"  [{sure[0]:.4f}, {sure[1]:.4f}]" if sure else ""))
    counts = ", ".join(f"{count} {status}" for status, count in result.verdicts.items())
    click.echo(f"  {'verdicts':<18} {counts}")
