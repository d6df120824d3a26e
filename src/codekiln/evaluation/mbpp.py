"""MBPP as the paper has it: three worked examples, then the task and its tests.

The examples are tasks 2, 3 and 4 of the full file, the 500 problems tasks 11 to 510; as many
examples are given as fit. An answer ends at `[DONE]`.

`paper`: the published test file dropped `test_setup_code`, so that task 367 cannot be solved and
499 of 500 is the most. `strict`: the setup code runs before the tests.

Source: DeepSeek-Coder §4.1 (MBPP, 3-shot, greedy); Austin et al. 2021 for the set.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from codekiln.errors import BenchmarkError
from codekiln.evaluation.completions import Sample
from codekiln.evaluation.humaneval import find_file
from codekiln.evaluation.profiles import Profile
from codekiln.evaluation.rows import read_rows, text_field
from codekiln.evaluation.score import Score, score
from codekiln.sandbox.limits import Limits
from codekiln.types import Completion, Problem

if TYPE_CHECKING:
    from codekiln.generation.infill import Prompt
    from codekiln.tokenizer.tokenizer import Tokenizer
    from codekiln.tokens.fim import Order

SHOTS = (2, 3, 4)  # task ids
FIRST, LAST = 11, 510
DONE = "[DONE]"


class MBPP:
    """500 short tasks in Python.

    Args:
        profile: whether setup code runs.
    """

    name: ClassVar[str] = "mbpp"
    profiles: ClassVar[tuple[Profile, ...]] = ("strict", "paper")
    stop: ClassVar[tuple[str, ...]] = (DONE,)
    max_new_tokens: ClassVar[int] = 500
    files: ClassVar[tuple[str, ...]] = ("mbpp.jsonl.gz", "mbpp.jsonl")
    folder: ClassVar[str] = "mbpp"
    limits: ClassVar[Limits] = Limits(cpu_seconds=10, wall_seconds=15)  # the paper's 10 s

    def __init__(self, profile: Profile = "strict") -> None:
        self.profile: Profile = profile
        self._shots: list[str] = []

    def load(self, data: Path, *, limit: int | None = None, seed: int = 0) -> list[Problem]:
        """The first `limit` problems; nothing is drawn, so `seed` changes nothing."""
        return self.problems(data)[:limit]

    def problems(self, data: Path) -> list[Problem]:
        """The 500 problems of the full file (974 rows).

        Raises:
            BenchmarkError: no such file, a malformed row, or a file without these tasks.
        """
        path = find_file(data, self.folder, self.files)
        rows = {_number(f"{path}:{n}", row): (f"{path}:{n}", row) for n, row in read_rows(path)}
        missing = [n for n in (*SHOTS, *range(FIRST, LAST + 1)) if n not in rows]
        if missing:
            raise BenchmarkError(
                path,
                got=f"no task {missing[0]}",
                wanted=f"the full file: tasks {SHOTS[0]} to {LAST}",
                remedy="mbpp_test.jsonl has neither the examples nor the setup code",
            )
        self._shots = [_shot(*rows[number]) for number in SHOTS]
        return [self._problem(*rows[number]) for number in range(FIRST, LAST + 1)]

    def prompt(
        self, tokenizer: Tokenizer, problem: Problem, max_tokens: int, fim_order: Order
    ) -> Prompt:
        """As many examples as fit, then the task; plain text, nothing infilled."""
        from codekiln.generation.infill import build_prompt

        counts = range(len(SHOTS), -1, -1)
        texts = ["".join(self._shots[:count]) + problem.prompt for count in counts]
        room = max_tokens - 1  # the start token
        fitting = (text for text in texts if len(tokenizer.encode(text)) <= room)
        text = next(fitting, texts[-1])
        return build_prompt(tokenizer, prefix=text, max_tokens=max_tokens, mode="complete")

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
        """The answer, setup code (strict) that may use it, the tests."""
        answer = sample.text.split(DONE)[0].strip()
        setup = problem.setup if self.profile == "strict" else ""
        return "\n".join(part for part in (answer, setup, problem.tests) if part)

    def _problem(self, place: str, row: dict[str, Any]) -> Problem:
        return Problem(
            id=f"Mbpp/{_number(place, row)}",
            prompt=_task(place, row),
            tests="\n".join(_tests(place, row)),
            stop=self.stop,
            reference=text_field(place, row, "code"),
            setup=text_field(place, row, "test_setup_code"),
        )


def _number(place: str, row: dict[str, Any]) -> int:
    number = row.get("task_id")
    if not isinstance(number, int):
        raise BenchmarkError(place, got=f"task_id {number!r}", wanted="a whole number")
    return number


def _tests(place: str, row: dict[str, Any]) -> list[str]:
    tests = row.get("test_list")
    if not isinstance(tests, list) or not tests or not all(isinstance(t, str) for t in tests):
        raise BenchmarkError(place, got=f"test_list {tests!r}"[:80], wanted="a list of assertions")
    return tests


def _task(place: str, row: dict[str, Any]) -> str:
    tests = "\n".join(_tests(place, row))
    asked = text_field(place, row, "text")
    return (
        f"You are an expert Python programmer, and here is your task: {asked} "
        f"Your code should pass these tests:\n\n{tests}\n[BEGIN]"
    )


def _shot(place: str, row: dict[str, Any]) -> str:
    code = text_field(place, row, "code").replace("\r", "").replace("\t", "    ")
    return f"{_task(place, row)}\n{code}\n{DONE}\n"
