"""The graph: edges by hand, and against the ast oracle on whole projects."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from codekiln.corpus.ordering.graph import Edge, Graph, build_graph
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


def python_files(archive: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            path = member.name.partition("/")[2]
            if member.isfile() and path.endswith((".py", ".pyi", ".pyx")):
                handle = tar.extractfile(member)
                assert handle is not None
                texts[path] = handle.read().decode("utf-8", "replace")
    return texts


def load_oracle() -> Callable[[Mapping[str, str]], tuple[set[tuple[str, str]], list[str]]]:
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        from oracle_ast import edges
    finally:
        sys.path.pop(0)
    return edges


@pytest.mark.slow
@pytest.mark.parametrize("requirement", ["Django>=5,<6", "SQLAlchemy>=2,<3"])
def test_recall_and_precision_against_ast(requirement: str) -> None:
    oracle = load_oracle()
    texts = python_files(source_distribution(requirement))
    wanted, unparsed = oracle(texts)
    assert len(wanted) > 4000  # the oracle itself has found the project's imports
    assert len(unparsed) < 0.02 * len(texts)
    graph = build_graph([SourceFile(path=p, text=t, language="python") for p, t in texts.items()])
    found = {(e.source, e.target) for e in graph.edges if e.source not in set(unparsed)}
    recall = len(found & wanted) / len(wanted)
    precision = len(found & wanted) / len(found)
    print(f"{requirement}: {len(wanted)} edges, recall {recall:.4f}, precision {precision:.4f}")
    assert recall >= 0.98
    assert precision >= 0.98
