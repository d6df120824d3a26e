"""One page about a repository's import graph: a picture to explore, the order, the cycles.

Self-contained: no network, no build step.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from codekiln import __version__
from codekiln.corpus.ordering.graph import Graph
from codekiln.corpus.ordering.order import Order, cycles, violations
from codekiln.corpus.reports.layout import layout

TEMPLATE = Path(__file__).with_name("graph.html.j2")
SCRIPT = Path(__file__).with_name("graph_picture.js")
CELLS = 240  # of the picture of the order, along each side


def graph_page(name: str, graph: Graph, ordered: list[list[str]], order: Order) -> str:
    """The page of one repository, as HTML."""
    place = {path: at for at, path in enumerate(path for part in ordered for path in part)}
    needs: dict[str, list[tuple[str, str, bool]]] = {}
    for edge in graph.edges:
        late = place[edge.target] > place[edge.source]
        needs.setdefault(edge.source, []).append((edge.target, edge.kind, late))
    rings = cycles(graph)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        name=name,
        version=__version__,
        order=order,
        files=len(graph.files),
        edges=len(graph.edges),
        violations=violations(graph, ordered),
        sequences=sorted(ordered, key=len, reverse=True),
        needs=needs,
        cycles=rings,
        ring={path: number for number, ring in enumerate(rings, 1) for path in ring},
        dots=_dots(graph, place),
        cell=max(1.6, CELLS / max(len(place), 1)),
        kinds=Counter(edge.kind for edge in graph.edges).most_common(),
        picture=_picture(graph, place),
        script=SCRIPT.read_text(encoding="utf-8"),
    )


def _picture(graph: Graph, place: dict[str, int]) -> str:
    """What the script draws, as JSON that cannot end its element; files without edges are left out.

    {"files": [{path, x (depth), y, ring, place}], "edges": [[from, to, kind, late]]}
    """
    joined = sorted({path for edge in graph.edges for path in (edge.source, edge.target)})
    number = {path: n for n, path in enumerate(joined)}
    needs: dict[int, list[int]] = {n: [] for n in range(len(joined))}
    edges = []
    for edge in graph.edges:
        source, target = number[edge.source], number[edge.target]
        needs[source].append(target)
        late = place[edge.target] > place[edge.source]
        edges.append([source, target, edge.kind, int(late)])
    files = [
        {"path": path, "x": at.column, "y": at.row, "ring": at.ring, "place": place[path]}
        for path, at in zip(joined, layout(joined, needs), strict=True)
    ]
    text = json.dumps({"files": files, "edges": edges}, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _dots(graph: Graph, place: dict[str, int]) -> list[tuple[float, float, bool, float]]:
    """Column (needed), row (needing), whether backwards, and ink from 0 to 1, of each cell."""
    count = max(len(place), 1)
    files = max(count / CELLS, 1.0)  # along a cell's side
    cells: Counter[tuple[int, int, bool]] = Counter()
    for edge in graph.edges:
        column, row = place[edge.target], place[edge.source]
        cells[int(column / files), int(row / files), column > row] += 1
    side = CELLS * files / count
    return [
        (round(column * side, 2), round(row * side, 2), late, min(1.0, 0.35 + 0.65 * hits / files))
        for (column, row, late), hits in sorted(cells.items())
    ]
