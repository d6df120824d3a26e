"""A completions file: what was written for each problem, by whatever model.

JSON lines, gzipped or not: `task_id` and either `completion` (the text after the prompt) or
`solution` (a whole program). Several rows of one task are several samples of it; `sample` may
number them. Other fields are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codekiln.errors import BenchmarkError
from codekiln.evaluation.rows import read_rows, text_field
from codekiln.registry import suggestion
from codekiln.types import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One attempt at a problem: the text after the prompt, or a whole program."""

    problem_id: str
    sample: int
    text: str
    whole: bool = False


def read_completions(
    path: Path, problems: Sequence[Problem], *, partial: bool = False
) -> list[Sample]:
    """All samples, in the order of the problems, numbered from 0 in each.

    A score over fewer problems than the benchmark has is not that benchmark's score, so a
    problem without a sample is an error, unless `partial` asks for the score of what is there.

    Raises:
        BenchmarkError: a malformed row, an unknown task, a sample given twice (all with their
            line), or problems without a sample.
    """
    known = {problem.id for problem in problems}
    found: dict[str, dict[int, Sample]] = {problem.id: {} for problem in problems}
    for number, row in read_rows(path):
        place = f"{path}:{number}"
        problem_id = text_field(place, row, "task_id")
        if problem_id not in known:
            raise BenchmarkError(
                place,
                got=f"task_id {problem_id!r} is not in the benchmark",
                wanted=f"one of {len(known)} ids such as {problems[0].id!r}",
                remedy=suggestion(problem_id, known),
            )
        taken = found[problem_id]
        sample = _sample(place, problem_id, row, default=len(taken))
        if sample.sample in taken:
            got = f"sample {sample.sample} of {problem_id} for the second time"
            raise BenchmarkError(place, got=got, wanted="each sample once")
        taken[sample.sample] = sample
    _check_complete(path, found, partial=partial)
    return [taken[number] for taken in found.values() for number in sorted(taken)]


def _sample(place: str, problem_id: str, row: dict[str, Any], *, default: int) -> Sample:
    given = [name for name in ("completion", "solution") if row.get(name) is not None]
    if len(given) != 1:
        raise BenchmarkError(
            place,
            got=" and ".join(given) or "neither completion nor solution",
            wanted="`completion` (text after the prompt) or `solution` (a whole program)",
        )
    number = row.get("sample", default)
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise BenchmarkError(place, got=f"sample {number!r}", wanted="a whole number from 0")
    text = text_field(place, row, given[0])
    return Sample(problem_id=problem_id, sample=number, text=text, whole=given[0] == "solution")


def _check_complete(path: Path, found: dict[str, dict[int, Sample]], *, partial: bool) -> None:
    missing = [problem_id for problem_id, taken in found.items() if not taken]
    if len(missing) == len(found):
        raise BenchmarkError(path, got="no completions", wanted="rows with task_id and completion")
    if missing and not partial:
        raise BenchmarkError(
            path,
            got=f"{len(missing)} of {len(found)} problems have no completion,"
            f" such as {missing[0]!r}",
            wanted="at least one row for every problem",
            remedy="add them (an empty completion counts as a failure), or pass --partial"
            " to score only what is there",
        )
