"""The syntax check: tree-sitter's share of errors of a file, in a process that may die.

Grammars are C programs; some of them end on a segmentation fault or run without end on input
that nobody foresaw. So files are parsed in a process of their own (`parse_worker.py`), one for
each `SyntaxChecker`. When it dies, the file at hand is noted "crashed" and a new one starts;
when it takes more steps than any real file does, "given up". Neither counts as a syntax error:
nothing can be said of such a file.

Questions are written ahead and answers come in turn, so that the parser never waits for us, nor we
for it as long as there is something else to do. Answers tell which file it died of: the first one
that has none.

Source: DeepSeek-Coder §2.4 ("a compiler … to filter out … syntax errors"; which is open).
"""

from __future__ import annotations

import contextlib
import fcntl
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
AHEAD_BYTES = 1 << 18  # questions in the pipe that the parser has not read
READ_BYTES = 1 << 16

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
        self._hangs = hangs_seconds
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        self._asked: list[bool] = []  # of each file, whether there is a grammar to ask
        self._questions: list[tuple[bytes, bytes]] = []  # the file, the grammar's name
        self._found: list[Syntax] = []  # of the first questions
        self._next = 0  # the first question that is not in `_unsent` or beyond
        self._unsent = memoryview(b"")
        self._partial = b""  # of an answer

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
        if len(self._found) < len(self._questions):  # somebody did not wait for the end
            self.close()
        rows = [(data, _grammar(data, language, path)) for data, language, path in files]
        self._asked = [bool(grammar) for _, grammar in rows]
        self._questions = [(data, grammar) for data, grammar in rows if grammar]
        self._found = []
        self._start_over()
        self.advance()

    def advance(self) -> None:
        """Hand over what the parser takes and take what it has found, without waiting."""
        while len(self._found) < len(self._questions) and self._exchange(0):
            pass

    def finish(self) -> list[Syntax]:
        """What was found, in the order of the files."""
        while len(self._found) < len(self._questions):
            if not self._exchange(self._hangs):
                self._lose_one()
        found = iter(self._found)
        return [next(found) if asked else UNKNOWN for asked in self._asked]

    def _exchange(self, seconds: float) -> bool:
        """One write and one read, as far as the pipes have room or answers.

        Returns:
            Whether anything happened in that time.
        """
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        questions, answers = process.stdin.fileno(), process.stdout.fileno()
        readable, writable, _ = select.select(
            [answers], [questions] if self._fill() else [], [], seconds
        )
        if writable:
            try:
                self._unsent = self._unsent[os.write(questions, self._unsent) :]
            except BrokenPipeError:  # it is dead, but may have answered before
                self._next, self._unsent = len(self._questions), memoryview(b"")
        if readable:
            self._take(os.read(answers, READ_BYTES))
        return bool(readable or writable)

    def _fill(self) -> bool:
        """Whether there is anything to write; the next questions are made when needed."""
        if not self._unsent:
            frames, size = [], 0
            while self._next < len(self._questions) and size < AHEAD_BYTES:
                data, name = self._questions[self._next]
                frames += [QUESTION.pack(len(data), len(name)), name, data]
                size += len(data)
                self._next += 1
            self._unsent = memoryview(b"".join(frames))
        return bool(self._unsent)

    def _take(self, answers: bytes) -> None:
        if not answers:
            self._lose_one()
            return
        answers = self._partial + answers
        whole = len(answers) - len(answers) % ANSWER.size
        self._partial = answers[whole:]
        for errors, note in ANSWER.iter_unpack(answers[:whole]):
            self._found.append(Syntax(None if math.isnan(errors) else errors, NOTES[note]))

    def _lose_one(self) -> None:
        """The process died or hangs: the file at hand is given up, those after it asked again."""
        self.close()
        self.restarts += 1
        self._found.append(Syntax(None, CRASHED))
        self._start_over()

    def _start_over(self) -> None:
        self._next = len(self._found)
        self._unsent, self._partial = memoryview(b""), b""

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
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
            bufsize=0,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        assert process.stdin is not None and process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], HANGS_SECONDS)
        if not ready or process.stdout.read(1) != READY:
            process.kill()
            raise CodekilnError(
                f"the parser's process does not start (exit code {process.wait()}):"
                f" {' '.join(self._command)}"
            )
        os.set_blocking(process.stdin.fileno(), False)
        with contextlib.suppress(OSError, AttributeError):  # Linux has it, up to a quota
            fcntl.fcntl(process.stdin, fcntl.F_SETPIPE_SZ, AHEAD_BYTES)
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


def _grammar(data: bytes, language: str, path: str) -> bytes:
    """The name of the grammar that reads a file; empty if there is none."""
    grammar = grammar_of(language, path)
    if grammar is None or not installed(grammar.name) or len(data) > MOST_BYTES:
        return b""
    return grammar.name.encode()


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
