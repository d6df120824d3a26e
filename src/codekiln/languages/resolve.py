"""What a language with an import resolver provides, and the words that it speaks in.

A resolver reads the references out of a file's text (`imports`), and says which files of the
repository each one stands for (`resolve`). A new language is one file with such a class, and one
line under "resolvers" in the registry.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

ReferenceKind = Literal["import", "include", "local", "type-only"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One reference as it stands in a file, not resolved yet.

    Args:
        target: what is named: "a.b" of `import a.b`, "x/y.h" of `#include "x/y.h"`.
        kind: "import" and "include" hold whenever the file is loaded; "local" stands in a
            function; "type-only" is read by type checkers only.
        names: of a `from` import, the names imported; empty otherwise.
        level: leading dots of a relative import; 0 is absolute.
        system: written `<x>`: the folder of the file itself is not searched.
    """

    target: str
    kind: ReferenceKind
    names: tuple[str, ...] = ()
    level: int = 0
    system: bool = False


class Resolver(Protocol):
    """Reads and resolves the references of one language, for one repository.

    `survey` comes after all `imports` and before the first `resolve`.
    """

    def __init__(self, paths: PathIndex) -> None: ...

    def imports(self, text: str) -> list[Reference]:
        """The references of one file, in the order of the text."""
        ...

    def survey(self, references: Iterable[Reference]) -> None:
        """Learn from all references of the repository what its paths alone don't say."""
        ...

    def resolve(self, reference: Reference, source: str) -> Iterable[str]:
        """Paths that `reference` in the file `source` stands for; none if outside."""
        ...


class PathIndex:
    """The paths of one repository, as resolvers ask for them.

    Args:
        paths: of all files, relative to the repository's root, with forward slashes.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.files = frozenset(paths)

    @cached_property
    def folders(self) -> frozenset[str]:
        """Every folder that holds a file, at any depth; the root is ""."""
        found = {""}
        for path in self.files:
            folder = parent(path)
            while folder not in found:
                found.add(folder)
                folder = parent(folder)
        return frozenset(found)

    @cached_property
    def by_name(self) -> dict[str, list[str]]:
        """File name -> all paths that end in it, sorted."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.files):
            found.setdefault(path[path.rfind("/") + 1 :], []).append(path)
        return found


def parent(path: str) -> str:
    """The folder of a path; that of a top-level name, and of the root itself, is ""."""
    return path[: max(path.rfind("/"), 0)]


def join(folder: str, name: str) -> str:
    """`name` within `folder`, where the root is ""."""
    return f"{folder}/{name}" if folder else name


def shared_depth(one: str, other: str) -> int:
    """How many folders two folders share, from the root down."""
    if not one or not other:
        return 0
    depth = 0
    for mine, theirs in zip(one.split("/"), other.split("/"), strict=False):
        if mine != theirs:
            break
        depth += 1
    return depth
