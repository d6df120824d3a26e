"""The syntax check: tree-sitter's share of errors of a file, in a process that may die.

Files are parsed in a process of their own (`parse_worker.py`), one for each `SyntaxChecker`. When
it dies, the file at hand is noted "crashed"; when it takes more steps than any real file does,
"given up". Neither counts as a syntax error: nothing can be said of such a file.

Source: DeepSeek-Coder §2.4 ("a compiler … to filter out … syntax errors"; which is open).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from codekiln.corpus.quality.parse import CRASHED, NOTES, UNKNOWN, Syntax
from codekiln.corpus.quality.parse_worker import ANSWER, QUESTION
from codekiln.languages.grammars import grammar_of, installed
from codekiln.languages.parser_process import HANGS_SECONDS, Answer, ParserProcess

WORKER = (sys.executable, "-m", "codekiln.corpus.quality.parse_worker")
MOST_BYTES = (1 << 32) - 1

File = tuple[bytes, str, str]  # as `check` takes them


class SyntaxChecker:
    """Checks files; close it, or use it in a `with` statement.

    Not for several threads or across a fork at a time: each process of a build has its own.

    Args:
        hangs_seconds: wall time after which the parser's process is taken for hung.
        command: starts a process that speaks as `parse_worker.py` does.
    """

    def __init__(
        self, *, hangs_seconds: float = HANGS_SECONDS, command: Sequence[str] = WORKER
    ) -> None:
        self._process = ParserProcess(command, ANSWER, hangs_seconds=hangs_seconds)
        self._asked: list[bool] = []  # of each file, whether there is a grammar to ask

    @property
    def restarts(self) -> int:
        """How often the parser's process died or hung."""
        return self._process.restarts

    def check(self, data: bytes, language: str, path: str = "") -> Syntax:
        """What the grammar of `language` says of a file.

        A language without a grammar, a dialect that its grammar does not read (by the suffix of
        `path`), a grammar that is not installed: `UNKNOWN`, which never drops a file.
        """
        return self.check_files([(data, language, path)])[0]

    def check_files(self, files: Sequence[File]) -> list[Syntax]:
        """`check` for many files, each of them the data, the language and the path."""
        self.begin(files)
        return self.finish()

    def begin(self, files: Sequence[File]) -> None:
        """Have files checked while we do something else; `finish` has the answers."""
        rows = [(data, _grammar(data, language, path)) for data, language, path in files]
        self._asked = [bool(grammar) for _, grammar in rows]
        self._process.begin(
            [
                (QUESTION.pack(len(data), len(grammar)), grammar, data)
                for data, grammar in rows
                if grammar
            ]
        )

    def advance(self) -> None:
        """Hand over what the parser takes and take what it has found, without waiting."""
        self._process.advance()

    def finish(self) -> list[Syntax]:
        """What was found, in the order of the files."""
        found = map(_syntax, self._process.finish())
        return [next(found) if asked else UNKNOWN for asked in self._asked]

    def close(self) -> None:
        """End the parser's process; the next check starts another."""
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _syntax(answer: Answer | None) -> Syntax:
    if answer is None:
        return Syntax(None, CRASHED)
    errors, note = answer
    return Syntax(None if math.isnan(errors) else errors, NOTES[note])


def _grammar(data: bytes, language: str, path: str) -> bytes:
    """The name of the grammar that reads a file; empty if there is none."""
    grammar = grammar_of(language, path)
    if grammar is None or not installed(grammar.name) or len(data) > MOST_BYTES:
        return b""
    return grammar.name.encode()


def limit_of(language: str, path: str = "") -> float:
    """The share of errors above which a file of `language` counts as broken; 1 without a grammar.

    Measured per grammar; see `grammars.toml`.
    """
    grammar = grammar_of(language, path)
    return grammar.limit if grammar else 1.0
