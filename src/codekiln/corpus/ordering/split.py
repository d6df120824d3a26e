"""Samples over a limit of tokens, split at file borders where the fewest dependencies are cut.

A corpus has no tokenizer yet: a size is an estimate, a file's bytes divided by the bytes that a
token takes (`estimated_tokens`). How far off that is depends on tokenizer and language; a piece
may exceed a limit counted in real tokens by as much. Whoever must not exceed it measures the bytes
per token of the own tokenizer, and takes fewer.

A dependency is in reach if both files stand in the same piece. No file is repeated: the pieces,
one after the other, are the sample. Where a file is needed in many pieces, the best cut keeps it
with most of those that need it, and the rest is lost and counted (`lost`).

Among all ways to cut, the one with the least weight of lost dependencies is found, exactly: let
best[j] be the least weight lost within the first j files; then best[j] is the minimum over the
start i of the last piece of best[i] + the weight of what lies across i and ends before j. The
starts form a window that moves with j, and one dependency more raises a run of them. A tree over
the window with lazy additions does both in O(log window): O((n + edges) log window) in all. Among
equal ways, that with the fewest pieces is taken, and then the one with the longest last piece.

Source: DeepSeek-Coder §2.2 leaves open what becomes of samples longer than the context.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import inf

from codekiln.corpus.ordering.graph import FIRMNESS, Graph

BYTES_PER_TOKEN = 3.5  # a usual value for code, not measured on any tokenizer here


def estimated_tokens(
    sizes: Mapping[str, int], bytes_per_token: float = BYTES_PER_TOKEN
) -> dict[str, int]:
    """Path -> tokens, rounded up, by path -> bytes."""
    return {path: -int(-size // bytes_per_token) for path, size in sizes.items()}


def split(
    sample: Sequence[str], sizes: Mapping[str, int], graph: Graph, limit: int
) -> list[tuple[str, ...]]:
    """Cut one sample into pieces; see `split_all`, which reads the graph but once for many."""
    return split_all([sample], sizes, graph, limit)


def split_all(
    samples: Iterable[Sequence[str]], sizes: Mapping[str, int], graph: Graph, limit: int
) -> list[tuple[str, ...]]:
    """Cut samples into pieces of at most `limit`, in which as few needs as possible are lost.

    An edge weighs as much as its kind is firm (FIRMNESS: 3 for an import, 1 for a type-only one).

    Args:
        samples: paths in order, each in one sample, once.
        sizes: of each path, in the unit of `limit`, at least 0.
        graph: of the repository; edges that leave a sample don't count.
        limit: of a piece, at least 1. A file that exceeds it alone is a piece of its own.
    """
    whole = [tuple(sample) for sample in samples if sample]
    long = [s for s in whole if len(s) > 1 and sum(sizes[path] for path in s) > limit]
    earlier = _earlier(long, graph)
    pieces: list[tuple[str, ...]] = []
    for sample in whole:
        if sample[0] in earlier:
            starts = _starts([sizes[path] for path in sample], earlier[sample[0]], limit)
            pieces += [sample[start:end] for start, end in pairwise([*starts, len(sample)])]
        else:
            pieces.append(sample)
    return pieces


def lost(graph: Graph, before: Iterable[Sequence[str]], after: Iterable[Sequence[str]]) -> float:
    """Share of the edges within a sample of `before` that lie in no single sample of `after`."""
    samples = [tuple(sample) for sample in before]
    apart = [[path] for sample in samples for path in sample]
    inside = cut_edges(graph, samples, apart)
    return cut_edges(graph, samples, after) / inside if inside else 0.0


def cut_edges(graph: Graph, before: Iterable[Sequence[str]], after: Iterable[Sequence[str]]) -> int:
    """How many edges within a sample of `before` lie in no single sample of `after`."""
    old = {path: number for number, sample in enumerate(before) for path in sample}
    new = {path: number for number, sample in enumerate(after) for path in sample}
    return sum(
        edge.source in old
        and old[edge.source] == old.get(edge.target)
        and new.get(edge.source) != new.get(edge.target, -1)
        for edge in graph.edges
    )


Earlier = list[list[tuple[int, int]]]


def _earlier(samples: Iterable[Sequence[str]], graph: Graph) -> dict[str, Earlier]:
    """By each sample's first path: for each place, earlier places with an edge to it, and weights.

    An edge counts in either direction: a need that stands behind its file is in reach, too.
    """
    found: dict[str, Earlier] = {}
    where: dict[str, tuple[Earlier, int]] = {}
    for sample in samples:
        rows: Earlier = [[] for _ in sample]
        found[sample[0]] = rows
        where.update((path, (rows, at)) for at, path in enumerate(sample))
    for edge in graph.edges if where else ():
        one, two = where.get(edge.source), where.get(edge.target)
        if one and two and one[0] is two[0]:
            first, last = sorted((one[1], two[1]))
            one[0][last].append((first, FIRMNESS[edge.kind]))
    return found


def _starts(sizes: Sequence[int], earlier: Earlier, limit: int) -> list[int]:
    """Where the pieces of one sample start."""
    firsts = _first_starts(sizes, limit)
    step = len(sizes) + 1
    window = _Window(max(end - first for end, first in enumerate(firsts)) + 1)
    window.put(0, 0)  # a cost is (weight lost * step + pieces) * step + start: one number
    last = [0]  # start of the last piece, by end
    for end in range(1, step):
        for other, weight in earlier[end - 1]:  # lost, if the piece starts behind `other`
            window.raise_by(max(other + 1, firsts[end - 1]), end - 1, weight * step * step)
        for gone in range(firsts[end - 1], firsts[end]):
            window.drop(gone)
        cost, start = divmod(window.least, step)
        last.append(start)
        window.put(end, (cost + 1) * step + end)
    starts: list[int] = []
    end = len(sizes)
    while end:
        end = last[end]
        starts.append(end)
    return starts[::-1]


def _first_starts(sizes: Sequence[int], limit: int) -> list[int]:
    """For each end, the first place at which a piece of at most `limit` may start."""
    firsts = [0]
    filled = 0
    for at, size in enumerate(sizes):
        first = firsts[-1]
        filled += size
        while filled > limit and first < at:
            filled -= sizes[first]
            first += 1
        firsts.append(first)
    return firsts


class _Window:
    """Values at places of a moving window, with their least; a tree over a ring of places."""

    def __init__(self, width: int) -> None:
        self._size = 1 << max(width - 1, 1).bit_length()
        self._low: list[float] = [inf] * (2 * self._size)  # of a node and all below it
        self._add = [0] * (2 * self._size)  # to all below a node, and in its own low already

    @property
    def least(self) -> int:
        return int(self._low[1])

    def put(self, place: int, value: float) -> None:
        node = self._size + place % self._size
        above = node >> 1
        while above:
            value -= self._add[above]
            above >>= 1
        self._low[node] = value
        self._mend(node)

    def drop(self, place: int) -> None:
        self.put(place, inf)

    def raise_by(self, first: int, last: int, more: int) -> None:
        """Add to all values from `first` to `last`, both included."""
        first, last = first % self._size, last % self._size
        if first > last:  # round the end of the ring
            self._raise(first, self._size - 1, more)
            first = 0
        self._raise(first, last, more)

    def _raise(self, first: int, last: int, more: int) -> None:
        left, right = first + self._size, last + self._size + 1
        while left < right:
            if left & 1:
                self._low[left] += more
                self._add[left] += more
                left += 1
            if right & 1:
                right -= 1
                self._low[right] += more
                self._add[right] += more
            left >>= 1
            right >>= 1
        self._mend(first + self._size)
        self._mend(last + self._size)

    def _mend(self, node: int) -> None:
        """Renew what stands above a node."""
        low, add = self._low, self._add
        node >>= 1
        while node:
            low[node] = min(low[2 * node], low[2 * node + 1]) + add[node]
            node >>= 1
