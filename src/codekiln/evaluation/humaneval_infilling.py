"""HumanEval-Infilling: a part of a solution is taken out, and the whole has to pass again.

Three ways to take it out, each a benchmark: a single line (1,033), several lines (5,815), a random
span of characters (1,640; of each task one in the light set, 164).

Source: Bavarian et al. 2022, §4; DeepSeek-Coder §4.2 scores infilling by exact match on another set
(`fim_single_line.py`), this one by tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from codekiln.evaluation.completions import Sample
from codekiln.evaluation.humaneval import HumanEval
from codekiln.evaluation.rows import text_field
from codekiln.types import Problem

if TYPE_CHECKING:
    from codekiln.generation.infill import Prompt
    from codekiln.tokenizer.tokenizer import Tokenizer
    from codekiln.tokens.fim import Order


def infilling_prompt(
    tokenizer: Tokenizer, problem: Problem, max_tokens: int, fim_order: Order
) -> Prompt:
    """A problem's prefix and suffix in the layout of training, without a path."""
    from codekiln.generation.infill import build_prompt

    return build_prompt(
        tokenizer,
        prefix=problem.prompt,
        suffix=problem.suffix,
        language=problem.language,
        max_tokens=max_tokens,
        order=fim_order,
        mode="infill",
    )


class SingleLine(HumanEval):
    """One line of each, with its indentation and newline."""

    name: ClassVar[str] = "humaneval-infilling-single-line"
    stop: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[tuple[str, ...]] = (
        "HumanEval-SingleLineInfilling.jsonl.gz",
        "HumanEval-SingleLineInfilling.jsonl",
    )
    folder: ClassVar[str] = "humaneval-infilling"

    def prompt(
        self, tokenizer: Tokenizer, problem: Problem, max_tokens: int, fim_order: Order
    ) -> Prompt:
        """What stands before and behind; no path."""
        return infilling_prompt(tokenizer, problem, max_tokens, fim_order)

    def program(self, problem: Problem, sample: Sample) -> str:
        """The solution with what was written in its place, then the tests."""
        if sample.whole:
            return super().program(problem, sample)
        return f"{problem.prompt}{sample.text}{problem.suffix}\n{problem.tests}"

    def _with_tests(self, place: str, row: dict[str, Any], entry: str, tests: str) -> Problem:
        return Problem(
            id=text_field(place, row, "task_id"),
            prompt=text_field(place, row, "prompt"),
            suffix=text_field(place, row, "suffix"),
            mode="infill",
            tests=tests,
            entry_point=entry,
            reference=text_field(place, row, "canonical_solution"),
        )


class MultiLine(SingleLine):
    """One line or several that follow each other."""

    name: ClassVar[str] = "humaneval-infilling-multi-line"
    files: ClassVar[tuple[str, ...]] = (
        "HumanEval-MultiLineInfilling.jsonl.gz",
        "HumanEval-MultiLineInfilling.jsonl",
    )


class RandomSpan(SingleLine):
    """From any character to any other."""

    name: ClassVar[str] = "humaneval-infilling-random-span"
    files: ClassVar[tuple[str, ...]] = (
        "HumanEval-RandomSpanInfilling.jsonl.gz",
        "HumanEval-RandomSpanInfilling.jsonl",
    )


class RandomSpanLight(SingleLine):
    """One random span of each task."""

    name: ClassVar[str] = "humaneval-infilling-random-span-light"
    files: ClassVar[tuple[str, ...]] = (
        "HumanEval-RandomSpanInfillingLight.jsonl.gz",
        "HumanEval-RandomSpanInfillingLight.jsonl",
    )
