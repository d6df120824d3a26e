"""Leaving root behind before a box is built.

bubblewrap started as root maps the box's user to the real root: RLIMIT_NPROC does not bind it
and every file of root that is shown can be read. So a root process first takes an unused user
id. That id cannot walk into root's home, where Python often lives (pyenv, uv), and bubblewrap
resolves even file-descriptor binds by path. Hence the stage: a private mount namespace in which
those folders are also mounted below a folder that everybody may enter. Nothing of it is visible
outside, and it ends with this process.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from codekiln.errors import SandboxError
from codekiln.sandbox.host import Bind, located, reachable_by_all

# systemd's table of user ids leaves 60578-61183 to nobody. Boxes that run at a time get
# different ids, since before Linux 5.14 RLIMIT_NPROC counted an id's processes everywhere.
FIRST_UID, UIDS = 60578, 512
# Folders that every Linux has, over which the stage may be mounted in its own namespace.
STAGES = ("/mnt", "/srv", "/media", "/opt")

_counter = itertools.count()


def unused_uid() -> int:
    """The next user id for a box: in nobody's passwd, different for boxes side by side."""
    for _ in range(UIDS):
        uid = FIRST_UID + next(_counter) % UIDS
        try:
            pwd.getpwuid(uid)
        except KeyError:
            return uid
    raise SandboxError(
        f"user ids {FIRST_UID} to {FIRST_UID + UIDS - 1}",
        got="all taken",
        wanted="one unused id for programs in the box",
        remedy="run codekiln as an ordinary user",
    )


class Stage:
    """A private mount namespace in which `binds` lie where an unused user can reach them.

    Args:
        binds: folders to show in the box.

    Raises:
        SandboxError: when this root may not mount (a container without CAP_SYS_ADMIN), or no
            folder is there to mount over.
    """

    def __init__(self, binds: Sequence[Bind]) -> None:
        free = (s for s in STAGES if Path(s).is_dir() and not _covers(s, binds))
        folder = next(free, None)
        if folder is None:
            raise SandboxError(
                ", ".join(STAGES),
                got="none is there and free of Python's own folders",
                wanted="one such folder, over which a private mount can lie",
                remedy="mkdir /mnt, or run codekiln as an ordinary user",
            )
        self.binds = tuple(Bind(f"{folder}/{n}", b.target) for n, b in enumerate(binds))
        self._namespace = _mounted_namespace(folder, binds)

    def enter(self) -> list[str]:
        """The command prefix that goes there and becomes an unused user, without groups."""
        uid = str(unused_uid())
        namespace = f"--mount=/proc/{os.getpid()}/fd/{self._namespace}"
        return [located("nsenter"), namespace, "--setuid", uid, "--setgid", uid, "--"]


def drop() -> list[str]:
    """The command prefix that becomes an unused user, without groups, where no stage is needed."""
    uid = str(unused_uid())
    leave = ["--reuid", uid, "--regid", uid, "--clear-groups", "--inh-caps=-all"]
    return [located("setpriv"), *leave]


def needs_stage(binds: Sequence[Bind]) -> bool:
    """Whether some folder cannot be reached by an unused user."""
    return any(not reachable_by_all(Path(bind.source)) for bind in binds)


def _covers(folder: str, binds: Sequence[Bind]) -> bool:
    return any(Path(bind.source).is_relative_to(folder) for bind in binds)


def _mounted_namespace(folder: str, binds: Sequence[Bind]) -> int:
    """A descriptor of the namespace, which keeps it alive after the process that made it."""
    if not shutil.which("unshare") or not shutil.which("nsenter"):
        raise SandboxError(
            "unshare, nsenter", got="not found", remedy="install util-linux to run boxes as root"
        )
    script = f"mount -t tmpfs -o mode=755,size=1m codekiln {folder}"
    for number in range(len(binds)):
        script += f' && mkdir {folder}/{number} && mount --rbind "$1" {folder}/{number} && shift'
    script += " && echo ready && read -r _"
    command = ["unshare", "--mount", "sh", "-c", script, "sh", *(bind.source for bind in binds)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as maker:
        assert maker.stdin and maker.stdout and maker.stderr
        if maker.stdout.readline() != b"ready\n":
            maker.stdin.close()
            raise SandboxError(
                "a private mount namespace",
                got=maker.stderr.read().decode(errors="replace").strip() or "not allowed",
                wanted="root with CAP_SYS_ADMIN, or an ordinary user",
                remedy="run codekiln as an ordinary user",
            )
        namespace = os.open(f"/proc/{maker.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        maker.stdin.write(b"\n")
    return namespace
