"""Single-line infilling on held-out files: one line is taken out, the model writes it anew.

A problem is one line of one file, chosen by hash, with the rest of the file around it and the
files that precede it in its document as context: what an editor would send. The prompt comes
from the prompt builder that serving uses, in the layout that training used. The first line that
the model writes is compared with the truth.

Source: DeepSeek-Coder §4.2 (single-line FIM, exact match of the line); V2 scores the first
generated line only. Open there: how lines are drawn. Ours: lines with something to say (at least
`LEAST_CHARACTERS` characters, a word of two letters, no comment line, in a programming
language), so that brackets and blank lines do not make the score.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from codekiln.errors import BenchmarkError, SourceError
from codekiln.evaluation.metrics import edit_similarity, exact_match, interval
from codekiln.evaluation.score import Score
from codekiln.generation.ending import first_line
from codekiln.languages.table import languages
from codekiln.types import Completion, Document, SourceFile, Span

if TYPE_CHECKING:
    from codekiln.generation.infill import Prompt
    from codekiln.tokenizer.tokenizer import Tokenizer
    from codekiln.tokens.fim import Order

HELD_OUT = "held_out"
PROBLEMS = 200
LEAST_CHARACTERS = 6  # of a line, without its indentation
LONGEST_LINE = 200  # characters; longer ones are data
LINES_PER_FILE = 4  # so that a corpus of few files still gives many problems
_WORD = re.compile(r"[^\W\d_]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class InfillingProblem:
    """One line taken out of one file.

    `prefix` ends where the line starts, so that `line` has its own indentation; `suffix` starts
    with the line's newline. `source` names the repository. `context` holds the files before this
    one in its document, in the document's order.
    """

    id: str
    source: str
    path: str
    language: str
    prefix: str
    line: str
    suffix: str
    context: tuple[SourceFile, ...] = ()


class SingleLineInfilling:
    """Exact match and edit similarity of the first line written."""

    name: ClassVar[str] = "infilling"
    profile: ClassVar[str] = "strict"
    stop: ClassVar[tuple[str, ...]] = ("\n",)
    max_new_tokens: ClassVar[int] = 64

    def load(
        self, data: Path, *, limit: int | None = None, seed: int = 0
    ) -> list[InfillingProblem]:
        """Problems from the held-out documents of a corpus or run folder; by default `PROBLEMS`.

        Raises:
            SourceError: no corpus there.
            BenchmarkError: no line to ask for.
        """
        from codekiln.corpus.store import DOCUMENTS, read_documents

        inside = data / "corpus"  # of a run folder
        folder = inside if inside.is_dir() else data
        if not (folder / DOCUMENTS).is_dir():
            raise SourceError(
                data,
                got="no corpus here or in corpus/",
                wanted="held-out files to take lines from",
                remedy="pass --data RUN_OR_CORPUS, a folder that `codekiln corpus build` "
                "or a run has written",
            )
        documents = read_documents(folder, HELD_OUT)
        return self.problems(documents, limit=limit or PROBLEMS, seed=seed)

    def prompt(
        self, tokenizer: Tokenizer, problem: InfillingProblem, max_tokens: int, fim_order: Order
    ) -> Prompt:
        """As serving builds it; the context keeps the order of its document."""
        from codekiln.generation.infill import build_prompt

        return build_prompt(
            tokenizer,
            prefix=problem.prefix,
            suffix=problem.suffix,
            path=problem.path,
            language=problem.language,
            context=problem.context,
            max_tokens=max_tokens,
            order=fim_order,
            mode="infill",
            file_order="given",
        )

    def problems(
        self, documents: Iterable[Document], *, limit: int = PROBLEMS, seed: int = 0
    ) -> list[InfillingProblem]:
        """At most `limit` problems, the same for the same documents in any order.

        First one line of each file, then a second of each, and so on. Memory holds the
        documents of the chosen lines only.

        Raises:
            BenchmarkError: no line to ask for.
        """
        chosen = heapq.nsmallest(limit, _candidates(documents, seed), key=lambda c: c.rank)
        if not chosen:
            raise BenchmarkError(
                "infilling",
                got="no line to take out in the documents given",
                wanted="held-out documents of code",
                remedy="raise corpus.held_out_rate or name more repositories",
            )
        return [candidate.problem() for candidate in chosen]

    def score(
        self,
        problems: Sequence[InfillingProblem],
        completions: Sequence[Completion],
        *,
        unsafe: bool = False,
    ) -> Score:
        """Shares over all problems with 95% intervals; a problem without a completion is wrong.

        Nothing is executed, so `unsafe` changes nothing.
        """
        written = {c.problem_id: first_line(c.text) for c in completions}
        rows: list[dict[str, Any]] = []
        for problem in problems:
            line = written.get(problem.id, "")
            rows.append(
                {
                    "id": problem.id,
                    "status": "passed" if exact_match(line, problem.line) else "wrong",
                    "edit_similarity": edit_similarity(line.rstrip(), problem.line.rstrip()),
                    "language": problem.language,
                    "source": problem.source,
                    "path": problem.path,
                    "line": problem.prefix.count("\n") + 1,
                    "truth": problem.line,
                    "written": line,
                }
            )
        return Score(
            benchmark=self.name,
            profile=self.profile,
            scores={
                **_mean("exact_match", [float(row["status"] == "passed") for row in rows]),
                **_mean("edit_similarity", [row["edit_similarity"] for row in rows]),
            },
            verdicts=dict(Counter(row["status"] for row in rows)),
            problems=rows,
        )


def _mean(name: str, values: list[float]) -> dict[str, Any]:
    if not values:
        return {}
    return {name: sum(values) / len(values), f"{name}_interval": list(interval(values))}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A line that may be asked for; the lower the rank, the sooner."""

    rank: tuple[int, str]
    document: Document
    span: int
    start: int
    end: int

    def problem(self) -> InfillingProblem:
        text, spans = self.document.text, self.document.spans
        span = spans[self.span]
        number = text.count("\n", span.body, self.start) + 1
        return InfillingProblem(
            id=f"{self.document.id}:{span.path}:{number}",
            source=self.document.source,
            path=span.path,
            language=span.language,
            prefix=text[span.body : self.start],
            line=text[self.start : self.end],
            suffix=text[self.end : span.end],
            context=tuple(_file(text, before) for before in spans[: self.span]),
        )


def _file(text: str, span: Span) -> SourceFile:
    return SourceFile(path=span.path, text=text[span.body : span.end], language=span.language)


def _candidates(documents: Iterable[Document], seed: int) -> Iterator[_Candidate]:
    for document in documents:
        if document.kind != "code":
            continue
        for index, span in enumerate(document.spans):
            hashed = (
                (_hash(seed, document.id, span.path, start - span.body), start, end)
                for start, end in _lines(document.text, span)
            )
            for round_, (key, start, end) in enumerate(heapq.nsmallest(LINES_PER_FILE, hashed)):
                yield _Candidate(
                    rank=(round_, key), document=document, span=index, start=start, end=end
                )


def _lines(text: str, span: Span) -> Iterator[tuple[int, int]]:
    """(start, end) of every line of a file that is worth asking for."""
    language = languages().get(span.language)
    if language and language.kind != "code":
        return
    comment = language.comment[0] if language else "#"
    start = span.body
    while start < span.end:
        end = text.find("\n", start, span.end)
        end = span.end if end < 0 else end
        content = text[start:end].strip()
        if (
            len(content) >= LEAST_CHARACTERS
            and end - start <= LONGEST_LINE
            and _WORD.search(content)
            and not content.startswith(comment)
            and "\r" not in content  # an answer's first line could never equal it
        ):
            yield start, end
        start = end + 1


def _hash(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()
