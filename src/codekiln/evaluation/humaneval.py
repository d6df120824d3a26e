"""HumanEval in Python, and HumanEvalPack's Python problems, from a folder that the user has.

The program of a sample is prompt + completion (or the whole solution), then the problem's own
tests, then the call of them: the official order (Chen et al. 2021). The paper's own runner builds
the same program for Python, so its rules and the strict ones agree here.

Source: DeepSeek-Coder §4.1 (HumanEval: zero-shot, greedy).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from codekiln.errors import BenchmarkError
from codekiln.evaluation.completions import Sample
from codekiln.evaluation.rows import read_rows, text_field
from codekiln.evaluation.score import Score, score
from codekiln.sandbox.limits import Limits
from codekiln.types import Completion, Problem

if TYPE_CHECKING:
    from codekiln.generation.infill import Prompt
    from codekiln.tokenizer.tokenizer import Tokenizer
    from codekiln.tokens.fim import Order

STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
MAX_NEW_TOKENS = 500  # DeepSeek-Coder §4.1: 4096 tokens in, 500 out


class HumanEval:
    """164 functions to write after their signature and docstring."""

    name: ClassVar[str] = "humaneval"
    profile: ClassVar[str] = "strict"
    stop: ClassVar[tuple[str, ...]] = STOP
    max_new_tokens: ClassVar[int] = MAX_NEW_TOKENS
    files: ClassVar[tuple[str, ...]] = ("HumanEval.jsonl.gz", "HumanEval.jsonl")
    folder: ClassVar[str] = "humaneval"
    # The official limit is 3 s of wall time, which fails right answers on busy machines; the
    # slowest canonical solution takes under one second of processor time.
    limits: ClassVar[Limits] = Limits(cpu_seconds=5, wall_seconds=8)

    def problems(self, data: Path) -> list[Problem]:
        """The problems in `data`: a file, a folder that holds it, or the folder above that.

        Raises:
            BenchmarkError: no such file, a malformed row, or an id that stands twice.
        """
        path = find_file(data, self.folder, self.files)
        return read_problems(path, self._problem)

    def load(self, data: Path, *, limit: int | None = None, seed: int = 0) -> list[Problem]:
        """The first `limit` problems; nothing is drawn, so `seed` changes nothing."""
        return self.problems(data)[:limit]

    def prompt(
        self, tokenizer: Tokenizer, problem: Problem, max_tokens: int, fim_order: Order
    ) -> Prompt:
        """The official prompt as it is: plain, without a path, not infilled."""
        from codekiln.generation.infill import build_prompt

        return build_prompt(
            tokenizer, prefix=problem.prompt, max_tokens=max_tokens, mode="complete"
        )

    def score(
        self, problems: Sequence[Problem], completions: Sequence[Completion], *, unsafe: bool
    ) -> Score:
        """Run the tests of every completion.

        Raises:
            SandboxError: no safe way to run them here.
        """
        samples = [
            Sample(problem_id=c.problem_id, sample=c.sample, text=c.text) for c in completions
        ]
        return score(self, problems, samples, unsafe=unsafe)

    def program(self, problem: Problem, sample: Sample) -> str:
        """The Python program that passes if and only if the sample passes its tests."""
        start = sample.text if sample.whole else problem.prompt + sample.text
        return f"{start}\n{problem.tests}"

    def _problem(self, place: str, row: dict[str, Any]) -> Problem:
        entry = text_field(place, row, "entry_point")
        tests = f"{text_field(place, row, 'test')}\ncheck({entry})"
        return self._with_tests(place, row, entry, tests)

    def _with_tests(self, place: str, row: dict[str, Any], entry: str, tests: str) -> Problem:
        return Problem(
            id=text_field(place, row, "task_id"),
            prompt=text_field(place, row, "prompt"),
            tests=tests,
            stop=self.stop,
            entry_point=entry,
            reference=text_field(place, row, "canonical_solution"),
        )


class HumanEvalPack(HumanEval):
    """HumanEvalPack's Python problems: the same functions, tests that call themselves.

    Its rows also hold a wrong solution each, which a scorer must fail.
    """

    name: ClassVar[str] = "humanevalpack"
    files: ClassVar[tuple[str, ...]] = (
        "humanevalpack-python.jsonl.gz",
        "humanevalpack-python.jsonl",
        "humanevalpack.jsonl",
    )
    folder: ClassVar[str] = "humanevalpack"

    def _problem(self, place: str, row: dict[str, Any]) -> Problem:
        tests = text_field(place, row, "test")
        return self._with_tests(place, row, text_field(place, row, "entry_point"), tests)


def find_file(data: Path, folder: str, names: tuple[str, ...]) -> Path:
    """The benchmark's file at, in, or one folder below `data`.

    Raises:
        BenchmarkError: it is nowhere there.
    """
    if data.is_file():
        return data
    places = [base / name for base in (data, data / folder) for name in names]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise BenchmarkError(
            data,
            got="no such folder" if not data.is_dir() else f"no {names[0]} here or in {folder}/",
            wanted=f"a folder with one of {', '.join(names)}",
            remedy="codekiln brings no benchmark data; point --data at a copy of it",
        )
    return found


def read_problems(path: Path, make: Callable[[str, dict[str, Any]], Problem]) -> list[Problem]:
    """All problems of a file, in its order.

    Raises:
        BenchmarkError: a malformed row, an id that stands twice, or no row at all.
    """
    problems: dict[str, Problem] = {}
    for number, row in read_rows(path):
        place = f"{path}:{number}"
        problem = make(place, row)
        if problem.id in problems:
            raise BenchmarkError(place, got=f"task_id {problem.id!r} for the second time")
        problems[problem.id] = problem
    if not problems:
        raise BenchmarkError(path, got="no problems", wanted="one JSON object a line")
    return list(problems.values())
