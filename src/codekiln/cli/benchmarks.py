"""Benchmarks while a model trains: what `codekiln train` calls at each evaluation point."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codekiln.corpus.settings import CorpusSettings
from codekiln.evaluation.run import Benchmark, load, run_problems
from codekiln.evaluation.settings import OF_THE_RUN, EvaluationSettings
from codekiln.generation.engine import Engine
from codekiln.generation.style import PromptStyle
from codekiln.log import logger
from codekiln.recipe import Recipe, RunSettings
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokens.settings import TokensSettings
from codekiln.training.callbacks import Callback, EvaluationPoint


def benchmark_callbacks(recipe: Recipe, directory: Path) -> list[Callback]:
    """One for each benchmark of the recipe's [evaluation], with its problems read.

    Args:
        directory: the run's folder.

    Raises:
        UserError: a benchmark's data are missing or malformed.
    """
    settings, seed = recipe.table(EvaluationSettings), recipe.table(RunSettings).seed
    style = PromptStyle.trained(
        recipe.table(TokensSettings).fim_order, recipe.table(CorpusSettings).order
    )
    found: list[Callback] = []
    for name in settings.benchmarks:
        data = settings.data.get(name, directory if name == OF_THE_RUN else Path())
        benchmark, problems = load(name, data.expanduser(), limit=settings.problems, seed=seed)
        found.append(BenchmarkCallback(benchmark, problems, style))
    return found


class BenchmarkCallback:
    """Scores the model in training, greedily; results go to RUN/evaluation/step-00000100.

    Args:
        benchmark: from the registry.
        problems: what it loaded.
        style: how the model is taught to read prompts.
    """

    def __init__(self, benchmark: Benchmark, problems: list[Any], style: PromptStyle) -> None:
        self.benchmark, self.problems, self.style = benchmark, problems, style

    def __call__(self, point: EvaluationPoint) -> Mapping[str, float]:
        """`<benchmark>_<score>` of each score, `<benchmark>_problems`, `<benchmark>_seconds`."""
        started, name = time.perf_counter(), self.benchmark.name
        out = point.directory / "evaluation" / f"step-{point.step:08d}"
        for file in out.glob(f"{name}.*"):
            file.unlink()  # of another model, or of one cut off: nothing tells which
        tokenizer = Tokenizer.load(point.directory / "tokenizer")
        score = run_problems(
            Engine(point.model, tokenizer, self.style),
            self.benchmark,
            self.problems,
            out,
            model=f"step {point.step}",
            fim_order=self.style.fim_order,
        )
        numbers = {k: v for k, v in score.scores.items() if isinstance(v, int | float)}
        shown = ", ".join(f"{key} {value:.3f}" for key, value in numbers.items())
        logger.info("step %d: %s: %s", point.step, name, shown)
        return {
            **{f"{name}_{key}": float(value) for key, value in numbers.items()},
            f"{name}_problems": float(len(self.problems)),
            f"{name}_seconds": time.perf_counter() - started,
        }
