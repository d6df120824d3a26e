"""An oracle for the includes of C and C++: what the compiler itself reads.

`reads` asks `gcc -MM` for all files that one source reaches. `directives` asks `gcc -E -dI`, which
prints every `#include` that the compiler met, also one whose guard it knew, and marks where it
went: the direct needs of each file. Both see one configuration: this machine, with the flags given.
"""

from __future__ import annotations

import posixpath
import re
import subprocess
from collections.abc import Iterable, Set
from pathlib import Path

_MARKER = re.compile(r'# \d+ "((?:[^"\\]|\\.)*)"((?: \d)*)')
_INCLUDE = re.compile(r'#include(?:_next)? (?:"(.+)"|<(.+)>)')


def reads(root: Path, command: list[str], source: str) -> set[str]:
    """Files of `root` that the compiler reads for `source`, besides it."""
    call = [*command, "-MM", source]
    text = subprocess.run(call, cwd=root, capture_output=True, text=True, check=True).stdout
    words = text.replace("\\\n", " ").split(":", 1)[1].split()
    inside = {posixpath.normpath(word) for word in words}
    return {path for path in inside if not path.startswith(("/", ".."))} - {source}


def directives(root: Path, command: list[str], source: str) -> set[tuple[str, str]] | None:
    """(file, file that it includes) for all directives that the compiler met below `source`.

    None where it fails, as for the sources of another platform: a header is missing. (`-MM` does
    not fail then.)
    """
    call = [*command, "-E", "-dI", source]
    done = subprocess.run(call, cwd=root, capture_output=True, text=True, errors="replace")
    if done.returncode:
        return None
    text = done.stdout
    found: set[tuple[str, str]] = set()
    skipped: list[tuple[str, str]] = []  # file, name: of those with a guard known to the compiler
    entered: dict[tuple[str, str], str] = {}  # folder of the file, name -> what it stood for
    stack = [source]
    pending = ""
    for line in text.splitlines():
        marker = _MARKER.match(line)
        include = _INCLUDE.match(line)
        if marker and " 1" in marker[2]:
            inner = posixpath.normpath(marker[1])
            if pending:
                found.add((stack[-1], inner))
                entered[posixpath.dirname(stack[-1]), pending] = inner
            stack.append(inner)
            pending = ""
        elif marker and " 2" in marker[2]:
            stack.pop()
        elif include:
            if pending:
                skipped.append((stack[-1], pending))
            pending = include[1] or include[2]
        elif pending and not marker and line.strip():
            skipped.append((stack[-1], pending))
            pending = ""
    everything = {inner for _, inner in found}
    for file, name in skipped:
        found |= {(file, path) for path in _meant(file, name, entered, everything)}
    return {(one, two) for one, two in found if not one.startswith(("/", "<", ".."))}


def _meant(
    file: str, name: str, entered: dict[tuple[str, str], str], everything: Set[str]
) -> Iterable[str]:
    """What a skipped include stands for: a file read before, beside it or elsewhere."""
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(file), name))
    if beside in everything:
        return [beside]
    known = entered.get((posixpath.dirname(file), name))
    if known:
        return [known]
    return {path for (_, asked), path in entered.items() if asked == name}
