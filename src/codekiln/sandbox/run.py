"""Run one program in the box and say what happened.

The box has no network, no host files beyond /usr, a few entries of /etc and the Python runtime (all
read-only), its own processes and users, and caps on memory, files, processes, output and time; all
of it ends with the program. Not kept apart: the kernel, so an exploit of the kernel gets out; and
the machine's speed, so programs side by side slow each other down.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from codekiln.sandbox import box as boxes
from codekiln.sandbox.box import BARE, ENVIRONMENT, WORK, Box
from codekiln.sandbox.limits import Limits
from codekiln.sandbox.watch import Outcome, Watch, kernel_kills, wait_until_gone
from codekiln.types import Status, Verdict

PYTHON = "{python}"  # in a command: the interpreter that this box can start

# How runtimes say in their last words that memory ran out.
OUT_OF_MEMORY = (
    "MemoryError",
    "std::bad_alloc",
    "java.lang.OutOfMemoryError",
    "JavaScript heap out of memory",
    "Cannot allocate memory",
    "runtime: out of memory",
    "memory allocation of",
)


def run(
    command: Sequence[str],
    *,
    files: Mapping[str, str | bytes] | None = None,
    stdin: str | bytes = "",
    limits: Limits | None = None,
    environment: Mapping[str, str] | None = None,
    unsafe: bool = False,
) -> Verdict:
    """Run `command` in a fresh box; `passed` means that it exited with 0.

    Statuses: passed, runtime_error, timeout, out_of_memory, infrastructure (our fault: the
    program never started). A timeout's note says whether "cpu" or "wall" time ran out. The
    processor time is that of the whole box, looked at every 50 ms: short programs show little.

    Args:
        command: program and arguments; `PYTHON` stands for the box's interpreter.
        files: relative path -> content, placed in the work folder, which is the current one.
        stdin: what the program reads; empty means end of file at once.
        limits: see `Limits`; the defaults suit small test programs.
        environment: added to the box's own few variables.
        unsafe: run as this user without a box, under limits only; for programs that you trust.

    Raises:
        SandboxError: no box works here and `unsafe` is not set.
        ValueError: a file's path leaves the work folder.
    """
    limits = limits or Limits()
    box = boxes.find(unsafe=unsafe)
    words = [box.python if word == PYTHON else word for word in command]
    variables = {**ENVIRONMENT, **(environment or {})}
    kills = kernel_kills()
    with contextlib.ExitStack() as stack:
        source = _memory_file(_bytes(stdin), stack) if stdin else subprocess.DEVNULL
        launch = _boxed if box.safe else _unboxed
        outcome, started = launch(
            box, words, limits, files=_checked(files or {}), stdin=source, variables=variables
        )
    # The box's interpreter was tried before: who says that it is missing, made that up.
    may_lack = words[0] != box.python
    killed = kernel_kills() > kills
    return _verdict(outcome, limits, started=started, may_lack=may_lack, killed=killed)


def _boxed(
    box: Box,
    words: list[str],
    limits: Limits,
    *,
    files: Mapping[str, bytes],
    stdin: int,
    variables: Mapping[str, str],
) -> tuple[Outcome, bool]:
    """Files travel as memory files that bubblewrap copies in: nothing touches a disk."""
    with contextlib.ExitStack() as stack:
        options: list[str] = []
        passed: list[int] = []
        for name, content in files.items():
            passed.append(_memory_file(content, stack))
            options += ["--file", str(passed[-1]), f"{WORK}/{name}"]
        for name, value in variables.items():
            options += ["--setenv", name, value]
        read, write = os.pipe()
        stack.callback(os.close, read)
        options += ["--json-status-fd", str(write)]
        try:
            command = box.wrap(words, limits, options)
            process = _start(command, stdin, pass_fds=(*passed, write), env=BARE)
        finally:
            os.close(write)
        outcome = Watch(process, limits).follow()
        status = _read_all(read)
    wait_until_gone(status)
    # bubblewrap writes the exit code of a program that it has started; its own failures have none
    return outcome, outcome.reason != "exit" or b"exit-code" in status


def _read_all(descriptor: int) -> bytes:
    """What is there; the writers are gone, but one that the kernel cannot end must not hold us."""
    os.set_blocking(descriptor, False)
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return b""


def _unboxed(
    box: Box,
    words: list[str],
    limits: Limits,
    *,
    files: Mapping[str, bytes],
    stdin: int,
    variables: Mapping[str, str],
) -> tuple[Outcome, bool]:
    with tempfile.TemporaryDirectory(prefix="codekiln-") as folder:
        for name, content in files.items():
            target = Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        environment = {**variables, "HOME": folder, "TMPDIR": folder}
        process = _start(box.wrap(words, limits, []), stdin, cwd=folder, env=environment)
        return Watch(process, limits).follow(), True


def _start(command: list[str], stdin: int, **options: Any) -> subprocess.Popen[bytes]:
    """Start in a session of its own, first in line when the kernel runs out of memory."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, stdin=stdin, stdout=pipe, stderr=pipe, start_new_session=True, **options
    )
    with contextlib.suppress(OSError):
        Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000")
    return process


def _memory_file(content: bytes, stack: contextlib.ExitStack) -> int:
    descriptor = os.memfd_create("codekiln")
    stack.callback(os.close, descriptor)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _bytes(content: str | bytes) -> bytes:
    # A lone surrogate, which JSON can carry, must reach the program's reader and not stop us.
    return content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")


def _checked(files: Mapping[str, str | bytes]) -> dict[str, bytes]:
    for name in files:
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise ValueError(f"file {name!r} is not a path inside the work folder")
    return {name: _bytes(content) for name, content in files.items()}


def _verdict(
    outcome: Outcome, limits: Limits, *, started: bool, may_lack: bool, killed: bool
) -> Verdict:
    stderr = outcome.stderr.decode("utf-8", "replace")
    status, notes = _status(
        outcome, limits, stderr, started=started, may_lack=may_lack, killed=killed
    )
    return Verdict(
        status=status,
        stdout=outcome.stdout.decode("utf-8", "replace"),
        stderr=stderr,
        cpu_seconds=outcome.cpu_seconds,
        wall_seconds=outcome.wall_seconds,
        notes=notes,
    )


def _status(
    outcome: Outcome,
    limits: Limits,
    stderr: str,
    *,
    started: bool,
    may_lack: bool,
    killed: bool,
) -> tuple[Status, tuple[str, ...]]:
    code = outcome.returncode if outcome.returncode >= 0 else 128 - outcome.returncode
    if outcome.reason in ("cpu", "wall"):
        return "timeout", (outcome.reason,)
    if code == 128 + signal.SIGXCPU:
        return "timeout", ("cpu",)
    if outcome.reason == "memory":
        return "out_of_memory", (f"over {limits.memory_bytes} bytes",)
    if outcome.reason == "output":
        return "runtime_error", (f"printed over {limits.output_bytes} bytes",)
    if not started:
        return "infrastructure", ("the box could not be built",)
    if may_lack and code in (126, 127) and "prlimit: failed to execute" in stderr:
        return "infrastructure", ("no such program in the box",)
    if code == 128 + signal.SIGKILL and killed:
        return "infrastructure", ("the machine itself ran out of memory",)
    if code and any(words in stderr[-2000:] for words in OUT_OF_MEMORY):
        return "out_of_memory", ("said so itself",)
    return ("runtime_error", (f"exit code {code}",)) if code else ("passed", ())
