"""Everything that is asked about a file's quality, in one object for each process of a build."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from types import TracebackType
from typing import Self

from codekiln.corpus.quality import model as models
from codekiln.corpus.quality.compiler import CompilerVerdict, Job, compile_files
from codekiln.corpus.quality.judge import Assessment, judge
from codekiln.corpus.quality.parse import COMPILED, UNKNOWN, Syntax
from codekiln.corpus.quality.settings import QualitySettings
from codekiln.corpus.quality.signals import File, batches, measure_files
from codekiln.corpus.quality.syntax import SyntaxChecker
from codekiln.languages.grammars import versions
from codekiln.log import logger
from codekiln.types import SourceFile


class Screen:
    """Measures and judges files; close it, or use it in a `with` statement.

    The score of the model is worked out even where no file is dropped for it, so that a stored
    corpus can be judged by another threshold.

    Without any grammar installed no file is dropped for its syntax, and a warning says so.

    Raises:
        SourceError: the model of the settings cannot be read.
    """

    def __init__(self, settings: QualitySettings) -> None:
        self.settings = settings
        self._model = models.load(settings.model)
        self._checker = None if settings.syntax == "off" else SyntaxChecker()
        if self._checker is not None and not versions():
            logger.warning(
                "no file's syntax is checked: no tree-sitter grammar is installed"
                " (pip install 'codekiln[quality]', or set quality.syntax = \"off\")"
            )

    def assess(
        self, data: bytes, language: str, path: str = "", verdict: CompilerVerdict | None = None
    ) -> Assessment:
        """All that is known of one file.

        Args:
            data: its text in UTF-8.
            verdict: the compiler's, where one was asked; else, or where it cannot tell,
                tree-sitter has the word.
        """
        return self._assess([(data, language, path)], [verdict])[0]

    def assess_files(self, files: Sequence[SourceFile]) -> list[Assessment]:
        """`assess` for many files, compilers asked first where the settings want them.

        Raises:
            SandboxError: a compiler is wanted and no sandbox works here.
        """
        encoded = [file.text.encode("utf-8", "surrogatepass") for file in files]
        verdicts: Sequence[CompilerVerdict | None] = [None] * len(files)
        if self.settings.syntax == "compiler":
            pairs = zip(files, encoded, strict=True)
            verdicts = compile_files([Job(data=d, language=f.language) for f, d in pairs])
        rows = [(d, f.language, f.path) for f, d in zip(files, encoded, strict=True)]
        return self._assess(rows, verdicts)

    def _assess(
        self, files: Sequence[File], verdicts: Sequence[CompilerVerdict | None]
    ) -> list[Assessment]:
        """Signals are measured while the parser is at work."""
        if self._checker is not None:
            self._checker.begin(list(compress(files, map(_is_open, verdicts))))
        signals, scores = [], []
        for batch in batches(files):
            measured = measure_files(batch)
            for (data, language, _), found in zip(batch, measured, strict=True):
                scores.append(self._model.score(data, language, found))
            signals += measured
            if self._checker is not None:
                self._checker.advance()
        syntax = [UNKNOWN] * len(files)
        if self._checker is not None:
            syntax = _with_verdicts(self._checker.finish(), verdicts)
        return [
            Assessment(signals=s, syntax=x, quality=q)
            for s, x, q in zip(signals, syntax, scores, strict=True)
        ]

    def judge(self, found: Assessment, language: str, path: str = "") -> str | None:
        """Why the file is dropped, one of `judge.REASONS`; None if it is kept."""
        return judge(found, language, path, self.settings)

    def close(self) -> None:
        """End the parser's process."""
        if self._checker is not None:
            self._checker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _is_open(verdict: CompilerVerdict | None) -> bool:
    """Whether tree-sitter is asked: what a compiler takes is right."""
    return verdict is None or verdict.answer != "ok"


def _with_verdicts(
    parsed: Sequence[Syntax], verdicts: Sequence[CompilerVerdict | None]
) -> list[Syntax]:
    """What is said of each file.

    Args:
        parsed: of the files that are open, in turn.
    """
    rest = iter(parsed)
    return [
        _both(next(rest), verdict) if _is_open(verdict) else Syntax(0.0, COMPILED)
        for verdict in verdicts
    ]


def _both(parsed: Syntax, verdict: CompilerVerdict | None) -> Syntax:
    """The compiler has the word where it can tell, but for what has a name of its own."""
    if verdict is None or verdict.answer == "cannot tell" or parsed.note:
        return parsed
    return Syntax(1.0, COMPILED)
