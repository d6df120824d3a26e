"""What a language with an import resolver provides, and the words that it speaks in.

A resolver reads out of each file what it says (`scan`), and then, knowing that of all files, says
which file needs which (`edges`). Where a reference can be resolved on its own, as Python's and C's
can, `ByReference` does the rest. A new language is one file with such a class, and one line under
"resolvers" in the registry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol

from codekiln import registry

# import, include: by a statement that holds whenever the file is loaded; use: by a name that needs
# no statement, such as a class of the same Java package; local: stands in a function;
# conditional: in a branch for another platform; type-only: read by type checkers only;
# declare: named as a part of the program, without a use of what is in it.
ReferenceKind = Literal["import", "include", "use", "local", "conditional", "type-only", "declare"]
Need = tuple[str, str, ReferenceKind]  # the first path needs the second


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One reference as it stands in a file, not resolved yet.

    Args:
        target: what is named: "a.b" of `import a.b`, "x/y.h" of `#include "x/y.h"`.
        kind: how firmly the file needs it.
        names: of a `from` import, the names imported; empty otherwise.
        level: leading dots of a relative import; 0 is absolute. 1 of an `#include_next`.
        system: written `<x>`: the folder of the file itself is not searched.
    """

    target: str
    kind: ReferenceKind
    names: tuple[str, ...] = ()
    level: int = 0
    system: bool = False


class Resolver(Protocol):
    """Finds the dependencies among the files of one language (or family), for one repository.

    Attributes:
        build_files: names of files, such as "go.mod", whose texts `PathIndex.build_files` should
            hold, wherever in the repository they lie; one may start with "*".
    """

    build_files: ClassVar[frozenset[str]]

    def __init__(self, paths: PathIndex) -> None: ...

    def scan(self, path: str, text: str) -> Any:
        """What one file says, by its path and text alone. Takes time linear in the text."""
        ...

    def edges(self, scans: Mapping[str, Any]) -> Iterable[Need]:
        """All dependencies, given the scans of all files by path; repeated ones are fine."""
        ...


def is_build_file(path: str) -> bool:
    """Whether some resolver wants to read this file, whatever its language."""
    names, endings = _build_names()
    name = path[path.rfind("/") + 1 :]
    return name in names or name.endswith(endings)


@cache
def _build_names() -> tuple[frozenset[str], tuple[str, ...]]:
    wanted = {
        n for language in registry.names("resolvers") for n in resolver_class(language).build_files
    }
    endings = tuple(sorted(name[1:] for name in wanted if name.startswith("*")))
    return frozenset(wanted), endings


def resolver_class(language: str) -> type[Resolver]:
    """The class that the registry names for a language, imported."""
    found: type[Resolver] = registry.load("resolvers", language)
    return found


class ByReference:
    """A resolver whose references can be resolved one by one; a base class, not to be used alone.

    `survey` comes after all `imports` and before the first `resolve`.
    """

    build_files: ClassVar[frozenset[str]] = frozenset()

    def imports(self, text: str) -> list[Reference]:
        """The references of one file, in the order of the text."""
        raise NotImplementedError

    def survey(self, references: Iterable[Reference]) -> None:
        """Learn from all references of the repository what its paths alone don't say."""

    def resolve(self, reference: Reference, source: str) -> Iterable[str]:
        """Paths that `reference` in the file `source` stands for; none if outside."""
        raise NotImplementedError

    def scan(self, path: str, text: str) -> list[Reference]:
        """The references of one file."""
        return self.imports(text)

    def edges(self, scans: Mapping[str, list[Reference]]) -> Iterator[Need]:
        """All references resolved."""
        self.survey(one for found in scans.values() for one in found)
        for source, found in scans.items():
            for reference in found:
                for target in self.resolve(reference, source):
                    yield source, target, reference.kind


class PathIndex:
    """The paths of one repository, as resolvers ask for them.

    Args:
        paths: of all files, relative to the repository's root, with forward slashes.
        build_files: path -> text of the files that decide how references are resolved.
    """

    def __init__(
        self, paths: Iterable[str], build_files: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.build_files = build_files
        self.files = frozenset(paths) | build_files.keys()

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
