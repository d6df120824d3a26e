"""Single-line infilling of HumanEval's solutions in Python, Java and JavaScript.

4,792 lines, each taken out of a solution that passes; a model is given what stands before and
behind it. The first line that it writes is compared with the truth, without blanks at the ends.
The paper's figure is the mean of each language's lines.

Source: DeepSeek-Coder §4.2, Table 6 (the set is SantaCoder's, `bigcode/santacoder-fim-task`); V2
§4.2 takes the first generated line alone. Open: how prompts are shortened; these are short.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from codekiln.errors import BenchmarkError
from codekiln.evaluation.humaneval import find_file
from codekiln.evaluation.humaneval_infilling import infilling_prompt
from codekiln.evaluation.metrics import edit_similarity, interval
from codekiln.evaluation.rows import text_field
from codekiln.evaluation.score import Score
from codekiln.generation.ending import first_line
from codekiln.types import Completion, Problem

if TYPE_CHECKING:
    from codekiln.generation.infill import Prompt
    from codekiln.tokenizer.tokenizer import Tokenizer
    from codekiln.tokens.fim import Order

LANGUAGES = {"py": "python", "java": "java", "js": "javascript"}


class FimSingleLine:
    """Exact match of one line, by language."""

    name: ClassVar[str] = "fim-single-line"
    profile: ClassVar[str] = "strict"
    stop: ClassVar[tuple[str, ...]] = ()  # a model may begin with the newline before the line
    max_new_tokens: ClassVar[int] = 50
    files: ClassVar[tuple[str, ...]] = ("train.parquet", "santacoder-fim-task.parquet")
    folder: ClassVar[str] = "fim-single-line"

    def load(self, data: Path, *, limit: int | None = None, seed: int = 0) -> list[Problem]:
        """The first `limit` problems of each language; nothing is drawn, `seed` changes nothing.

        Raises:
            BenchmarkError: no such file, or not this data set.
        """
        problems = self.problems(data)
        if limit is None:
            return problems
        by_language: dict[str, list[Problem]] = {}
        for problem in problems:
            by_language.setdefault(problem.language, []).append(problem)
        return [problem for each in by_language.values() for problem in each[:limit]]

    def problems(self, data: Path) -> list[Problem]:
        """All lines, in the order of the file.

        Raises:
            BenchmarkError: no such file, or not this data set.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = find_file(data, self.folder, self.files)
        try:
            rows = pq.read_table(path).to_pylist()
        except (OSError, pa.ArrowInvalid) as error:
            raise BenchmarkError(path, got=f"cannot be read: {error}", wanted="Parquet") from None
        found = [_problem(f"{path}: row {number}", row) for number, row in enumerate(rows)]
        if double := [id for id, count in Counter(p.id for p in found).items() if count > 1]:
            raise BenchmarkError(path, got=f"{double[0]} for the second time", wanted="each once")
        return found

    def prompt(
        self, tokenizer: Tokenizer, problem: Problem, max_tokens: int, fim_order: Order
    ) -> Prompt:
        """Infilling without a path: the set names no files."""
        return infilling_prompt(tokenizer, problem, max_tokens, fim_order)

    def score(
        self, problems: Sequence[Problem], completions: Sequence[Completion], *, unsafe: bool
    ) -> Score:
        """Exact match by language and their mean; a problem without a completion is wrong.

        Nothing is executed, so `unsafe` changes nothing.
        """
        written = {c.problem_id: _line(c.text) for c in completions}
        rows = [_row(problem, written.get(problem.id, "")) for problem in problems]
        scores: dict[str, Any] = {}
        for language in LANGUAGES.values():
            hits = [float(r["status"] == "passed") for r in rows if r["language"] == language]
            if hits:
                scores[f"exact_match_{language}"] = fmean(hits)
                scores[f"exact_match_{language}_interval"] = list(interval(hits))
        if rows:
            means = [value for key, value in scores.items() if not key.endswith("_interval")]
            scores["exact_match"] = fmean(means)
            scores["edit_similarity"] = fmean(row["edit_similarity"] for row in rows)
        return Score(
            benchmark=self.name,
            profile=self.profile,
            scores=scores,
            verdicts=dict(Counter(row["status"] for row in rows)),
            problems=rows,
        )


def _line(text: str) -> str:
    return first_line(text.lstrip("\r\n")).strip()


def _row(problem: Problem, written: str) -> dict[str, Any]:
    truth = problem.reference.strip()
    return {
        "id": problem.id,
        "status": "passed" if written == truth else "wrong",
        "edit_similarity": edit_similarity(written, truth),
        "language": problem.language,
        "truth": problem.reference,
        "written": written,
    }


def _problem(place: str, row: dict[str, Any]) -> Problem:
    short = text_field(place, row, "language")
    if short not in LANGUAGES:
        wanted = "one of " + ", ".join(LANGUAGES)
        raise BenchmarkError(place, got=f"language {short!r}", wanted=wanted)
    return Problem(
        id=f"{short}/{text_field(place, row, 'name')}",
        prompt=text_field(place, row, "prompt"),
        suffix=text_field(place, row, "suffix"),
        language=LANGUAGES[short],
        mode="infill",
        reference=text_field(place, row, "canonical_solution"),
    )
