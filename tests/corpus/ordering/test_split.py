"""Splitting: against brute force over all ways to cut, and by hand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.corpus.ordering.graph import FIRMNESS, Edge, Graph
from codekiln.corpus.ordering.split import estimated_tokens, lost, split, split_all

KINDS = ("import", "local", "type-only")


@st.composite
def samples(draw: st.DrawFn) -> tuple[list[str], dict[str, int], Graph, int]:
    """A sample in some order, sizes, a graph that also reaches outside, and a limit."""
    count = draw(st.integers(1, 10))
    names = [f"f{number}" for number in range(count)]
    node = st.integers(0, count)  # the last one stands for a file outside
    pairs = draw(st.sets(st.tuples(node, node).filter(lambda p: p[0] != p[1]), max_size=30))
    edges = tuple(
        Edge(source=f"f{a}", target=f"f{b}", kind=draw(st.sampled_from(KINDS)))  # type: ignore[arg-type]
        for a, b in sorted(pairs)
    )
    sizes = {name: draw(st.integers(0, 6)) for name in names}
    graph = Graph(files=(*names, f"f{count}"), edges=edges)
    return draw(st.permutations(names)), sizes, graph, draw(st.integers(1, 20))


def weight_lost(pieces: Sequence[Sequence[str]], graph: Graph) -> int:
    home = {path: number for number, piece in enumerate(pieces) for path in piece}
    return sum(
        FIRMNESS[edge.kind]
        for edge in graph.edges
        if edge.source in home and edge.target in home and home[edge.source] != home[edge.target]
    )


def all_ways(sample: Sequence[str], sizes: dict[str, int], limit: int) -> list[list[list[str]]]:
    ways = []
    for cuts in itertools.product((False, True), repeat=len(sample) - 1):
        pieces = [[sample[0]]]
        for path, cut in zip(sample[1:], cuts, strict=True):
            if cut:
                pieces.append([])
            pieces[-1].append(path)
        if all(len(p) == 1 or sum(sizes[path] for path in p) <= limit for p in pieces):
            ways.append(pieces)
    return ways


@given(samples())
@settings(max_examples=400, deadline=None)
def test_no_way_to_cut_loses_less(
    case: tuple[list[str], dict[str, int], Graph, int],
) -> None:
    sample, sizes, graph, limit = case
    pieces = split(sample, sizes, graph, limit)
    assert [path for piece in pieces for path in piece] == sample
    ways = all_ways(sample, sizes, limit)
    assert [list(piece) for piece in pieces] in ways  # each within the limit, or a file alone
    best = min((weight_lost(way, graph), len(way)) for way in ways)
    assert (weight_lost(pieces, graph), len(pieces)) == best


@given(st.lists(samples(), min_size=1, max_size=4), st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_many_samples_are_split_as_each_alone(
    cases: list[tuple[list[str], dict[str, int], Graph, int]], limit: int
) -> None:
    named = []
    sizes: dict[str, int] = {}
    edges: list[Edge] = []
    for number, (sample, own, graph, _) in enumerate(cases):
        named.append([f"{number}/{path}" for path in sample])
        sizes |= {f"{number}/{path}": size for path, size in own.items()}
        edges += [
            Edge(source=f"{number}/{e.source}", target=f"{number}/{e.target}", kind=e.kind)
            for e in graph.edges
        ]
    whole = Graph(files=tuple(sizes), edges=tuple(edges))
    alone = [piece for sample in named for piece in split(sample, sizes, whole, limit)]
    assert split_all(named, sizes, whole, limit) == alone


def graph_of(*pairs: str) -> Graph:
    edges = tuple(Edge(source=a, target=b, kind="import") for a, b in pairs)
    return Graph(files=tuple("abcdef"), edges=edges)


def test_the_cut_falls_where_little_lies_across() -> None:
    graph = graph_of("ba", "ca", "cb", "ed", "fd", "fe", "fa")
    sizes = dict.fromkeys("abcdef", 10)
    assert split("abcdef", sizes, graph, 60) == [tuple("abcdef")]
    pieces = split("abcdef", sizes, graph, 40)
    assert pieces == [("a", "b", "c"), ("d", "e", "f")]  # not after four, although they fit
    assert lost(graph, ["abcdef"], pieces) == pytest.approx(1 / 7)
    assert lost(graph, ["abc", "def"], pieces) == 0  # what was apart before is not lost here
    assert lost(graph_of(), ["abc"], pieces) == 0


def test_a_file_over_the_limit_stands_alone() -> None:
    sizes = dict.fromkeys("abcdef", 1) | {"c": 99}
    pieces = split("abcdef", sizes, graph_of("cb", "dc"), 10)
    assert pieces == [("a", "b"), ("c",), ("d", "e", "f")]
    assert split("", sizes, graph_of(), 10) == []


def test_tokens_are_estimated_by_bytes_and_rounded_up() -> None:
    assert estimated_tokens({"a": 0, "b": 1, "c": 7, "d": 8}, 3.5) == {
        "a": 0,
        "b": 1,
        "c": 2,
        "d": 3,
    }


def test_empty_files_without_end_and_a_hub_take_near_linear_time() -> None:
    """A window as wide as the sample: quadratic work would take minutes."""
    names = [f"{number:06d}" for number in range(20_000)]
    edges = [Edge(source=name, target=names[0], kind="import") for name in names[1:]]
    edges += [Edge(source=b, target=a, kind="import") for a, b in itertools.pairwise(names[1:])]
    sizes = dict.fromkeys(names, 0) | {names[-1]: 2, names[0]: 2}
    pieces = split(names, sizes, Graph(files=tuple(names), edges=tuple(edges)), 3)
    assert [len(piece) for piece in pieces] in ([19_999, 1], [1, 19_999])
