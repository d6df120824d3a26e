"""Which file of a repository needs which: the graph that orders a training sample.

Each language says in its own module what an edge is, and how it is found. Files in a language
without a resolver are nodes without edges.

Source: DeepSeek-Coder §2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from codekiln import registry
from codekiln.languages.resolve import Need, PathIndex, ReferenceKind, Resolver, resolver_class
from codekiln.log import logger
from codekiln.types import SourceFile

# Where a file needs another in several ways, the one that holds most firmly names the edge.
FIRMNESS: dict[ReferenceKind, int] = {
    "import": 3,
    "include": 3,
    "use": 3,
    "local": 2,
    "conditional": 1,
    "type-only": 1,
    "declare": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """The file `source` needs the file `target`."""

    source: str
    target: str
    kind: ReferenceKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Files in path order; edges in the order of (source, target), each pair once, no loops.

    `failed` are the files that no reference could be read from, because their reader broke.
    """

    files: tuple[str, ...]
    edges: tuple[Edge, ...]
    failed: tuple[str, ...] = ()


def build_graph(
    files: Sequence[SourceFile],
    *,
    other_paths: Iterable[str] = (),
    build_files: Mapping[str, str] = MappingProxyType({}),
    advance: Callable[[float], None] | None = None,
) -> Graph:
    """Read the references of all files and resolve them within the repository.

    Args:
        files: of one repository, in any order.
        other_paths: what the repository holds besides, such as empty files: an empty
            `__init__.py` makes a package, although it is no part of a sample.
        build_files: path -> text of files such as go.mod (see `is_build_file`).
        advance: called with the count of characters scanned, after each file.
    """
    nodes = {file.path for file in files}
    index = PathIndex(nodes.union(other_paths), build_files)
    kinds: dict[tuple[str, str], ReferenceKind] = {}
    failed: list[str] = []
    for resolver, members in _by_resolver(files, index):
        scans = _scans(resolver, members, failed, advance)
        for source, target, kind in _edges(resolver, scans, failed):
            known = kinds.get((source, target))
            if (
                source != target
                and target in nodes
                and (known is None or FIRMNESS[kind] > FIRMNESS[known])
            ):
                kinds[source, target] = kind
    edges = (Edge(source=s, target=t, kind=kinds[s, t]) for s, t in sorted(kinds))
    return Graph(files=tuple(sorted(nodes)), edges=tuple(edges), failed=tuple(sorted(failed)))


def _edges(resolver: Resolver, scans: Mapping[str, Any], failed: list[str]) -> Iterator[Need]:
    """The edges up to where a resolver breaks; then all its files count as failed."""
    try:
        yield from resolver.edges(scans)
    except Exception:  # the other languages of the repository must not pay for it
        logger.debug("%s: edges are missing", type(resolver).__name__, exc_info=True)
        failed += scans


def _scans(
    resolver: Resolver,
    members: Sequence[SourceFile],
    failed: list[str],
    advance: Callable[[float], None] | None,
) -> dict[str, Any]:
    scans: dict[str, Any] = {}
    for file in members:
        try:
            scans[file.path] = resolver.scan(file.path, file.text)
        except Exception:  # a reader that breaks on one file must not cost the others
            logger.debug("%s: no references read", file.path, exc_info=True)
            failed.append(file.path)
        if advance is not None:
            advance(len(file.text))
    return scans


def _by_resolver(
    files: Sequence[SourceFile], index: PathIndex
) -> list[tuple[Resolver, list[SourceFile]]]:
    """The files of each resolver; languages that share a class share the resolver."""
    known = set(registry.names("resolvers"))
    classes = {
        language: resolver_class(language)
        for language in sorted({f.language for f in files} & known)
    }
    members: dict[type[Resolver], list[SourceFile]] = {}
    for file in files:
        if file.language in classes:
            members.setdefault(classes[file.language], []).append(file)
    return [(kind(index), found) for kind, found in members.items()]
