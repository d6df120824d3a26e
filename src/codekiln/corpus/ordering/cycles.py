"""Cycles of a graph: find them, and order what lies in them with few needs unmet.

A graph is `needs`: for each node number, the numbers of the nodes that it needs and that should
stand before it. All is iterative, so that depth is no limit; near-linear; and a function of the
numbers alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush

Needs = Sequence[Sequence[int]] | Mapping[int, Sequence[int]]


def strong_components(nodes: Sequence[int], needs: Needs) -> list[list[int]]:
    """Strongly connected components among `nodes`, each behind all that it needs (Tarjan).

    Nodes are visited as given, and pull what they need to the place before them. Needs that leave
    `nodes` don't count. Within a component the order is that of the numbers.
    """
    inside = set(nodes)
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    open_: set[int] = set()
    found: list[list[int]] = []
    for root in nodes:
        if root in index:
            continue
        work = [(root, iter(needs[root]))]
        while work:
            node, rest = work[-1]
            if node not in index:
                index[node] = low[node] = len(index)
                stack.append(node)
                open_.add(node)
            for other in rest:
                if other not in inside:
                    continue
                if other not in index:
                    work.append((other, iter(needs[other])))
                    break
                if other in open_:
                    low[node] = min(low[node], index[other])
            else:
                work.pop()
                if work:
                    above = work[-1][0]
                    low[above] = min(low[above], low[node])
                if low[node] == index[node]:
                    found.append(_unstack(stack, node))
                    open_.difference_update(found[-1])
    return found


def _unstack(stack: list[int], node: int) -> list[int]:
    component = [stack.pop()]
    while component[-1] != node:
        component.append(stack.pop())
    return sorted(component)


def greedy_order(nodes: Sequence[int], needs: Needs) -> list[int]:
    """An order of a cyclic graph in which few needs are unmet (Eades, Lin and Smyth, 1993).

    Nodes that need nothing go to the start, nodes that nothing needs to the end; where there are
    neither, the node goes to the start that is needed most in excess of what it needs. Needs that
    leave `nodes` don't count; ties go to the smaller number.
    """
    before, after = among(nodes, needs)
    needing = {node: len(before[node]) for node in nodes}
    needed = {node: len(after[node]) for node in nodes}
    heap = [(needing[node] - needed[node], node) for node in nodes]
    heapify(heap)
    free = sorted((node for node in nodes if not needing[node]), reverse=True)
    last = sorted((node for node in nodes if not needed[node]), reverse=True)
    left = set(nodes)
    start: list[int] = []
    end: list[int] = []
    while left:
        if last:
            node, side = last.pop(), end
        elif free:
            node, side = free.pop(), start
        else:
            excess, node = heappop(heap)
            if excess != needing[node] - needed[node]:
                continue  # it has changed since, and stands in the heap anew
            side = start
        if node not in left:
            continue
        left.remove(node)
        side.append(node)
        for others, count, queue in ((after, needing, free), (before, needed, last)):
            for other in others[node]:
                if other in left:
                    count[other] -= 1
                    heappush(heap, (needing[other] - needed[other], other))
                    if not count[other]:
                        queue.append(other)
    return start + end[::-1]


def among(nodes: Iterable[int], needs: Needs) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """What each of `nodes` needs among them, and what needs it."""
    before: dict[int, list[int]] = {node: [] for node in nodes}
    after: dict[int, list[int]] = {node: [] for node in before}
    for node, found in before.items():
        found += [other for other in needs[node] if other in before]
        for other in found:
            after[other].append(node)
    return before, after


def improved_order(
    order: Sequence[int], needs: Needs, weight: Callable[[int, int], int], *, rounds: int = 4
) -> list[int]:
    """Move single nodes of `order` to where less weight is unmet, for as many `rounds` as gain.

    Each node in turn goes to the best gap between the nodes that it needs and those that need it,
    the nearest one of several; the total of `weight(node, needed)` over unmet needs only falls.
    """
    before, after = among(order, needs)
    for _ in range(rounds):
        place = {node: float(position) for position, node in enumerate(order)}
        moved = False
        for node in order:
            near = [(place[other], -weight(node, other)) for other in before[node]]
            near += [(place[other], weight(other, node)) for other in after[node]]
            gap = _best_gap(sorted(near), place[node])
            if gap is not None:
                place[node] = gap
                moved = True
        order = sorted(order, key=lambda node: (place[node], node))
        if not moved:
            break
    return list(order)


def _best_gap(near: list[tuple[float, int]], here: float) -> float | None:
    """A place with less unmet weight than `here`; None if there is none.

    Args:
        near: place of each neighbour, in order, and how the unmet weight changes on passing it
            from left to right: down behind a needed node, up behind one that needs this one.
        here: the present place.
    """
    cost = lowest = -sum(change for _, change in near if change < 0)
    at_here, left = cost, -math.inf
    gaps: list[tuple[int, float, float]] = []
    for right, change in [*near, (math.inf, 0)]:
        if left < right:  # else one node is both needed and needing: nothing fits between
            gaps.append((cost, left, right))
            lowest = min(lowest, cost)
            if left <= here <= right:
                at_here = cost
        cost, left = cost + change, right
    if lowest >= at_here:
        return None
    _, left, right = min(
        (gap for gap in gaps if gap[0] == lowest),
        key=lambda gap: min(abs(gap[1] - here), abs(gap[2] - here)),
    )
    place = (
        right - 1 if left == -math.inf else left + 1 if right == math.inf else (left + right) / 2
    )
    return place if left < place < right else None


def weak_components(needs: Sequence[Sequence[int]]) -> list[list[int]]:
    """Connected components, directions aside; each sorted, in order of its smallest node."""
    leader = list(range(len(needs)))

    def find(node: int) -> int:
        while leader[node] != node:
            leader[node] = leader[leader[node]]
            node = leader[node]
        return node

    for node, found in enumerate(needs):
        for other in found:
            one, two = find(node), find(other)
            leader[max(one, two)] = min(one, two)
    members: dict[int, list[int]] = {}
    for node in range(len(needs)):
        members.setdefault(find(node), []).append(node)
    return list(members.values())
