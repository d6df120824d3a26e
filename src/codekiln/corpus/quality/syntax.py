"""The syntax check: tree-sitter's share of errors of a file, in a process that may die.

Grammars are C programs; some of them end on a segmentation fault or run without end on input
that nobody foresaw. So files are parsed in a process of their own (`parse_worker.py`), one for
each `SyntaxChecker`. When it dies, the file at hand is noted "crashed" and a new one starts;
when it takes more steps than any real file does, "given up". Neither counts as a syntax error:
nothing can be said of such a file.

Source: DeepSeek-Coder §2.4 ("a compiler … to filter out … syntax errors"; which is open).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import codekiln
from codekiln.corpus.quality.grammars import grammar_of, grammars, installed
from codekiln.corpus.quality.parse import CRASHED, NOTES, UNKNOWN, Syntax
from codekiln.corpus.quality.parse_worker import ANSWER, QUESTION, READY
from codekiln.errors import CodekilnError

HANGS_SECONDS = 120.0  # only a grammar's own scanner can take so long: steps are counted before
WORKER = (sys.executable, "-m", "codekiln.corpus.quality.parse_worker")
MOST_BYTES = (1 << 32) - 1


class SyntaxChecker:
    """Checks one file after the other; close it, or use it in a `with` statement.

    Not for several threads or across a fork at a time: each process of a build has its own.

    Args:
        hangs_seconds: wall time after which the parser's process is taken for hung.
        command: starts a process that speaks as `parse_worker.py` does.
    """

    def __init__(
        self, *, hangs_seconds: float = HANGS_SECONDS, command: Sequence[str] = WORKER
    ) -> None:
        self._hangs = hangs_seconds
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self.restarts = 0

    def check(self, data: bytes, language: str, path: str = "") -> Syntax:
        """What the grammar of `language` says of a file.

        A language without a grammar, a dialect that its grammar does not read (by the suffix of
        `path`), a grammar that is not installed: `UNKNOWN`, which never drops a file.
        """
        grammar = grammar_of(language, path)
        if grammar is None or not installed(grammar.name) or len(data) > MOST_BYTES:
            return UNKNOWN
        name = grammar.name.encode()
        answer = self._ask(QUESTION.pack(len(data), len(name)) + name + data)
        if answer is None:
            self.close()
            self.restarts += 1
            return Syntax(None, CRASHED)
        errors, note = ANSWER.unpack(answer)
        return Syntax(None if math.isnan(errors) else errors, NOTES[note])

    def _ask(self, question: bytes) -> bytes | None:
        """The answer, or None when the process died or hangs."""
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(question)
            process.stdin.flush()
        except BrokenPipeError:
            return None
        ready, _, _ = select.select([process.stdout], [], [], self._hangs)
        answer = process.stdout.read(ANSWER.size) if ready else b""
        return answer if len(answer) == ANSWER.size else None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = self._start()
        return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        """A process that is ready; one that is not, for want of memory or a package, is an error.

        It finds this very codekiln, however ours was found.
        """
        root = str(Path(codekiln.__file__).parents[1])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], HANGS_SECONDS)
        if not ready or process.stdout.read(1) != READY:
            process.kill()
            raise CodekilnError(
                f"the parser's process does not start (exit code {process.wait()}):"
                f" {' '.join(self._command)}"
            )
        return process

    def close(self) -> None:
        """End the parser's process; the next check starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what a dead process did not read
                if stream:
                    stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def versions() -> dict[str, str]:
    """Versions of tree-sitter and of the installed grammars, which verdicts depend on."""
    found = {}
    modules = {g.module for name, g in grammars().items() if installed(name)}
    for module in sorted(modules | ({"tree_sitter"} if modules else set())):
        name = module.replace("_", "-")
        found[name] = importlib.metadata.version(name)
    return found


def limit_of(language: str, path: str = "") -> float:
    """The share of errors above which a file of `language` counts as broken; 1 without a grammar.

    Measured per grammar; see `grammars.toml`.
    """
    grammar = grammar_of(language, path)
    return grammar.limit if grammar else 1.0
