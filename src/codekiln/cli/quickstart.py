"""`codekiln quickstart`: the whole path on real code, on a laptop, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from codekiln.evaluation.score import Score
    from codekiln.recipe import Recipe
    from codekiln.training.loop import TrainResult

INFILLING_PROBLEMS = 100
DEFAULT_OUT = Path("runs/quickstart")


@click.command()
@click.argument("repositories", nargs=-1)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_OUT,
    show_default=True,
    help="The run's folder.",
)
@click.option(
    "--minutes", type=click.FloatRange(min=0.01), help="Minutes of training; 3 by default."
)
@click.option(
    "--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Change one setting."
)
def quickstart(
    repositories: tuple[str, ...], out: Path, minutes: float | None, overrides: tuple[str, ...]
) -> None:
    """Watch code become a model: corpus, tokenizer, training, evaluation, report.

    REPOSITORIES are folders, git repositories (PATH@REVISION) or archives; without any, the
    Python standard library and the packages installed beside it. Stopped at any point, the same
    command goes on from there; finished, it says so.

    \b
    Example:
      codekiln quickstart ~/src/project-a ~/src/project-b --out runs/mine
    """
    from codekiln.cli.corpus import build_for_run
    from codekiln.cli.report.page import write_report
    from codekiln.cli.tokenizer import train_for_run
    from codekiln.cli.tokens import pack_for_run
    from codekiln.log import logger, stage

    report = out / "report.html"
    had_report = report.exists()
    recipe = quickstart_recipe(repositories, out, minutes, overrides)
    with stage("1/5 corpus: read, filter, order, drop near-duplicates"):
        build_for_run(recipe, out)
    with stage("2/5 tokenizer: learn a vocabulary"):
        train_for_run(recipe, out)
    with stage("3/5 tokens: fill-in-the-middle, pack"):
        pack_for_run(recipe, out)
    with stage("4/5 training"):
        trained = _train(recipe, out)
    if trained.status == "interrupted":
        raise click.exceptions.Exit(130)
    with stage("5/5 evaluation: infill lines of held-out files"):
        score = _infilling(recipe, out)
    if trained.status == "nothing to do" and had_report:
        logger.info("everything was done before: nothing to do")
    else:
        write_report([out])
    click.echo(_closing(out, score))


def quickstart_recipe(
    repositories: tuple[str, ...],
    out: Path,
    minutes: float | None,
    overrides: tuple[str, ...],
) -> Recipe:
    """The shipped recipe, with the user's repositories and changes.

    Raises:
        RecipeError: an override that does not fit.
    """
    import json

    from codekiln.corpus.sources.installed import installed_repositories
    from codekiln.recipe import Recipe

    locations = list(repositories) or installed_repositories()
    fixed = [
        f"corpus.repositories={json.dumps(locations)}",
        f"run.directory={json.dumps(str(out))}",
    ]
    if len(locations) == 1:
        fixed.append("corpus.held_out_unit='sample'")  # one repository is both kinds of text
    if minutes is not None:
        fixed.append(f"training.max_minutes={minutes}")
    shipped = Path(__file__).with_name("quickstart.toml")
    return Recipe.load(shipped, [*fixed, *overrides])


def _train(recipe: Recipe, out: Path) -> TrainResult:
    from codekiln.cli.benchmarks import benchmark_callbacks
    from codekiln.errors import CheckpointError
    from codekiln.training.loop import train

    try:
        begun = any((out / "checkpoints").glob("step-*"))
        return train(recipe, out, resume=begun, callbacks=benchmark_callbacks(recipe, out))
    except CheckpointError as error:
        if "training.max_minutes" not in error.got:
            raise
        raise CheckpointError(
            out,
            got=f"a run of other --minutes is there ({error.got})",
            wanted="the --minutes and --set that this run began with",
            remedy=f"give them again, or begin another run: --out {out}-2",
        ) from None


def _infilling(recipe: Recipe, out: Path) -> Score:
    from codekiln.evaluation.run import evaluate, identity
    from codekiln.generation.engine import Engine
    from codekiln.recipe import RunSettings

    model = out / "model"
    engine = Engine.load(model)
    return evaluate(
        engine,
        "infilling",
        out / "corpus",
        out / "evaluation",
        model=identity(model),
        limit=INFILLING_PROBLEMS,
        seed=recipe.table(RunSettings).seed,
        fim_order=engine.fim_order,
    )


def _closing(out: Path, score: Score) -> str:
    from codekiln.cli.report.infillings import chosen, shown

    lines = ["", "Five lines of files that the model never saw, taken out and written anew:", ""]
    lines += [shown(row) for row in chosen(score.problems)]
    values = score.scores
    lines += [
        f"Of {len(score.problems)} such lines {values['exact_match']:.1%} are exactly right; "
        f"edit similarity {values['edit_similarity']:.2f}.",
        f"A model of this size shows how it works, not what it can do. Report: {out}/report.html",
        "",
        "Complete code at a place in a file (line:column):",
        f"  codekiln complete {out} FILE --at 12:5",
        "Serve it to editors and to the openai SDK:",
        f"  codekiln serve {out} --port 8000",
    ]
    return "\n".join(lines)
