"""Watching a running box from outside: output, time and memory; stopping it."""

from __future__ import annotations

import contextlib
import os
import re
import select
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from codekiln.sandbox.limits import Limits

Reason = Literal["exit", "wall", "cpu", "memory", "output"]
TICK_SECONDS = 0.05  # between looks at memory and time; most programs end within the first
# Time ready to run but without a core is the machine's fault: it is added to the wall limit, up to
# this many times the limit.
QUEUE_ALLOWANCE = 4.0
GRACE_SECONDS = 5.0  # for the kernel to end all processes of a box that was killed
_PIECE = 1 << 16
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a box ended: by itself ("exit") or stopped for the named limit."""

    reason: Reason
    returncode: int
    stdout: bytes
    stderr: bytes
    cpu_seconds: float
    wall_seconds: float


class Watch:
    """Follows one process tree to its end.

    Args:
        process: started with pipes, in a session of its own.
        limits: what it may use.
    """

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits) -> None:
        self._process, self._limits = process, limits
        self._started = time.monotonic()
        self._output = {"stdout": bytearray(), "stderr": bytearray()}
        self._selector = selectors.DefaultSelector()
        for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, name)
        self._cpu_seconds = self._queued_seconds = 0.0
        self._ended = False

    def follow(self) -> Outcome:
        """Read and wait until it ends or passes a limit; then nothing of it is left."""
        try:
            reason = self._until_end()
        finally:
            self._stop()
            self._selector.close()
        return Outcome(
            reason=reason,
            returncode=self._process.returncode,
            stdout=bytes(self._output["stdout"]),
            stderr=bytes(self._output["stderr"]),
            cpu_seconds=self._cpu_seconds,
            wall_seconds=time.monotonic() - self._started,
        )

    def _until_end(self) -> Reason:
        looked = self._started
        while not self._over():
            if self._read(TICK_SECONDS):
                return "output"
            now = time.monotonic()
            if self._late(now - self._started):
                return "wall"
            if now - looked >= TICK_SECONDS:
                looked = now
                passed = self._look()
                if passed:
                    return passed
        return "cpu" if self._cpu_seconds > self._limits.cpu_seconds else "exit"

    def _late(self, elapsed: float) -> bool:
        limit = self._limits.wall_seconds
        return elapsed - min(self._queued_seconds, QUEUE_ALLOWANCE * limit) > limit

    def _over(self) -> bool:
        """Ended, and all output read. A box that ended leaves nobody to hold its pipes."""
        if self._selector.get_map():
            return False
        return self._reap(os.WNOHANG)

    def _read(self, seconds: float) -> bool:
        """Wait for output; whether there was too much of it."""
        if not self._selector.get_map():
            time.sleep(min(seconds, 0.005))  # the program closed its output and goes on
            return False
        for key, _ in self._selector.select(seconds):
            kept = self._output[key.data]
            piece = self._piece(key.fileobj)  # type: ignore[arg-type]
            if not piece:
                self._selector.unregister(key.fileobj)
            room = self._limits.output_bytes - len(kept)
            kept += piece[:room]
            if len(piece) > room:
                return True
        return False

    @staticmethod
    def _piece(pipe: IO[bytes]) -> bytes:
        return os.read(pipe.fileno(), _PIECE)

    def _look(self) -> Reason | None:
        """Add up what the whole tree uses, for limits that the kernel keeps per process only."""
        resident, cpu, tree = 0, 0.0, list(_tree(self._process.pid))
        for pid in tree:
            with contextlib.suppress(OSError, IndexError, ValueError):  # it may just have ended
                resident += _resident(pid)
                cpu += _cpu_seconds(pid)
                self._queued_seconds = max(self._queued_seconds, _queued_seconds(pid))
        self._cpu_seconds = max(self._cpu_seconds, cpu)
        if cpu > self._limits.cpu_seconds:
            return "cpu"
        # Resident sizes count a page shared by ten processes ten times; so ask again, exactly.
        limit = self._limits.memory_bytes
        if resident > limit and sum(map(_proportional, tree)) > limit:
            return "memory"
        return None

    def _reap(self, options: int) -> bool:
        if not self._ended:
            pid, status, usage = os.wait4(self._process.pid, options)
            if pid:
                self._ended = True
                self._process.returncode = os.waitstatus_to_exitcode(status)
                used = usage.ru_utime + usage.ru_stime
                self._cpu_seconds = max(self._cpu_seconds, used)
        return self._ended

    def _stop(self) -> None:
        """Kill what is left; return once nobody holds its pipes any more."""
        if not self._ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._reap(0)
        until = time.monotonic() + GRACE_SECONDS
        while self._selector.get_map() and time.monotonic() < until:
            for key, _ in self._selector.select(TICK_SECONDS):
                if not self._piece(key.fileobj):  # type: ignore[arg-type]
                    self._selector.unregister(key.fileobj)


def _tree(pid: int) -> Iterator[int]:
    """A process and all its descendants; who lost a parent hangs below the box's first process."""
    waiting = [pid]
    while waiting:
        pid = waiting.pop()
        yield pid
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:
            continue


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def _cpu_seconds(pid: int) -> float:
    """User and system time, with that of children who ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS_PER_SECOND


def _queued_seconds(pid: int) -> float:
    """How long a process has been ready to run while others had the cores."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def _proportional(pid: int) -> int:
    """Resident bytes, each shared page divided among those who share it."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) << 10


def wait_until_gone(status: bytes) -> None:
    """Wait for a box's first process, named in bubblewrap's status: with it, all others end.

    bubblewrap itself ends a moment earlier, when a daemon may still be alive.
    """
    named = re.search(rb'"child-pid": (\d+)', status)
    if not named:
        return
    try:
        process = os.pidfd_open(int(named[1]))
    except OSError:
        return  # already gone
    try:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        poll.poll(GRACE_SECONDS * 1000)
    finally:
        os.close(process)


def kernel_kills() -> int:
    """How many processes the kernel has killed for want of memory since it started."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
