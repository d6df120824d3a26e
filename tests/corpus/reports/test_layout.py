"""Places in the picture of a graph, against what they promise."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codekiln.corpus.ordering.cycles import strong_components
from codekiln.corpus.reports.layout import layout

GRAPHS = st.integers(1, 12).flatmap(
    lambda count: st.lists(st.lists(st.integers(0, count - 1), max_size=3), min_size=count,
                           max_size=count)
)  # fmt: skip


@given(GRAPHS)
def test_needs_stand_further_left_and_cycles_together(graph: list[list[int]]) -> None:
    files = [f"f{n:02d}" for n in range(len(graph))]
    needs = {n: [other for other in others if other != n] for n, others in enumerate(graph)}
    places = layout(files, needs)
    part = {}
    for number, members in enumerate(strong_components(range(len(files)), needs)):
        part |= dict.fromkeys(members, number)
    for node, others in needs.items():
        for other in others:
            if part[node] == part[other]:
                assert places[node].column == places[other].column
                assert places[node].ring == places[other].ring > 0
            else:
                assert places[node].column > places[other].column
    assert len({(place.column, place.row) for place in places}) == len(files)


def test_no_files() -> None:
    assert layout([], {}) == []
