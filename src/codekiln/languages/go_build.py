"""Go's build constraints: which files of a package are ever compiled together.

A constraint is the expression of a `//go:build` line, with what the file's name adds:
`x_linux_amd64.go` holds on linux and amd64 alone. Two files are related by trying all cases that
their tags tell apart: one operating system at a time, one architecture, any other tags.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import product
from typing import Literal

# firm: where the first file is compiled, the second is too; excluded: never both
Relation = Literal["firm", "conditional", "excluded"]

_SYSTEM_NAMES = """
aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris
wasip1 windows zos
"""
SYSTEMS = frozenset(_SYSTEM_NAMES.split())
_ARCHITECTURE_NAMES = """
386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32
mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm
"""
ARCHITECTURES = frozenset(_ARCHITECTURE_NAMES.split())
_ALSO = {"android": "linux", "illumos": "solaris", "ios": "darwin"}
_NOT_UNIX = frozenset({"js", "nacl", "plan9", "wasip1", "windows", "zos", ""})
_MOST_CASES = 4096  # beyond, two files count as conditional without trying

_LINE = re.compile(r"^//go:build[ \t]+([^\n]+)", re.MULTILINE)
_OLD_LINE = re.compile(r"^//[ \t]*\+build[ \t]+([^\n]+)", re.MULTILINE)
_TOKEN = re.compile(r"&&|\|\||[!()]|[\w.]+")
_STRENGTH = {"!": 3, "&&": 2, "||": 1, "(": 0}


def constraint(path: str, header: str) -> str:
    """The constraint of a file, from its path and the text before its package clause; or ""."""
    parts = list(_of_name(path[path.rfind("/") + 1 :]))
    line = _LINE.search(header)
    if line:
        parts.append(f"({line[1].strip()})")
    elif "+build" in header:
        parts += [f"({_modern(old[1])})" for old in _OLD_LINE.finditer(header)]
    return " && ".join(parts)


def _of_name(name: str) -> list[str]:
    words = name.removesuffix(".go").removesuffix("_test").split("_")[1:]
    if words and words[-1] in ARCHITECTURES:
        return words[-2:] if len(words) > 1 and words[-2] in SYSTEMS else words[-1:]
    return words[-1:] if words and words[-1] in SYSTEMS else []


def _modern(old: str) -> str:
    """The expression of a `// +build` line: spaces are "or", commas are "and"."""
    return " || ".join(" && ".join(option.split(",")) for option in old.split())


@lru_cache(maxsize=4096)
def relation(one: str, other: str) -> Relation:
    """How a file under the constraint `one` stands to a file under `other`."""
    if not other or one == other:
        return "firm"
    first, second = _postfix(one), _postfix(other)
    together = apart = False
    cases = _cases({*first, *second})
    if cases is None:
        return "conditional"
    for true in cases:
        if _holds(first, true):
            if _holds(second, true):
                together = True
            else:
                apart = True
            if together and apart:
                break
    if not together:
        return "excluded"
    return "conditional" if apart else "firm"


def _cases(tags: set[str]) -> list[set[str]] | None:
    """The sets of true tags to try; None where there are too many."""
    systems = sorted({*(tags & SYSTEMS), ""} | (SYSTEMS - _NOT_UNIX if "unix" in tags else set()))
    architectures = sorted({*(tags & ARCHITECTURES), ""})
    free = sorted(tags - SYSTEMS - ARCHITECTURES - {"unix", "!", "&&", "||"})
    free = [tag for tag in free if not tag.startswith("go1.")]
    if len(free) > 12 or len(systems) * len(architectures) << len(free) > _MOST_CASES:
        return None
    found: list[set[str]] = []
    released = {tag for tag in tags if tag.startswith("go1.")}
    for system, architecture in product(systems, architectures):
        fixed = {system, architecture, _ALSO.get(system, system)} | released
        if system not in _NOT_UNIX:
            fixed.add("unix")
        found += [
            fixed | {tag for tag, on in zip(free, chosen, strict=True) if on}
            for chosen in product((False, True), repeat=len(free))
        ]
    return found


@lru_cache(maxsize=4096)
def _postfix(expression: str) -> tuple[str, ...]:
    """Tags and operators in postfix order (by Dijkstra's shunting yard)."""
    output: list[str] = []
    waiting: list[str] = []
    for token in _TOKEN.findall(expression):
        if token == ")":
            while waiting and waiting[-1] != "(":
                output.append(waiting.pop())
            if waiting:
                waiting.pop()
        elif token in _STRENGTH:
            while token in ("&&", "||") and waiting and _STRENGTH[waiting[-1]] >= _STRENGTH[token]:
                output.append(waiting.pop())
            waiting.append(token)
        else:
            output.append(token)
    return tuple(output + [token for token in waiting[::-1] if token != "("])


def _holds(postfix: tuple[str, ...], true: set[str]) -> bool:
    stack: list[bool] = []
    for token in postfix:
        if token == "!":
            stack.append(not (stack.pop() if stack else True))
        elif token in ("&&", "||"):
            right, left = (stack.pop() if stack else True), (stack.pop() if stack else True)
            stack.append(left and right if token == "&&" else left or right)
        else:
            stack.append(token in true)
    return stack[-1] if stack else True
