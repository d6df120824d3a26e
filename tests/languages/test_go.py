"""Go: packages and names by hand; edges against go/types and `go list` on whole projects."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codekiln.corpus.ordering.graph import Graph, build_graph
from codekiln.languages.go_build import constraint, relation
from codekiln.languages.go_scan import GoFile, scan
from codekiln.types import SourceFile


def graph(texts: Mapping[str, str]) -> Graph:
    built = {p: t for p, t in texts.items() if p.endswith(("go.mod", "go.work"))}
    files = [
        SourceFile(path=p, text=t, language="go") for p, t in texts.items() if p.endswith(".go")
    ]
    return build_graph(files, build_files=built)


def edges(texts: Mapping[str, str]) -> set[tuple[str, str, str]]:
    return {(e.source, e.target, e.kind) for e in graph(texts).edges}


def read(text: str, path: str = "a.go") -> GoFile:
    found = scan(path, text, {})
    assert found is not None
    return found


def test_imports_are_read_in_every_form() -> None:
    found = read(
        '// c\n/* d */ package p // e\nimport "a"; import b `c/d`\nimport (\n\t_ "x" // y\n'
        '\t. "z"\n\n\t/* "no" */ q "r/s"; "t"\n)\nvar s = `import "u"`\n'
    )
    assert found.package == "p"
    assert found.imports == (
        ("", "a"), ("b", "c/d"), ("_", "x"), (".", "z"), ("q", "r/s"), ("", "t"),
    )  # fmt: skip


def test_declarations_are_those_at_the_top() -> None:
    found = read(
        "package p\nconst A, b = 1, 2\nconst (\n\tC = iota\n\tD\n)\ntype (\n\tE struct {\n"
        "\t\tF int\n\t}\n)\ntype G[T any] struct{}\nfunc (g G) H() {\n\tvar i int\n}\n"
        "func J[T any](k T) {}\n"
        "var s = `\nvar L = 1\n`\n/*\nvar M = 1\n*/\nfunc init() {}\n"
    )
    assert set(found.declares) == {"A", "b", "C", "D", "E", "G", "J", "s"}
    assert found.starts


def test_uses_leave_out_what_the_file_has_itself() -> None:
    found = read(
        'package p\nfunc f(a, b int, c T) U {\n\td, e := g(a), "text"\n\th.I(j.\n\t\tK, l...)\n'
        "\treturn m[N](x.y.Z)\n}\nfunc (r *R) Q() {}\n"
    )
    assert {"T", "U", "g", "h", "j", "l", "m", "N", "x", "R"} <= set(found.uses)
    assert not {"f", "a", "b", "c", "d", "e", "text", "K", "I", "Q", "return"} & set(found.uses)
    assert set(found.selects) == {"h.I", "j.K"}


@pytest.mark.parametrize("text", ["", "x", "package", "<html>", "// package p"])
def test_what_is_no_go_file_says_nothing(text: str) -> None:
    assert scan("a.go", text, {}) is None


def test_names_lead_to_the_files_of_a_package() -> None:
    found = edges(
        {
            "go.mod": "module example.com/m\n",
            "main.go": 'package main\nimport "example.com/m/p"\nfunc main() { p.A(); help() }\n',
            "help.go": "package main\nfunc help() {}\n",
            "p/a.go": "package p\nfunc A() { b() }\n",
            "p/b.go": "package p\nfunc b() {}\n",
            "p/c.go": "package p\nfunc C() {}\n",
        }
    )
    assert found == {
        ("main.go", "p/a.go", "import"),
        ("main.go", "help.go", "use"),
        ("p/a.go", "p/b.go", "use"),
    }


def test_imports_without_a_name_need_what_stands_for_the_package() -> None:
    texts = {
        "go.mod": 'module "m"\n',
        "a.go": 'package a\nimport (\n_ "m/started"\n_ "m/documented"\n"m/named"\n"C"\n)\n',
        "started/x.go": "package started\nfunc init() {}\n",
        "started/y.go": "package started\n",
        "documented/doc.go": "package documented\n",
        "documented/a.go": "package documented\n",
        "named/a.go": "package named\n",
        "named/named.go": "package named\n",
    }
    assert edges(texts) == {
        ("a.go", "started/x.go", "import"),
        ("a.go", "documented/doc.go", "import"),
        ("a.go", "named/named.go", "import"),
    }


def test_packages_are_known_by_their_clause_and_dots_open_them() -> None:
    texts = {
        "go.mod": "module m\n",
        "a.go": 'package a\nimport (\n"m/go-y"\n. "m/dot"\nz "m/q"\n)\nvar _ = y.F(D, z.G)\n',
        "go-y/y.go": "package y\nfunc F() {}\n",
        "dot/d.go": "package dot\nvar D = 1\n",
        "q/q.go": "package q\nvar G = 1\n",
    }
    assert {(s, t) for s, t, _ in edges(texts)} == {
        ("a.go", "go-y/y.go"), ("a.go", "dot/d.go"), ("a.go", "q/q.go"),
    }  # fmt: skip


USE_P = 'package a\nimport "%s"\nvar _ = p.A\n'
P = "package p\nvar A = 1\n"


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        ({"go.mod": "module m\n", "a/a.go": USE_P % "m/p", "p/p.go": P}, "p/p.go"),
        ({"x/go.mod": "module m/v2\n", "a.go": USE_P % "m/v2/p", "x/p/p.go": P}, "x/p/p.go"),
        (
            {
                "go.mod": "module m\nreplace (\n\tother.org/q v1.0 => ./third\n)\n",
                "a.go": USE_P % "other.org/q/p",
                "third/p/p.go": P,
            },
            "third/p/p.go",
        ),
        (
            {
                "go.mod": "module m\n",
                "a/a.go": USE_P % "y.org/p",
                "vendor/y.org/p/p.go": P,
                "a/vendor/y.org/p/p.go": P,
            },
            "a/vendor/y.org/p/p.go",
        ),
        ({"src/a/a.go": USE_P % "h.org/p", "src/h.org/p/p.go": P}, "src/h.org/p/p.go"),
        ({"a/a.go": USE_P % "h.org/u/r/p", "p/p.go": P}, "p/p.go"),
        (
            {"src/go.mod": "module std\n", "src/a/a.go": USE_P % "x/p", "src/x/p/p.go": P},
            "src/x/p/p.go",
        ),
        ({"a/a.go": USE_P % "../p", "p/p.go": P}, "p/p.go"),
    ],
)
def test_where_import_paths_lead(texts: dict[str, str], wanted: str) -> None:
    assert [e.target for e in graph(texts).edges] == [wanted]


def test_tests_see_tests_and_are_not_seen() -> None:
    texts = {
        "go.mod": "module m\n",
        "a.go": "package m\nvar A = t\n",
        "a_test.go": "package m\nvar t = u + A\n",
        "b_test.go": "package m\nvar u = 1\n",
        "export_test.go": "package m\nvar Shown = 1\n",
        "x_test.go": 'package m_test\nimport "m"\nvar _ = m.Shown + m.A\n',
    }
    assert {(s, t) for s, t, _ in edges(texts)} == {
        ("a_test.go", "b_test.go"),
        ("a_test.go", "a.go"),
        ("x_test.go", "export_test.go"),
        ("x_test.go", "a.go"),
    }


def test_files_for_other_platforms() -> None:
    texts = {
        "a.go": "package m\nvar A = open\n",
        "o_linux.go": "package m\nvar open = helper\n",
        "o_windows.go": "//go:build windows\n\npackage m\nvar open = helper\n",
        "h_linux.go": "package m\nvar helper = 1\n",
        "h_windows.go": "package m\nvar helper = 1\n",
        "tool.go": "//go:build ignore\n\npackage m\nvar tool = open\n",
        "b.go": "package m\nvar B = tool\n",
    }
    assert edges(texts) == {
        ("a.go", "o_linux.go", "conditional"),
        ("a.go", "o_windows.go", "conditional"),
        ("o_linux.go", "h_linux.go", "use"),
        ("o_windows.go", "h_windows.go", "use"),
    }


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        ("", "", "firm"),
        ("", "linux", "conditional"),
        ("linux", "", "firm"),
        ("linux && amd64", "linux", "firm"),
        ("linux", "unix", "firm"),
        ("unix", "linux", "conditional"),
        ("linux", "windows", "excluded"),
        ("android", "linux", "firm"),
        ("cgo", "!cgo", "excluded"),
        ("linux", "!windows && (amd64 || arm64)", "conditional"),
        ("!(linux || darwin)", "linux", "excluded"),
        ("", "go1.18", "firm"),
        ("((", "))", "firm"),
    ],
)
def test_relations_of_constraints(one: str, other: str, wanted: str) -> None:
    assert relation(one, other) == wanted


def test_constraints_come_from_names_and_lines() -> None:
    assert constraint("p/x_linux_amd64_test.go", "") == "linux && amd64"
    assert constraint("linux.go", "") == ""
    assert constraint("a.go", "// +build linux,!cgo darwin\n\n") == "(linux && !cgo || darwin)"
    assert constraint("a_arm.go", "//go:build a || b\n") == "arm && (a || b)"


TOKENS = st.sampled_from(
    [
        "package p\n",
        "import (",
        "import",
        '"a/b"',
        "`",
        '"',
        "'",
        "//",
        "/*",
        "*/",
        "(",
        ")",
        "{",
        "}",
        "\n",
        "\t",
        "func ",
        "func (",
        "type ",
        "var (\n",
        "const ",
        ":=",
        "x",
        "y.Z",
        "...",
        ".",
        ",",
        "\\",
        "//go:build ",
        "!linux",
        "&&",
        "\x00",
        "é",
        "\ufeff",
        "\r",
    ]
)


@given(st.lists(TOKENS, max_size=60).map("".join))
def test_no_text_breaks_the_scan(text: str) -> None:
    for whole in (text, "package p\n" + text):
        found = graph({"a.go": whole, "b_linux.go": whole, "go.mod": text, "c/d.go": whole})
        assert found.failed == ()


def go(*arguments: str, cwd: Path, **environment: str) -> str:
    if shutil.which("go") is None:
        pytest.skip("needs go")
    done = subprocess.run(
        ["go", *arguments],
        cwd=cwd,
        env={**os.environ, "GOPROXY": "off", "GOFLAGS": "-mod=mod", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def listed(root: Path) -> tuple[set[tuple[str, str]], set[str]]:
    """Pairs of folders as `go list` has them, and all files that it would compile."""
    packages: list[dict[str, Any]] = []
    rest = go("list", "-e", "-json", "./...", cwd=root, GO111MODULE="on").lstrip()
    while rest:
        package, end = json.JSONDecoder().raw_decode(rest)
        packages.append(package)
        rest = rest[end:].lstrip()
    folder = {p["ImportPath"]: Path(p["Dir"]).relative_to(root).as_posix() for p in packages}
    sources = ("GoFiles", "CgoFiles")
    compiled = {p["ImportPath"] for p in packages if any(p.get(kind) for kind in sources)}
    active = {
        (Path(folder[p["ImportPath"]]) / name).as_posix()
        for p in packages
        for kind in (*sources, "TestGoFiles", "XTestGoFiles")
        for name in p.get(kind) or ()
    }
    pairs = {
        (folder[p["ImportPath"]], folder[target])
        for p in packages
        for kind in ("Imports", "TestImports", "XTestImports")
        for target in p.get(kind) or ()
        if target in compiled and target != p["ImportPath"]
    }
    return pairs, active


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("package", "module", "pairs"),
    [
        ("golang-golang-x-tools-dev", "golang.org/x/tools", 400),
        ("golang-golang-x-net-dev", "golang.org/x/net", 30),
    ],
)
def test_recall_and_precision_against_the_go_tools(
    debian_package: Callable[[str], Path], package: str, module: str, pairs: int
) -> None:
    root = (debian_package(package) / "usr/share/gocode/src" / module).resolve()
    wanted, active = listed(root)
    assert len(wanted) >= pairs  # the oracle itself has found the project's imports
    texts = {
        p.relative_to(root).as_posix(): p.read_text("utf-8", "replace")
        for pattern in ("*.go", "go.mod")
        for p in root.rglob(pattern)
        if p.is_file()
    }
    ours = {(e.source, e.target) for e in graph(texts).edges if e.source in active}
    projected = {
        (Path(s).parent.as_posix(), Path(t).parent.as_posix())
        for s, t in ours
        if Path(s).parent != Path(t).parent
    }
    quote(f"{package}, packages", projected, wanted)
    oracle = Path(__file__).with_name("oracle_go.go")
    lines = go("run", str(oracle), str(root), module, cwd=root, GO111MODULE="off").splitlines()
    resolved = {(s, t) for s, t in (line.split("\t") for line in lines) if {s, t} <= active}
    assert len(resolved) >= pairs
    quote(f"{package}, files", {(s, t) for s, t in ours if t in active}, resolved)


def quote(name: str, found: set[tuple[str, str]], wanted: set[tuple[str, str]]) -> None:
    recall = len(found & wanted) / len(wanted)
    precision = len(found & wanted) / len(found)
    print(f"{name}: {len(wanted)} edges, recall {recall:.4f}, precision {precision:.4f}")
    assert recall >= 0.95
    assert precision >= 0.95
