"""A process that parses, apart from ours, because it may die; and how to talk to it.

Grammars are C programs; some of them end on a segmentation fault or run without end on input
that nobody foresaw. When that happens the question at hand has no answer and a new process starts.

Questions are written ahead and answers come in turn, so that the parser never waits for us, nor we
for it as long as there is something else to do. Answers, all of one size, tell which question it
died of: the first one that has none.

The process reads questions from standard input and answers each on standard output; before the
first it writes one byte: who ends without it, never started. It ends when its input does, which
the kernel sees to even when we were killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import select
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import codekiln
from codekiln.errors import CodekilnError

READY = b"R"
HANGS_SECONDS = 120.0  # only a grammar's own scanner can take so long: steps are counted before
AHEAD_BYTES = 1 << 18  # questions in the pipe that the parser has not read
READ_BYTES = 1 << 16  # one read brings several questions or answers
# No tree of a real file of up to 1 MiB took over 120 MiB; a grammar gone astray takes all it gets.
MEMORY_BYTES = 384 << 20

Question = Sequence[bytes]  # the parts of one frame
Answer = tuple[Any, ...]


class ParserProcess:
    """Asks a process questions; close it, or use it in a `with` statement.

    Not for several threads or across a fork at a time.

    Args:
        command: starts the process, which calls `serve`.
        answer: the form of every answer.
        hangs_seconds: wall time after which the process is taken for hung.
    """

    def __init__(
        self,
        command: Sequence[str],
        answer: struct.Struct,
        *,
        hangs_seconds: float = HANGS_SECONDS,
    ) -> None:
        self._command, self._answer, self._hangs = tuple(command), answer, hangs_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        self._questions: Sequence[Question] = []
        self._found: list[Answer | None] = []  # of the first questions
        self._next = 0  # the first question that is not in `_unsent` or beyond
        self._unsent = memoryview(b"")
        self._partial = b""  # of an answer

    def ask(self, questions: Sequence[Question]) -> list[Answer | None]:
        """The answers, in order; None to a question over which the process died or hung."""
        self.begin(questions)
        return self.finish()

    def begin(self, questions: Sequence[Question]) -> None:
        """Have questions answered while we do something else; `finish` has the answers."""
        if len(self._found) < len(self._questions):  # somebody did not wait for the end
            self.close()
        self._questions, self._found = questions, []
        self._start_over()
        self.advance()

    def advance(self) -> None:
        """Hand over what the process takes and take what it has found, without waiting."""
        while len(self._found) < len(self._questions) and self._exchange(0):
            pass

    def finish(self) -> list[Answer | None]:
        """The answers to what `begin` was given."""
        while len(self._found) < len(self._questions):
            if not self._exchange(self._hangs):
                self._lose_one()
        return self._found

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
        """Whether there is anything to write; the next questions are joined when needed."""
        if not self._unsent:
            parts: list[bytes] = []
            size = 0
            while self._next < len(self._questions) and size < AHEAD_BYTES:
                parts += self._questions[self._next]
                size += sum(map(len, self._questions[self._next]))
                self._next += 1
            self._unsent = memoryview(b"".join(parts))
        return bool(self._unsent)

    def _take(self, answers: bytes) -> None:
        if not answers:
            self._lose_one()
            return
        answers = self._partial + answers
        whole = len(answers) - len(answers) % self._answer.size
        self._partial = answers[whole:]
        self._found += self._answer.iter_unpack(answers[:whole])

    def _lose_one(self) -> None:
        """The process died or hangs: the question at hand is given up, the rest asked again."""
        self.close()
        self.restarts += 1
        self._found.append(None)
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
        """End the process; the next question starts another."""
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


def serve(answer: Callable[[BinaryIO], bytes]) -> None:
    """Be such a process: answer on the standard streams, apart from anything that prints.

    Args:
        answer: reads one question and gives its answer; nothing, at the end of the questions.
    """
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answers.write(READY)
    answers.flush()
    with open(0, "rb", buffering=READ_BYTES, closefd=False) as questions:
        while found := answer(questions):
            answers.write(found)
            answers.flush()
