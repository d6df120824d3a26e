"""The import graph and the order of files: speed, true edges found, edges left backwards.

Sources: the sdists of CODEKILN_TEST_DATA (by default ~/.cache/codekiln/tests, where the slow
tests keep theirs), or the repositories named in CODEKILN_BENCH_REPOSITORIES, split by ":".
Peer: the graph builder of IBM's data-prep-kit (`repo_level_ordering`), found as the installed
package `dpk_repo_level_order`, or below the folders that CODEKILN_PEER_DATA_PREP_KIT names, split
by ":" (its `src` folder, and a folder with its dependencies).
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from benchmarks.rows import Row, paired
from codekiln.corpus.ordering.graph import Graph, build_graph
from codekiln.corpus.ordering.order import sequences, violations
from codekiln.corpus.sources.read import open_repository
from codekiln.languages.python_scan import scan
from codekiln.types import SourceFile

PEER = "data-prep-kit"
PEER_VARIABLE = "CODEKILN_PEER_DATA_PREP_KIT"
HOW = f"no peer: set {PEER_VARIABLE} to its src folder (and one with emerge-viz, pandas)"
PEER_CHARACTERS = 6_000_000  # of each repository: the peer is slow


def run() -> list[Row]:
    """Rows for each repository at hand."""
    peer = _peer()
    rows: list[Row] = []
    for location in _locations():
        reading = open_repository(location)
        files = [file for file in reading if file.language == "python"]
        rows += _rows(reading.name, files, peer)
    if not rows:
        note = "no sdist at hand: run the slow tests of tests/corpus first"
        rows.append(Row(what="graph", ours=0.0, unit="MB/s", note=note))
    return rows


def _locations() -> list[str]:
    named = os.environ.get("CODEKILN_BENCH_REPOSITORIES", "")
    if named:
        return named.split(":")
    default = Path.home() / ".cache" / "codekiln" / "tests"
    folder = Path(os.environ.get("CODEKILN_TEST_DATA", default))
    return sorted(str(path) for path in folder.glob("*.tar.gz"))


def _rows(name: str, files: list[SourceFile], peer: ModuleType | None) -> list[Row]:
    size = sum(len(file.text) for file in files) / 1e6
    graph = build_graph(files)
    seconds = min(_core_seconds(lambda: [scan(file.text) for file in files]) for _ in range(5))
    rows = [
        Row(what=f"{name}: imports", ours=size / seconds, unit="MB/s a core", target=">= 100"),
        _backwards(name, graph),
    ]
    return rows + _against(name, _sample(files), peer)


def _backwards(name: str, graph: Graph) -> Row:
    share = {order: violations(graph, sequences(graph, order)) for order in ("scc", "paper")}
    return Row(
        what=f"{name}: edges backwards, less is better",
        ours=100 * share["scc"],
        unit="%",
        peer=100 * share["paper"],
        peer_name="Algorithm 1",
        note=f"{len(graph.files)} files, {len(graph.edges)} edges",
    )


def _against(name: str, files: list[SourceFile], peer: ModuleType | None) -> list[Row]:
    """Speed of graph and order, and the share of true edges, on one sample of files."""
    size = sum(len(file.text) for file in files) / 1e6
    texts = {file.path: file.text for file in files}
    true, _ = _oracle().edges(texts)
    share = 100 / max(len(true), 1)
    graph = build_graph(files)
    ours = share * len(true & {(edge.source, edge.target) for edge in graph.edges})
    speed, edges = f"{name}: graph and order", f"{name}: true edges found"
    if peer is None:
        seconds = _core_seconds(lambda: sequences(build_graph(files), "scc"))
        return [
            Row(what=speed, ours=size / seconds, unit="MB/s", target=">= 10x", note=HOW),
            Row(what=edges, ours=ours, unit="%", target="> peer", note=HOW),
        ]
    frame = _frame(files)
    theirs = _peer_edges(peer, frame)
    mine, other = paired(  # both have run once already
        lambda: sequences(build_graph(files), "scc"),
        lambda: _peer_order(peer, frame),
        rounds=3,
        warmup=0,
    )
    note = f"{len(files)} files, {size:.1f} MB"
    return [
        Row(what=speed, ours=size / mine, unit="MB/s", peer=size / other, peer_name=PEER,
            target=">= 10x", note=note),
        Row(what=edges, ours=ours, unit="%", peer=share * len(true & theirs), peer_name=PEER,
            target="> peer", note=f"{len(true)} by the ast oracle"),
    ]  # fmt: skip


def _sample(files: list[SourceFile]) -> list[SourceFile]:
    """The repository, or as much of it, folder by folder, as the peer can do in a while."""
    kept: list[SourceFile] = []
    size = 0
    for file in sorted(files, key=lambda file: file.path):
        size += len(file.text)
        if size > PEER_CHARACTERS:
            break
        kept.append(file)
    return kept


def _core_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _oracle() -> ModuleType:
    folder = str(Path(__file__).resolve().parents[1] / "tests" / "corpus" / "ordering")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("oracle_ast")
    finally:
        sys.path.remove(folder)


def _peer() -> ModuleType | None:
    """The peer's package with its builder and its sort, or None."""
    for folder in os.environ.get(PEER_VARIABLE, "").split(":"):
        if folder and folder not in sys.path:
            sys.path.append(folder)
    place = "dpk_repo_level_order.internal.sorting.semantic_ordering"
    try:
        package = importlib.import_module(place)
        importlib.import_module(f"{place}.build_dep_graph")
        importlib.import_module(f"{place}.topological_sort")
    except ImportError:
        return None
    logging.disable(logging.INFO)  # it logs every file
    return package


def _frame(files: list[SourceFile]):  # type: ignore[no-untyped-def]
    import pandas

    rows = [
        {
            "new_title": file.path,
            "contents": file.text,
            "ext": "." + file.path.rpartition(".")[2],
            "language": "Python",
            "repo_name": "owner/repository",
        }
        for file in files
    ]
    return pandas.DataFrame(rows)


def _peer_graph(peer: ModuleType, frame):  # type: ignore[no-untyped-def]
    return peer.build_dep_graph.build_edges(frame, logging.getLogger("peer"))


def _peer_edges(peer: ModuleType, frame) -> set[tuple[str, str]]:  # type: ignore[no-untyped-def]
    return {(after, before) for before, after in _peer_graph(peer, frame).edges}


def _peer_order(peer: ModuleType, frame) -> object:  # type: ignore[no-untyped-def]
    return peer.topological_sort.topo_sort_components(_peer_graph(peer, frame))
