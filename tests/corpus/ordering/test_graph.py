"""The graph: edges by hand, and against the ast oracle on whole projects."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from codekiln.corpus.ordering.graph import Edge, Graph, build_graph
from codekiln.corpus.ordering.order import sequences, violations
from codekiln.languages.resolve import is_build_file
from codekiln.types import SourceFile


def files(**texts: str) -> list[SourceFile]:
    named = {path.replace("__", "/") + ".py": text for path, text in texts.items()}
    return [SourceFile(path=p, text=t, language="python") for p, t in named.items()]


def test_edges_say_who_needs_whom_and_why() -> None:
    graph = build_graph(
        files(
            b="import a\n",
            a="def f():\n    import b\n",
            c="from a import x\nif TYPE_CHECKING:\n    import b\n",
        )
    )
    assert graph == Graph(
        files=("a.py", "b.py", "c.py"),
        edges=(
            Edge(source="a.py", target="b.py", kind="local"),
            Edge(source="b.py", target="a.py", kind="import"),
            Edge(source="c.py", target="a.py", kind="import"),
            Edge(source="c.py", target="b.py", kind="type-only"),
        ),
    )


def test_the_firmest_of_several_references_names_the_edge() -> None:
    text = "if TYPE_CHECKING:\n    import a\ndef f():\n    import a\n"
    assert build_graph(files(a="", b=text)).edges[0].kind == "local"
    assert build_graph(files(a="", b=text + "import a\n")).edges[0].kind == "import"


def test_the_order_of_the_files_given_does_not_matter() -> None:
    given = files(b="import a\n", a="import b, c\n", c="")
    assert build_graph(given) == build_graph(given[::-1])


def test_languages_without_resolver_and_empty_repositories() -> None:
    alone = SourceFile(path="a.zig", text='@import("b.zig")', language="zig")
    assert build_graph([alone]) == Graph(files=("a.zig",), edges=())
    assert build_graph([]) == Graph(files=(), edges=())


def test_headers_are_shared_between_c_and_cpp() -> None:
    graph = build_graph(
        [
            SourceFile(path="x.cpp", text='#include "x.h"\n', language="cpp"),
            SourceFile(path="x.h", text='#include "y.h"\n', language="c"),
            SourceFile(path="y.h", text="", language="c"),
        ]
    )
    assert [(e.source, e.target, e.kind) for e in graph.edges] == [
        ("x.cpp", "x.h", "include"),
        ("x.h", "y.h", "include"),
    ]


def test_a_resolver_that_breaks_costs_only_its_own_files(monkeypatch: pytest.MonkeyPatch) -> None:
    from codekiln.languages.c import CResolver
    from codekiln.languages.python import PythonResolver

    given = [
        *files(a="", b="import a\n"),
        SourceFile(path="x.c", text='#include "x.h"\n', language="c"),
        SourceFile(path="x.h", text="", language="c"),
    ]

    def broken(*_: object) -> Any:
        raise IndexError

    with monkeypatch.context() as patch:
        patch.setattr(PythonResolver, "edges", broken)
        graph = build_graph(given)
    assert [(e.source, e.target) for e in graph.edges] == [("x.c", "x.h")]
    assert graph.failed == ("a.py", "b.py")
    monkeypatch.setattr(CResolver, "scan", broken)
    graph = build_graph(given)
    assert [(e.source, e.target) for e in graph.edges] == [("b.py", "a.py")]
    assert graph.failed == ("x.c", "x.h")


def test_other_paths_count_for_resolution_but_are_no_nodes() -> None:
    given = files(p__a="import json\nimport p.b\nimport p\n", p__b="", p__json="")
    alone = build_graph(given)
    assert Edge(source="p/a.py", target="p/json.py", kind="import") in alone.edges  # a script
    graph = build_graph(given, other_paths=["p/__init__.py"])
    assert [(e.source, e.target) for e in graph.edges] == [("p/a.py", "p/b.py")]
    assert graph.files == alone.files


def test_progress_counts_characters() -> None:
    seen: list[float] = []
    build_graph(files(a="1234", b="12"), advance=seen.append)
    assert seen == [4, 2]


def source_distribution(requirement: str) -> Path:
    """An sdist from the package index, kept between runs; skips where it cannot be had."""
    name = requirement.partition(">")[0]
    default = Path.home() / ".cache" / "codekiln" / "tests"
    folder = Path(os.environ.get("CODEKILN_TEST_DATA", default))
    folder.mkdir(parents=True, exist_ok=True)
    found = sorted(folder.glob(f"{name.lower()}-*.tar.gz"))
    if not found:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-binary", ":all:", "--dest", str(folder), requirement]
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=240)
        except (OSError, subprocess.SubprocessError):
            pytest.skip(f"needs the {name} sdist: set CODEKILN_TEST_DATA to a folder that has it")
        found = sorted(folder.glob(f"{name.lower()}-*.tar.gz"))
    return found[-1]


def python_files(archive: Path, *, build: bool = False) -> dict[str, str]:
    """Path -> text of the Python files, or of the build files."""
    texts: dict[str, str] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            path = member.name.partition("/")[2]
            wanted = is_build_file(path) if build else path.endswith((".py", ".pyi", ".pyx"))
            if member.isfile() and wanted:
                handle = tar.extractfile(member)
                assert handle is not None
                texts[path] = handle.read().decode("utf-8", "replace")
    return texts


def graph_of(archive: Path) -> Graph:
    files = [
        SourceFile(path=path, text=text, language="python")
        for path, text in python_files(archive).items()
    ]
    return build_graph(files, build_files=python_files(archive, build=True))


def load_oracle(name: str) -> ModuleType:
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def oracle(requirement: str, least: int) -> Any:
    return pytest.param(requirement, least, marks=pytest.mark.oracle)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("requirement", "least"),
    [
        ("Django>=5,<6", 4000),
        ("SQLAlchemy>=2,<3", 4000),
        oracle("celery>=5,<6", 1000),
        oracle("networkx>=3,<4", 1000),
        oracle("flask>=3,<4", 150),  # src layout
        oracle("google_cloud_storage>=2,<4", 300),  # namespace packages
        oracle("bottle>=0.13,<1", 30),  # flat modules
        oracle("lxml>=5,<7", 100),  # C and Cython between
    ],
)
def test_recall_and_precision_against_ast(requirement: str, least: int) -> None:
    archive = source_distribution(requirement)
    texts = python_files(archive)
    wanted, unparsed = load_oracle("oracle_ast").edges(texts)
    assert len(wanted) > least  # the oracle itself has found the project's imports
    cython = sum(path.endswith(".pyx") for path in texts)
    assert len(unparsed) - cython < 0.02 * len(texts)
    edges = graph_of(archive).edges
    found = {(e.source, e.target) for e in edges if e.source not in set(unparsed)}
    recall = len(found & wanted) / len(wanted)
    precision = len(found & wanted) / len(found)
    print(f"{requirement}: {len(wanted)} edges, recall {recall:.4f}, precision {precision:.4f}")
    assert recall >= 0.99
    assert precision >= 0.98


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("requirement", "root", "package", "least"),
    [
        ("SQLAlchemy>=2,<3", "lib", "sqlalchemy", 1500),
        ("celery>=5,<6", "", "celery", 500),
        ("flask>=3,<4", "src", "flask", 80),
        ("google_cloud_storage>=2,<4", "", "google/cloud", 50),
    ],
)
def test_packages_against_importlib(
    requirement: str, root: str, package: str, least: int, tmp_path: Path
) -> None:
    archive = source_distribution(requirement)
    for path, text in python_files(archive).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    oracle = load_oracle("oracle_importlib")
    top = (tmp_path / root).resolve()
    wanted = oracle.edges(top, package)
    assert len(wanted) > least
    start = f"{root}/" if root else ""
    found = {
        (edge.source.removeprefix(start), edge.target.removeprefix(start))
        for edge in graph_of(archive).edges
        if edge.source.startswith(f"{start}{package}/") and edge.source.endswith(".py")
    }
    recall = len(found & wanted) / len(wanted)
    precision = len(found & wanted) / len(found)
    print(f"{requirement}: {len(wanted)} edges, recall {recall:.4f}, precision {precision:.4f}")
    assert recall >= 0.99
    assert precision >= 0.98


@pytest.mark.oracle
@pytest.mark.parametrize(
    "requirement",
    [
        "sympy>=1.12,<2",
        "Django>=5,<6",
        "SQLAlchemy>=2,<3",
        "celery>=5,<6",
        "networkx>=3,<4",
        "transformers>=4.50,<5",
    ],
)
def test_scc_leaves_at_most_a_quarter_of_the_papers_edges_backwards(requirement: str) -> None:
    graph = graph_of(source_distribution(requirement))
    share = {order: violations(graph, sequences(graph, order)) for order in ("scc", "paper")}
    print(f"{requirement}: scc {share['scc']:.2%}, paper {share['paper']:.2%}")
    assert share["paper"] > 0.1  # it has cycles
    assert share["scc"] <= share["paper"] / 4
