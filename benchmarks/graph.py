"""The graph of files and their order: speed by language, true edges found, edges left backwards.

Sources: the archives of CODEKILN_TEST_DATA (by default ~/.cache/codekiln/tests, where the slow
tests keep theirs), or the repositories named in CODEKILN_BENCH_REPOSITORIES, split by ":".
Peer: the graph builder of IBM's data-prep-kit (`repo_level_ordering`), found as the installed
package `dpk_repo_level_order`, or below the folders that CODEKILN_PEER_DATA_PREP_KIT names, split
by ":" (its `src` folder, and a folder with its dependencies: emerge-viz, pandas, func_timeout,
colorlog and a setuptools before 81).
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from benchmarks.rows import Row, paired
from codekiln import registry
from codekiln.corpus.ordering.graph import Graph, build_graph
from codekiln.corpus.ordering.order import sequences, violations
from codekiln.corpus.sources.read import open_repository
from codekiln.types import SourceFile

PEER = "data-prep-kit"
PEER_VARIABLE = "CODEKILN_PEER_DATA_PREP_KIT"
HOW = f"no peer: set {PEER_VARIABLE} to its src folder (and one with its dependencies)"
PEER_CHARACTERS = 2_000_000  # of each repository and language: the peer is slow
PEER_NAMES = {  # language -> as the peer names it
    "python": "Python",
    "c": "c",
    "cpp": "cpp",
    "java": "Java",
    "javascript": "JavaScript",
    "typescript": "TypeScript",
    "go": "Go",
    "kotlin": "Kotlin",
    "ruby": "Ruby",
}
LEAST_CHARACTERS = 300_000  # of a language in a repository, for a speed to mean something


@dataclass(frozen=True, slots=True)
class _Source:
    """One repository, read."""

    name: str
    files: list[SourceFile]
    build_files: Mapping[str, str]

    @property
    def by_language(self) -> dict[str, list[SourceFile]]:
        known = set(registry.names("resolvers"))
        found: dict[str, list[SourceFile]] = defaultdict(list)
        for file in self.files:
            if file.language in known:
                found[file.language].append(file)
        return {key: files for key, files in found.items() if _size(files) >= LEAST_CHARACTERS}

    def graph(self, files: list[SourceFile]) -> Graph:
        return build_graph(files, build_files=self.build_files)


def run() -> list[Row]:
    """Speeds by language, then a row of each repository, then the peer's side by side."""
    sources = [_read(location) for location in _locations()]
    if not sources:
        note = "no archive at hand: run the slow tests of tests/corpus first"
        return [Row(what="graph", ours=0.0, unit="MB/s", note=note)]
    peer = _peer()
    return [
        *_speeds(sources),
        *(row for source in sources for row in _backwards(source)),
        *(row for source in sources for row in _against(source, peer)),
    ]


def _read(location: str) -> _Source:
    reading = open_repository(location)
    files = list(reading)
    return _Source(reading.name, files, reading.tally.build_files)


def _locations() -> list[str]:
    named = os.environ.get("CODEKILN_BENCH_REPOSITORIES", "")
    if named:
        return named.split(":")
    default = Path.home() / ".cache" / "codekiln" / "tests"
    folder = Path(os.environ.get("CODEKILN_TEST_DATA", default))
    return sorted(
        str(path) for end in ("gz", "bz2", "xz", "tgz") for path in folder.glob(f"*.{end}")
    )


def _size(files: Iterable[SourceFile]) -> int:
    return sum(len(file.text) for file in files)


def _speeds(sources: list[_Source]) -> list[Row]:
    """MB/s a core of graph and order, best of three, by language and over all of them."""
    size: dict[str, int] = defaultdict(int)
    seconds: dict[str, float] = defaultdict(float)
    count: dict[str, int] = defaultdict(int)
    for source in sources:
        for language, files in source.by_language.items():
            spent = min(_core_seconds(lambda s=source, f=files: _ordered(s, f)) for _ in range(3))
            for key in (language, "all languages"):
                size[key] += _size(files)
                seconds[key] += spent
                count[key] += len(files)
    return [
        Row(
            what=f"graph and order: {key}",
            ours=size[key] / 1e6 / seconds[key],
            unit="MB/s a core",
            target=">= 15",
            note=f"{count[key]} files, {size[key] / 1e6:.1f} MB",
        )
        for key in sorted(size)
    ]


def _ordered(source: _Source, files: list[SourceFile]) -> list[list[str]]:
    return sequences(source.graph(files), "scc")


def _backwards(source: _Source) -> list[Row]:
    graph = source.graph(source.files)
    share = {order: violations(graph, sequences(graph, order)) for order in ("scc", "paper")}
    if not share["paper"]:
        return []
    return [
        Row(
            what=f"{source.name}: edges backwards, less is better",
            ours=100 * share["scc"],
            unit="%",
            peer=100 * share["paper"],
            peer_name="Algorithm 1",
            target="<= 0.25x",
            note=f"{len(graph.files)} files, {len(graph.edges)} edges",
        )
    ]


def _against(source: _Source, peer: ModuleType | None) -> list[Row]:
    """Speed of graph and order beside the peer's, and the share of true edges for Python."""
    rows: list[Row] = []
    for language, files in sorted(source.by_language.items()):
        if language not in PEER_NAMES:
            continue
        files = _sample(files)
        what = f"{source.name}, {language}: graph and order"
        size = _size(files) / 1e6
        note = f"{len(files)} files, {size:.1f} MB"
        if peer is None:
            seconds = _core_seconds(lambda s=source, f=files: _ordered(s, f))
            rows.append(Row(what=what, ours=size / seconds, unit="MB/s", target=">= 5x", note=HOW))
            continue
        frame = _frame(files)
        mine, other = paired(
            lambda s=source, f=files: _ordered(s, f),
            lambda frame=frame: _peer_order(peer, frame),
            rounds=3,
        )
        rows.append(
            Row(what=what, ours=size / mine, unit="MB/s", peer=size / other, peer_name=PEER,
                target=">= 5x", note=note)
        )  # fmt: skip
        if language == "python":
            rows.append(_true_edges(source, files, _peer_edges(peer, frame)))
    return rows


def _true_edges(source: _Source, files: list[SourceFile], theirs: set[tuple[str, str]]) -> Row:
    true, _ = _oracle().edges({file.path: file.text for file in files})
    share = 100 / max(len(true), 1)
    ours = {(edge.source, edge.target) for edge in source.graph(files).edges}
    return Row(
        what=f"{source.name}: true edges found",
        ours=share * len(true & ours),
        unit="%",
        peer=share * len(true & theirs),
        peer_name=PEER,
        target="> peer",
        note=f"{len(true)} by the ast oracle",
    )


def _sample(files: list[SourceFile]) -> list[SourceFile]:
    """The repository, or as much of it, folder by folder, as the peer can do in a while."""
    kept: list[SourceFile] = []
    size = 0
    for file in sorted(files, key=lambda file: file.path):
        size += len(file.text)
        if kept and size > PEER_CHARACTERS:
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
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
            "language": PEER_NAMES[file.language],
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
