"""The box: bubblewrap's command line, and which way of building it works on this machine."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from codekiln.errors import SandboxError
from codekiln.sandbox import host, privileges
from codekiln.sandbox.host import Bind, located
from codekiln.sandbox.limits import Limits

WORK = "/tmp"  # the box's private, size-capped work folder
UID = "1000"  # inside; outside it is an unused id or the caller's own
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": WORK,
    "TMPDIR": WORK,
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "USER": "box",
}
# Of bubblewrap itself, which is the box's first process: what it is given, programs can read in
# /proc/1/environ.
BARE: dict[str, str] = {}
PROBE_SECONDS = 20.0
_lock = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One way to run programs apart from the machine.

    Args:
        python: the interpreter that programs in the box can start.
        binds: folders shown beside the operating system.
        stage: where these folders lie for the unused user, if root needs one.
        nested: "--disable-userns" where bubblewrap knows it: no namespace within the box.
        safe: False only for `UNSAFE`, which keeps nothing apart.
    """

    python: str
    binds: tuple[Bind, ...] = ()
    stage: privileges.Stage | None = None
    nested: tuple[str, ...] = ()
    safe: bool = True

    def describe(self) -> str:
        """In words, for `codekiln doctor`."""
        if not self.safe:
            return "none (unsafe): programs run as you, with limits only"
        who = "unused user id" if os.geteuid() == 0 else "your user id"
        staged = ", staged mounts" if self.stage else ""
        return f"bubblewrap, {who}{staged}, Python {self.python}"

    def wrap(self, command: list[str], limits: Limits, options: list[str]) -> list[str]:
        """The host command that runs `command` in this box under `limits`."""
        if not self.safe:
            # without a box RLIMIT_NPROC would count everything that the user runs
            words = [word for word in limits.prlimit() if not word.startswith("--nproc")]
            return ["prlimit", *words, *command] if shutil.which("prlimit") else command
        limited = ["prlimit", *limits.prlimit(), *command]
        return [*self._become(), *self._bwrap(limits), *options, "--", *limited]

    def _become(self) -> list[str]:
        if self.stage:
            return self.stage.enter()
        return privileges.drop() if os.geteuid() == 0 else []

    def _bwrap(self, limits: Limits) -> list[str]:
        size = str(limits.file_bytes)
        arguments = [located("bwrap"), "--unshare-all", "--unshare-user", *self.nested]
        arguments += ["--uid", UID, "--gid", UID, "--hostname", "box"]
        arguments += ["--die-with-parent", "--new-session", *host.system_arguments()]
        for bind in self.stage.binds if self.stage else self.binds:
            arguments += ["--ro-bind", bind.source, bind.target]
        # Every tmpfs has a size or is read-only: else a program fills memory through files.
        arguments += ["--proc", "/proc", "--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm"]
        arguments += ["--remount-ro", "/dev", "--size", size, "--tmpfs", WORK]
        return [*arguments, "--remount-ro", "/", "--chdir", WORK, "--clearenv"]


UNSAFE = Box(python=sys.executable, safe=False)


@dataclass(slots=True)
class _Tried:
    reasons: list[str] = field(default_factory=list)


def find(*, unsafe: bool = False) -> Box:
    """The best box that works here, tried once by running a program in it.

    Raises:
        SandboxError: when none works and `unsafe` is not set.
    """
    if unsafe:
        return UNSAFE
    with _lock:
        found = _find()
    if isinstance(found, SandboxError):
        raise found
    return found


@functools.lru_cache(maxsize=1)
def _find() -> Box | SandboxError:
    missing = [tool for tool in ("bwrap", "prlimit") if not shutil.which(tool)]
    if missing:
        return SandboxError(
            ", ".join(missing),
            got="not found, so programs cannot be kept apart from this machine",
            wanted="bubblewrap and util-linux",
            remedy="apt install bubblewrap util-linux, or pass --unsafe to run them as you",
        )
    tried = _Tried()
    for box in _candidates(tried):
        reason = _probe(box)
        if not reason:
            return box
        tried.reasons.append(reason)
    return SandboxError(
        "bubblewrap",
        got="; ".join(dict.fromkeys(tried.reasons)) or "does not work",
        wanted="unprivileged user namespaces and a Python that others may read",
        remedy="allow user namespaces (sysctl user.max_user_namespaces, or the container's"
        " seccomp profile), or pass --unsafe to run programs as you",
    )


def _candidates(tried: _Tried) -> Iterator[Box]:
    """Our own interpreter first, then the system's; without nested namespaces where possible."""
    python, binds = host.running_python()
    stage = None
    if os.geteuid() == 0 and privileges.needs_stage(binds):
        try:
            stage = privileges.Stage(binds)
        except SandboxError as error:
            tried.reasons.append(error.got)
    nested = ("--disable-userns",) if "--disable-userns" in _bwrap_help() else ()
    for option in dict.fromkeys((nested, ())):
        yield Box(python=python, binds=binds, stage=stage, nested=option)
    system = host.system_python()
    if system:
        yield Box(python=system, nested=nested)


def _bwrap_help() -> str:
    done = subprocess.run(["bwrap", "--help"], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _probe(box: Box) -> str:
    """Why the box does not work, or nothing."""
    command = box.wrap([box.python, "-s", "-S", "-c", "print(6 * 7)"], Limits(), [])
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=PROBE_SECONDS,
            env=BARE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0 and done.stdout == "42\n":
        return ""
    return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no answer"
