"""Which file of a repository needs which: the graph that orders a training sample.

Edges come from regular-expression scans, as in the paper; each language says in its own module
what an edge is. Files in a language without a resolver are nodes without edges.

Source: DeepSeek-Coder §2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from codekiln import registry
from codekiln.languages.resolve import PathIndex, Reference, ReferenceKind, Resolver
from codekiln.types import SourceFile

# Where a file needs another in several ways, the one that holds most firmly names the edge.
FIRMNESS: dict[ReferenceKind, int] = {"import": 3, "include": 3, "local": 2, "type-only": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """The file `source` needs the file `target`."""

    source: str
    target: str
    kind: ReferenceKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Files in path order; edges in the order of (source, target), each pair once, no loops."""

    files: tuple[str, ...]
    edges: tuple[Edge, ...]


def build_graph(
    files: Sequence[SourceFile],
    *,
    other_paths: Iterable[str] = (),
    advance: Callable[[float], None] | None = None,
) -> Graph:
    """Read the references of all files and resolve them within the repository.

    Args:
        files: of one repository, in any order.
        other_paths: what the repository holds besides, such as empty files: an empty
            `__init__.py` makes a package, although it is no part of a sample.
        advance: called with the count of characters scanned, after each file.
    """
    nodes = {file.path for file in files}
    index = PathIndex(nodes.union(other_paths))
    kinds: dict[tuple[str, str], ReferenceKind] = {}
    for resolver, members in _by_resolver(files, index):
        references: dict[str, list[Reference]] = {}
        for file in members:
            references[file.path] = resolver.imports(file.text)
            if advance is not None:
                advance(len(file.text))
        resolver.survey(one for found in references.values() for one in found)
        for source, found in references.items():
            for reference in found:
                for target in resolver.resolve(reference, source):
                    known = kinds.get((source, target))
                    if target in nodes and (
                        known is None or FIRMNESS[reference.kind] > FIRMNESS[known]
                    ):
                        kinds[source, target] = reference.kind
    edges = (Edge(source=s, target=t, kind=kinds[s, t]) for s, t in sorted(kinds))
    return Graph(files=tuple(sorted(nodes)), edges=tuple(edges))


def _by_resolver(
    files: Sequence[SourceFile], index: PathIndex
) -> list[tuple[Resolver, list[SourceFile]]]:
    """The files of each resolver; languages that share a class share the resolver."""
    known = set(registry.names("resolvers"))
    classes = {
        language: registry.load("resolvers", language)
        for language in sorted({file.language for file in files} & known)
    }
    members: dict[type[Resolver], list[SourceFile]] = {}
    for file in files:
        if file.language in classes:
            members.setdefault(classes[file.language], []).append(file)
    return [(kind(index), found) for kind, found in members.items()]
