"""Which paths of this machine a box shows, all of them read-only."""

from __future__ import annotations

import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

# Linked into /usr on merged systems, folders of their own elsewhere.
ROOT_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# Single entries: the rest of /etc tells a program about the machine and its users.
ETC = ("/etc/ld.so.cache", "/etc/alternatives")
JAVA = "java-*-openjdk"  # Debian keeps there what a Java machine does not start without
SYSTEM_PYTHON = "/usr/bin/python3"


@dataclass(frozen=True, slots=True)
class Bind:
    """A host path and the path where the box shows it."""

    source: str
    target: str


def system_arguments() -> list[str]:
    """bwrap arguments that show the operating system: /usr, its links, entries of /etc."""
    arguments = ["--ro-bind", "/usr", "/usr"]
    for folder in map(Path, ROOT_FOLDERS):
        if folder.is_symlink():
            arguments += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            arguments += ["--ro-bind", str(folder), str(folder)]
    for entry in (*ETC, *sorted(map(str, Path("/etc").glob(JAVA)))):
        arguments += ["--ro-bind-try", entry, entry]
    return arguments


def running_python() -> tuple[str, tuple[Bind, ...]]:
    """The interpreter in use and the folders it needs beyond /usr.

    The base interpreter, not the virtual environment's: programs in the box see the standard
    library only, so that a score does not depend on what is installed beside codekiln.
    """
    executable = Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()
    prefixes = {Path(p).resolve() for p in (sys.base_prefix, sys.base_exec_prefix)}
    binds = [Bind(str(p), str(p)) for p in sorted(prefixes) if not p.is_relative_to("/usr")]
    return str(executable), tuple(binds)


def located(tool: str) -> str:
    """The tool's path, for a command that starts without our PATH."""
    return shutil.which(tool) or tool


def system_python() -> str | None:
    """Debian's own interpreter, the fallback when ours cannot be shown."""
    return SYSTEM_PYTHON if shutil.which(SYSTEM_PYTHON) else None


def reachable_by_all(path: Path) -> bool:
    """Whether any user may walk to `path` and list it."""
    folders = [path.resolve(), *path.resolve().parents]
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in folders)
