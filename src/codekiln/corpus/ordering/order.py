"""In which order the files of a repository stand in a training sample.

One sequence for each disconnected subgraph, as in the paper; the sequences in the order of their
first paths. Four orders:

- "paper": Algorithm 1 as printed: again and again the file with the smallest in-degree. Ties are
  open in the paper, random by its authors' word: here by a hash of seed and path, so that a seed
  gives one order, whatever else the repository holds.
- "scc": what a file needs stands before it, except within cycles. There, needs of type checkers
  and then those of functions are set aside first, which breaks most cycles; what still is one is
  ordered by Eades, Lin and Smyth's heuristic; and last, files move singly to where less is unmet.
- "path": by path. "random": shuffled, by the same hash.

All are near-linear in files and edges, and functions of the graph and the seed alone.

Source: DeepSeek-Coder §2.2, Algorithm 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from typing import Literal, get_args

from codekiln.corpus.ordering.cycles import (
    Needs,
    greedy_order,
    improved_order,
    strong_components,
    weak_components,
)
from codekiln.corpus.ordering.graph import FIRMNESS, Graph
from codekiln.languages.resolve import ReferenceKind

Order = Literal["paper", "scc", "path", "random"]
ORDERS: tuple[Order, ...] = get_args(Order)
# The needs that are left within a cycle, step by step.
_STEPS: tuple[frozenset[ReferenceKind], ...] = (
    frozenset({"import", "include", "use", "local"}),
    frozenset({"import", "include", "use"}),
)


def sequences(graph: Graph, order: Order, seed: int = 0) -> list[list[str]]:
    """The files of each disconnected subgraph, in the order in which they are concatenated.

    `seed` settles the ties of "paper" and the shuffle of "random"; the others don't use it.
    """
    files = graph.files
    numbered = _Numbered(graph)
    arrange = _ARRANGE[order]
    return [
        [files[node] for node in arrange(component, numbered, seed)]
        for component in weak_components(numbered.needs)
    ]


def violations(graph: Graph, ordered: Sequence[Sequence[str]]) -> float:
    """Share of the edges whose dependency comes later, among edges with both files in `ordered`."""
    place = {path: at for at, path in enumerate(p for sequence in ordered for p in sequence)}
    edges = [e for e in graph.edges if e.source in place and e.target in place]
    late = sum(place[edge.target] > place[edge.source] for edge in edges)
    return late / len(edges) if edges else 0.0


def cycles(graph: Graph) -> list[list[str]]:
    """The files of each cycle (strongly connected component of more than one), largest first."""
    found = strong_components(range(len(graph.files)), _Numbered(graph).needs)
    paths = [[graph.files[node] for node in part] for part in found if len(part) > 1]
    return sorted(paths, key=lambda part: (-len(part), part))


class _Numbered:
    """A graph with numbers for files, in path order."""

    def __init__(self, graph: Graph) -> None:
        self.files = graph.files
        number = {path: node for node, path in enumerate(graph.files)}
        self.needs: list[list[int]] = [[] for _ in graph.files]
        self.kinds: dict[tuple[int, int], ReferenceKind] = {}
        for edge in graph.edges:
            source, target = number[edge.source], number[edge.target]
            self.needs[source].append(target)
            self.kinds[source, target] = edge.kind

    def needs_of(self, nodes: Sequence[int], kinds: frozenset[ReferenceKind]) -> Needs:
        """The needs of `nodes`, of these kinds only."""
        return {
            node: [other for other in self.needs[node] if self.kinds[node, other] in kinds]
            for node in nodes
        }

    def weight(self, node: int, other: int) -> int:
        """How bad it is that `node` stands before `other`, which it needs."""
        return FIRMNESS[self.kinds[node, other]]

    def tie(self, node: int, seed: int) -> bytes:
        """What settles a tie of `node` with another: the smaller goes first."""
        path = self.files[node].encode("utf-8", "surrogatepass")
        return hashlib.blake2b(b"%d:%s" % (seed, path), digest_size=16).digest()


def _paper(nodes: Sequence[int], graph: _Numbered, seed: int) -> list[int]:
    in_degree = {node: len(graph.needs[node]) for node in nodes}
    successors: dict[int, list[int]] = {node: [] for node in nodes}
    for node in nodes:
        for other in graph.needs[node]:
            successors[other].append(node)
    tie = {node: graph.tie(node, seed) for node in nodes}
    heap = [(in_degree[node], tie[node], node) for node in nodes]
    heapify(heap)
    placed: dict[int, None] = {}
    while heap:
        degree, _, node = heappop(heap)
        if node in placed or degree != in_degree[node]:
            continue  # placed already, or lowered since: it stands in the heap anew
        placed[node] = None
        for other in successors[node]:
            in_degree[other] -= 1
            if other not in placed:
                heappush(heap, (in_degree[other], tie[other], other))
    return list(placed)


def _scc(nodes: Sequence[int], graph: _Numbered, seed: int) -> list[int]:
    ordered: list[int] = []
    for component in strong_components(nodes, graph.needs):
        if len(component) == 1:
            ordered += component
        else:
            broken = _break(component, graph, 0)
            ordered += improved_order(broken, graph.needs, graph.weight)
    return ordered


def _break(nodes: Sequence[int], graph: _Numbered, step: int) -> list[int]:
    """Order the nodes of a cycle by what is left of their needs from this step on."""
    needs = graph.needs_of(nodes, _STEPS[min(step, len(_STEPS) - 1)])
    if step == len(_STEPS):
        return greedy_order(nodes, needs)
    ordered: list[int] = []
    for component in strong_components(nodes, needs):
        ordered += component if len(component) == 1 else _break(component, graph, step + 1)
    return ordered


def _path(nodes: Sequence[int], graph: _Numbered, seed: int) -> list[int]:
    return sorted(nodes)


def _random(nodes: Sequence[int], graph: _Numbered, seed: int) -> list[int]:
    return sorted(nodes, key=lambda node: graph.tie(node, seed))


_ARRANGE: dict[Order, Callable[[Sequence[int], _Numbered, int], list[int]]] = {
    "paper": _paper,
    "scc": _scc,
    "path": _path,
    "random": _random,
}
