"""Orders: Algorithm 1 against its literal transcription, cycles against brute force."""

from __future__ import annotations

import hashlib
import itertools

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.corpus.ordering.cycles import greedy_order, improved_order, strong_components
from codekiln.corpus.ordering.graph import Edge, Graph
from codekiln.corpus.ordering.order import ORDERS, cycles, sequences, violations


def graph_of(count: int, pairs: set[tuple[int, int]], kinds: str = "i") -> Graph:
    names = [f"f{number:02d}" for number in range(count)]
    spelt = {"i": "import", "l": "local", "t": "type-only", "c": "conditional"}
    edges = tuple(
        Edge(source=names[a], target=names[b], kind=spelt[kinds[at % len(kinds)]])  # type: ignore[arg-type]
        for at, (a, b) in enumerate(sorted(pairs))
    )
    return Graph(files=tuple(names), edges=edges)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(1, 12))
    node = st.integers(0, count - 1)
    pairs = draw(
        st.sets(st.tuples(node, node).filter(lambda pair: pair[0] != pair[1]), max_size=40)
    )
    return graph_of(count, pairs, draw(st.text("iltc", min_size=1, max_size=5)))


def algorithm_1(graph: Graph, seed: int) -> list[list[str]]:
    """The paper's listing, line by line; ties go by a hash of seed and path."""
    depends = {(edge.source, edge.target) for edge in graph.edges}
    graphs: dict[str, list[str]] = {}
    in_degree: dict[str, int] = {}
    for file in graph.files:
        graphs[file] = []
        in_degree[file] = 0
    for file_a in graph.files:
        for file_b in graph.files:
            if (file_a, file_b) in depends:
                graphs[file_b].append(file_a)
                in_degree[file_a] = in_degree[file_a] + 1
    all_results = []
    for subgraph in disconnected_subgraphs(graphs):
        results: list[str] = []
        while len(results) != len(subgraph):
            rest = [file for file in subgraph if file not in results]
            file = min(rest, key=lambda file: (in_degree[file], tie(file, seed)))
            for node in graphs[file]:
                in_degree[node] = in_degree[node] - 1
            results.append(file)
        all_results.append(results)
    return all_results


def disconnected_subgraphs(graphs: dict[str, list[str]]) -> list[list[str]]:
    undirected = networkx.Graph({file: list(after) for file, after in graphs.items()})
    return sorted(sorted(part) for part in networkx.connected_components(undirected))


def tie(file: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{file}".encode(), digest_size=16).digest()


@given(graphs(), st.integers(0, 5))
@settings(max_examples=300, deadline=None)
def test_the_papers_order_is_algorithm_1(graph: Graph, seed: int) -> None:
    assert sequences(graph, "paper", seed) == algorithm_1(graph, seed)


def test_algorithm_1_by_hand() -> None:
    """b needs a, c needs b, d needs b and c; e stands alone; x and y need each other."""
    graph = graph_of(7, {(1, 0), (2, 1), (3, 1), (3, 2), (5, 6), (6, 5)})
    first, second, third = sequences(graph, "paper", seed=0)
    assert first == ["f00", "f01", "f02", "f03"]
    assert second == ["f04"]
    assert sorted(third) == ["f05", "f06"]
    seen = {tuple(sequences(graph, "paper", seed)[2]) for seed in range(20)}
    assert len(seen) == 2  # the tie falls both ways, by the seed


@given(graphs(), st.sampled_from(ORDERS))
@settings(max_examples=200, deadline=None)
def test_every_order_holds_each_file_once_in_its_subgraph(graph: Graph, order: str) -> None:
    ordered = sequences(graph, order, seed=3)  # type: ignore[arg-type]
    assert sorted(itertools.chain(*ordered)) == list(graph.files)
    assert [min(sequence) for sequence in ordered] == sorted(min(s) for s in ordered)
    assert sorted(sorted(s) for s in ordered) == disconnected_subgraphs(adjacency(graph))
    assert ordered == sequences(graph, order, seed=3)  # type: ignore[arg-type]


def adjacency(graph: Graph) -> dict[str, list[str]]:
    after: dict[str, list[str]] = {file: [] for file in graph.files}
    for edge in graph.edges:
        after[edge.target].append(edge.source)
    return after


@given(graphs())
@settings(max_examples=200, deadline=None)
def test_scc_turns_edges_backwards_only_within_cycles(graph: Graph) -> None:
    ordered = sequences(graph, "scc")
    place = {path: at for at, path in enumerate(itertools.chain(*ordered))}
    directed = networkx.DiGraph(adjacency(graph))
    component = {
        file: number
        for number, part in enumerate(networkx.strongly_connected_components(directed))
        for file in part
    }
    for edge in graph.edges:
        if place[edge.target] > place[edge.source]:
            assert component[edge.source] == component[edge.target]
    wanted = [p for p in networkx.strongly_connected_components(directed) if len(p) > 1]
    assert sorted(cycles(graph)) == sorted(sorted(part) for part in wanted)
    if not wanted:
        assert violations(graph, ordered) == 0


def test_within_a_cycle_the_weaker_edges_give_way() -> None:
    """Two firm edges and one weak one in a ring: the weak one runs backwards, wherever it lies."""
    for at, weak in itertools.product(range(3), ("l", "t")):
        kinds = "".join(weak if place == at else "i" for place in range(3))
        graph = graph_of(3, {(0, 1), (1, 2), (2, 0)}, kinds)
        (ordered,) = sequences(graph, "scc")
        late = [e for e in graph.edges if ordered.index(e.target) > ordered.index(e.source)]
        assert [edge.kind for edge in late] == [{"l": "local", "t": "type-only"}[weak]]


@given(graphs())
@settings(max_examples=200, deadline=None)
def test_single_moves_never_do_harm_and_stop_where_none_helps(graph: Graph) -> None:
    number = {path: at for at, path in enumerate(graph.files)}
    needs: list[list[int]] = [[] for _ in graph.files]
    for edge in graph.edges:
        needs[number[edge.source]].append(number[edge.target])

    def unmet(order: list[int]) -> int:
        place = {node: at for at, node in enumerate(order)}
        return sum(place[other] > place[node] for node in place for other in needs[node])

    nodes = list(range(len(graph.files)))
    start = greedy_order(nodes, needs)
    assert sorted(start) == nodes
    assert unmet(start) <= len(graph.edges) / 2  # what Eades, Lin and Smyth promise
    better = improved_order(start, needs, lambda node, other: 1, rounds=100)
    assert unmet(better) <= unmet(start)
    for node in nodes:
        rest = [one for one in better if one != node]
        moves = ([*rest[:at], node, *rest[at:]] for at in range(len(nodes)))
        assert unmet(better) <= min(map(unmet, moves))


def test_a_node_is_not_held_back_by_one_that_it_needs_and_that_needs_it() -> None:
    needs = [[1, 2, 3], [3], [1], [0]]
    assert improved_order([1, 2, 0, 3], needs, lambda node, other: 1) == [3, 1, 2, 0]


def test_violations_count_what_comes_later() -> None:
    graph = graph_of(4, {(0, 1), (1, 2), (2, 3), (0, 3)})
    assert violations(graph, [["f03", "f02", "f01", "f00"]]) == 0
    assert violations(graph, [["f00", "f01", "f02", "f03"]]) == 1
    assert violations(graph, [["f01", "f00"], ["f03", "f02"]]) == 0.5
    assert violations(graph, [["f01", "f00"]]) == 0  # edges of files that are not there
    assert violations(Graph(files=("a",), edges=()), [["a"]]) == 0


def test_what_a_file_needs_stands_near_before_it() -> None:
    graph = graph_of(6, {(0, 5), (2, 4)})
    assert sequences(graph, "scc") == [["f05", "f00"], ["f01"], ["f04", "f02"], ["f03"]]


@pytest.mark.parametrize("order", ORDERS)
def test_depth_is_no_limit_and_time_is_near_linear(order: str) -> None:
    """A chain of 20,000 files, closed to a ring: far beyond any recursion limit."""
    count = 20_000
    names = tuple(f"{number:06d}" for number in range(count))
    edges = tuple(
        Edge(source=names[at], target=names[(at + 1) % count], kind="import") for at in range(count)
    )
    graph = Graph(files=names, edges=edges)
    (ordered,) = sequences(graph, order)  # type: ignore[arg-type]
    assert len(ordered) == count
    if order == "scc":
        assert violations(graph, [ordered]) == 1 / count


def test_components_come_behind_what_they_need() -> None:
    needs = [[1], [2], [1], []]  # 0 needs the cycle 1-2; 3 is alone
    assert strong_components(range(4), needs) == [[1, 2], [0], [3]]
