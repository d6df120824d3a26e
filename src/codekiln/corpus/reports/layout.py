"""Where each file of an import graph stands in a picture of it.

Left to right by depth: a file stands one column right of the deepest file that it needs, and the
files of a cycle share a column, one below the other. Within a column, files stand near the middle
of what they need and what needs them (the barycentre heuristic, a few sweeps). Near-linear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codekiln.corpus.ordering.cycles import strong_components

SWEEPS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file's column, its height in it, and the number of its cycle: 1 the largest, 0 none."""

    column: int
    row: float
    ring: int


def layout(files: Sequence[str], needs: Mapping[int, Sequence[int]]) -> list[Place]:
    """A place for each file.

    Args:
        needs: numbers of the files that each file needs.
    """
    nodes = range(len(files))
    parts = strong_components(nodes, needs)
    rings = sorted((p for p in parts if len(p) > 1), key=lambda p: (-len(p), files[p[0]]))
    ring = {node: number for number, part in enumerate(rings, 1) for node in part}
    column = _columns(parts, needs)
    rows = _rows(column, needs, len(files))
    return [Place(column=column[n], row=rows[n], ring=ring.get(n, 0)) for n in nodes]


def _columns(parts: Sequence[Sequence[int]], needs: Mapping[int, Sequence[int]]) -> dict[int, int]:
    column: dict[int, int] = {}
    for part in parts:  # each stands behind all that it needs
        inside = set(part)
        deepest = max(
            (column[other] for node in part for other in needs[node] if other not in inside),
            default=-1,
        )
        column |= dict.fromkeys(part, deepest + 1)
    return column


def _rows(column: Mapping[int, int], needs: Mapping[int, Sequence[int]], count: int) -> list[float]:
    near: list[list[int]] = [[] for _ in range(count)]
    for node in range(count):
        for other in needs[node]:
            near[node].append(other)
            near[other].append(node)
    members: dict[int, list[int]] = {}
    for node in range(count):
        members.setdefault(column[node], []).append(node)
    row = [0.0] * count
    for nodes in members.values():
        _spread(nodes, row)
    for sweep in range(SWEEPS):
        for number in sorted(members, reverse=sweep % 2 == 1):
            nodes = members[number]
            middle = {
                node: sum(row[other] for other in near[node]) / len(near[node])
                if near[node]
                else row[node]
                for node in nodes
            }
            nodes.sort(key=lambda node: (middle[node], node))
            _spread(nodes, row)
    return row


def _spread(nodes: Sequence[int], row: list[float]) -> None:
    """Put the nodes of a column below each other, around the height 0."""
    for at, node in enumerate(nodes):
        row[node] = at - (len(nodes) - 1) / 2
