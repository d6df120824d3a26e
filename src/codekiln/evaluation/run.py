"""A model on a benchmark: prompts, completions, verdicts, scores, in that order.

OUT/<benchmark>.completions.jsonl   what the model wrote; generation resumes from it
OUT/<benchmark>.results.jsonl       one row a problem
OUT/<benchmark>.json                the score
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from codekiln.evaluation.generate import Ask, Engine, complete
from codekiln.evaluation.profiles import Profile, make
from codekiln.evaluation.score import Score
from codekiln.generation.infill import Prompt
from codekiln.generation.sample import Sampling
from codekiln.storage import fingerprint, fingerprint_file, write_json, write_text
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokens.fim import Order
from codekiln.types import Completion


class Benchmark(Protocol):
    """What stands in the registry: how to load, ask and score. Problems have an `id`."""

    name: str
    stop: tuple[str, ...]
    max_new_tokens: int

    def load(self, data: Path, *, limit: int | None, seed: int) -> list[Any]:
        """Problems from a folder that the user has."""
        ...

    def prompt(
        self, tokenizer: Tokenizer, problem: Any, max_tokens: int, fim_order: Order
    ) -> Prompt:
        """What a model gets to see of a problem."""
        ...

    def score(
        self, problems: Sequence[Any], completions: Sequence[Completion], *, unsafe: bool
    ) -> Score:
        """What the completions are worth."""
        ...


def load(
    name: str,
    data: Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    profile: Profile | None = None,
) -> tuple[Benchmark, list[Any]]:
    """A benchmark of the registry with its problems.

    Args:
        name: as in `codekiln list benchmarks`.
        data: the benchmark's folder; for `infilling` a corpus or run folder.
        limit: only so many problems.
        seed: draws the lines of `infilling`.
        profile: by which rules; None: strict ones.

    Raises:
        UserError: no such benchmark, or it has no such rules.
        BenchmarkError: data that are missing or malformed.
    """
    benchmark: Benchmark = make(name, profile)
    return benchmark, benchmark.load(data, limit=limit, seed=seed)


def evaluate(
    engine: Engine,
    name: str,
    data: Path,
    out: Path,
    *,
    model: str,
    limit: int | None = None,
    seed: int = 0,
    fim_order: Order = "psm",
    unsafe: bool = False,
) -> Score:
    """`load` one benchmark and `run_problems` on it, with their arguments and errors."""
    benchmark, problems = load(name, data, limit=limit, seed=seed)
    return run_problems(
        engine, benchmark, problems, out, model=model, fim_order=fim_order, unsafe=unsafe
    )


def run_problems(
    engine: Engine,
    benchmark: Benchmark,
    problems: Sequence[Any],
    out: Path,
    *,
    model: str,
    fim_order: Order = "psm",
    unsafe: bool = False,
) -> Score:
    """Write greedy completions of all problems, then score them; a cut-off run resumes.

    A model with a short context gets the end of a long prompt, and writes at most half of it.

    Args:
        engine: the model.
        benchmark: from the registry, or made by hand.
        problems: what its `load` gave, or some of it.
        out: folder for completions and results.
        model: identifies the model's weights, as `identity` does.
        fim_order: layout of infilling prompts, as the model was trained.
        unsafe: run programs without the sandbox.

    Source: DeepSeek-Coder §4.1 (zero-shot, greedy).

    Raises:
        PromptError: the model's context is too short for anything.
        SandboxError: programs cannot be run safely here.
    """
    new = min(benchmark.max_new_tokens, engine.context_length // 2)
    room = engine.context_length - new
    asks = []
    for problem in problems:
        prompt = benchmark.prompt(engine.tokenizer, problem, room, fim_order)
        asks.append(Ask(problem_id=problem.id, ids=prompt.ids, dropped=prompt.dropped))
    sampling = Sampling(max_new_tokens=new, stop=benchmark.stop)
    path = out / f"{benchmark.name}.completions.jsonl"
    completions = complete(engine, asks, sampling, path, model=model)
    result = benchmark.score(problems, completions, unsafe=unsafe)
    rows = "".join(json.dumps(dict(row)) + "\n" for row in result.problems)
    write_text(out / f"{benchmark.name}.results.jsonl", rows)
    write_json(out / f"{benchmark.name}.json", result.to_json())
    return result


def identity(folder: Path) -> str:
    """A fingerprint of a model folder's weights, configuration and tokenizer."""
    files = sorted([*folder.glob("*.json"), *folder.glob("*.safetensors")])
    return fingerprint([[file.name, fingerprint_file(file)] for file in files])
