"""The real compiler's word on syntax, in the sandbox, many files a run.

A missing include, an unknown type, a dialect: none of these is a syntax error, and such a file
gets the verdict "cannot tell". Files are shown to the compiler under plain numbered names; it
sees nothing else of their repository.

Source: DeepSeek-Coder §2.4 ("a compiler … to filter out … syntax errors"; which is open).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal, NamedTuple

from codekiln.languages.checkers import PYTHON as CHECKER_PYTHON
from codekiln.languages.checkers import Checker, checkers
from codekiln.sandbox.limits import MEBIBYTE, Limits
from codekiln.sandbox.run import PYTHON, run

Answer = Literal["ok", "syntax error", "cannot tell"]

BATCH_FILES = 200
BATCH_BYTES = 8 * MEBIBYTE
LIMITS = Limits(
    cpu_seconds=120,
    wall_seconds=240,
    memory_bytes=1024 * MEBIBYTE,
    processes=128,
    file_bytes=64 * MEBIBYTE,
    output_bytes=16 * MEBIBYTE,
)
FILE_SECONDS = 20  # wall time of one file where each has its own run


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A file for the compiler."""

    data: bytes
    language: str


class CompilerVerdict(NamedTuple):
    """What the compiler says.

    Args:
        answer: see `Answer`.
        message: the first syntax error's, or why nothing can be told.
        line: where it stands, from 1; 0 without an error.
    """

    answer: Answer
    message: str = ""
    line: int = 0


def available(language: str) -> bool:
    """Whether a compiler for `language` is known and installed where the sandbox shows it."""
    checker = checkers().get(language)
    if checker is None:
        return False
    if checker.program == CHECKER_PYTHON:
        return True
    place = shutil.which(checker.program, path="/usr/local/bin:/usr/bin:/bin")
    return place is not None


def compile_files(jobs: Sequence[Job], *, unsafe: bool = False) -> list[CompilerVerdict]:
    """The compilers' verdicts, in the order of `jobs`.

    Args:
        unsafe: run them as this user without a box; for files that you trust.

    Raises:
        SandboxError: no box works here and `unsafe` is not set.
    """
    verdicts = [CompilerVerdict("cannot tell", "no compiler")] * len(jobs)
    for language in sorted({job.language for job in jobs}):
        if not available(language):
            continue
        checker = checkers()[language]
        numbers = [n for n, job in enumerate(jobs) if job.language == language]
        for batch in _batches(numbers, jobs):
            asked = [n for n in batch if not _is_dialect(checker, jobs[n].data)]
            for n in batch:
                verdicts[n] = CompilerVerdict("cannot tell", "dialect")
            found = _check(checker, [jobs[n].data for n in asked], unsafe)
            for n, verdict in zip(asked, found, strict=True):
                verdicts[n] = verdict
    return verdicts


def _batches(numbers: Sequence[int], jobs: Sequence[Job]) -> Iterator[list[int]]:
    batch: list[int] = []
    size = 0
    for n in numbers:
        if batch and (len(batch) == BATCH_FILES or size + len(jobs[n].data) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(n)
        size += len(jobs[n].data)
    if batch:
        yield batch


def _is_dialect(checker: Checker, data: bytes) -> bool:
    return bool(checker.skip and checker.skip.search(data.decode("utf-8", "replace")))


def _check(checker: Checker, files: Sequence[bytes], unsafe: bool) -> list[CompilerVerdict]:
    """One run; a batch that did not end is halved until the file at fault is alone."""
    if not files:
        return []
    names = [f"f{number:05d}{checker.suffix}" for number in range(len(files))]
    job = {"command": checker.command, "files": names, "seconds": FILE_SECONDS}
    given: dict[str, str | bytes] = dict(zip(names, files, strict=True))
    driver = resources.files(__package__).joinpath("compiler_box.py").read_text(encoding="utf-8")
    given |= {"job.json": json.dumps(job), "compiler_box.py": driver}
    done = run([PYTHON, "-I", "-S", "compiler_box.py"], files=given, limits=LIMITS, unsafe=unsafe)
    if done.status != "passed":
        if len(files) == 1 or done.status == "infrastructure":
            return [CompilerVerdict("cannot tell", done.status)] * len(files)
        half = len(files) // 2
        return [*_check(checker, files[:half], unsafe), *_check(checker, files[half:], unsafe)]
    runs = json.loads(done.stdout)
    if checker.takes_many:
        return _of_one_run(checker, names, *runs[0])
    return [_of_file(checker, *each) for each in runs]


def _of_one_run(
    checker: Checker, names: Sequence[str], code: int | None, text: str
) -> list[CompilerVerdict]:
    found: dict[str, CompilerVerdict] = {}
    for match in checker.error.finditer(text):
        verdict = CompilerVerdict("syntax error", match["message"], int(match["line"]))
        found.setdefault(match["file"], verdict)
    unsaid = CompilerVerdict("ok")
    if code is None or (code and not found):
        unsaid = CompilerVerdict("cannot tell", text.strip().split("\n")[-1][:200])
    return [found.get(name, _unsure(name, text) or unsaid) for name in names]


def _unsure(name: str, text: str) -> CompilerVerdict | None:
    start = text.find(f"{name}: unsure: ")
    if start < 0:
        return None
    return CompilerVerdict("cannot tell", text[start:].split("\n", 1)[0][:200])


def _of_file(checker: Checker, code: int | None, text: str) -> CompilerVerdict:
    if code == 0:
        return CompilerVerdict("ok")
    unsure = checker.unsure and checker.unsure.search(text)
    match = checker.error.search(text)
    if code is None or unsure or not match:
        why = unsure.group() if unsure else text.strip().split("\n")[0]
        return CompilerVerdict("cannot tell", why[:200])
    return CompilerVerdict("syntax error", match["message"], int(match["line"]))
