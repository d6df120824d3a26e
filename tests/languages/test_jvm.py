"""Java: names by hand, modules and their build files, and whole projects against javac."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from codekiln.corpus.ordering.graph import build_graph
from codekiln.languages.jvm import JvmResolver
from codekiln.languages.resolve import PathIndex
from codekiln.types import SourceFile

Needs = Callable[..., dict[str, str]]


LIBRARY = {
    "p/A.java": "package p; public class A { public static class In {} static int F; }",
    "p/B.java": "package p; class B extends A {}",
    "p/Text.java": "package p; class Text {}",
    "q/C.java": "package q; public class C { enum E { X, Y } }",
    "q/List.java": "package q; public interface List<T> {}",
    "q/Mark.java": "package q; public @interface Mark { Class<?> value(); }",
    "r/lower.java": "package r; public class lower {}",
    "p/T.java": "package p; class T {}",
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # imports of each form; they count even where nothing else names them
        ("import q.C;", {"q/C.java": "import"}),
        ("import q.C.E;", {"q/C.java": "import"}),
        ("import static q.C.E.X;", {"q/C.java": "import"}),
        ("import static q.C.*;", {"q/C.java": "import"}),
        ("import\n q . C ;", {"q/C.java": "import"}),
        ("import q.*; class Z { C c; }", {"q/C.java": "import"}),
        ("import q.*; class Z { }", {}),
        ("import p.B.In;", {"p/B.java": "import", "p/A.java": "import"}),
        # without an import
        ("class Z { A a; }", {"p/A.java": "use"}),
        ("class Z { q.C c; }", {"q/C.java": "use"}),
        ("class Z extends B { In in; }", {"p/B.java": "use", "p/A.java": "use"}),
        ("class Z { B.In in; }", {"p/B.java": "use", "p/A.java": "use"}),
        ("class Z { Object o = A.F; }", {"p/A.java": "use"}),
        ("class Z { Object o = A::new; }", {"p/A.java": "use"}),
        ("class Z { Object o = (A) x; }", {"p/A.java": "use"}),
        ("class Z { boolean o = x instanceof A; }", {"p/A.java": "use"}),
        ("class Z { Object o = new A(); }", {"p/A.java": "use"}),
        ("class Z { Object o = new A[3]; }", {"p/A.java": "use"}),
        ("class Z<X extends A> { }", {"p/A.java": "use"}),
        (
            "class Z { <X extends A> void f() throws Text {} }",
            {"p/A.java": "use", "p/Text.java": "use"},
        ),
        ("import q.Mark; @Mark(A.class) class Z {}", {"q/Mark.java": "import", "p/A.java": "use"}),
        (
            "class Z { int f(Object o) { return switch (o) { case A a -> 1; default -> 2; }; } }",
            {"p/A.java": "use"},
        ),
        (
            "class Z { int f(Object o) { return switch (o) { case A(int x) -> 1; }; } }",
            {"p/A.java": "use"},
        ),
        ("import r.lower; class Z {}", {"r/lower.java": "import"}),
        ("record Z(A a, Text t) implements Runnable {}", {"p/A.java": "use", "p/Text.java": "use"}),
        ("sealed interface Z permits A {}", {"p/A.java": "use"}),
        # what shadows: a foreign import, the file's own types, parameters and constants
        ("import java.util.List; import q.*; class Z { List l; }", {}),
        ("import other.A; class Z { A a; }", {}),
        ("class Z { class A {} A a; }", {}),
        ("class Z<T> { T t; }", {}),
        ("class Z { <T> T f(T t) { return t; } }", {}),
        ("enum Z { Text, Other; Object o = Text; }", {}),
        ("enum Z { Other(1) { void f() { ; } }, Text; Object o = Text; }", {}),
        ("class Z { static final int Text = 1; int x = Text + 1; }", {}),
        ("class Z { int f(Z z) { switch (z) { case Text: return 1; case A, B: } } }", {}),
        ("class Z { int f(Z z) { switch (z) { case A.F: } } }", {"p/A.java": "use"}),
        # what is no name of a type
        ("// A\n/* B */ class Z { String s = \"A\"; char c = 'A'; }", {}),
        ('class Z { String s = """\n A "quoted" \\""" B\n"""; Text t; }', {"p/Text.java": "use"}),
        ("class Z { Object o = this.A.x(); Object p = f().B; void Text() {} { Text(); } }", {}),
        ('class Z { String s = "\\"A"; String t = "//"; A a; }', {"p/A.java": "use"}),
        ("class Z { char c = '\"'; A a; char d = '\\''; }", {"p/A.java": "use"}),
    ],
)
def test_java_names(needs: Needs, text: str, wanted: dict[str, str]) -> None:
    assert needs({**LIBRARY, "p/Z.java": f"package p; {text}"}, "p/Z.java") == wanted


def test_java_files_of_packages_and_modules(needs: Needs) -> None:
    info = "@Mark(q.C.class)\npackage p;\nimport q.Mark;\n"
    texts = {**LIBRARY, "p/package-info.java": info, "module-info.java": "module m { uses q.C; }"}
    assert needs(texts, "p/package-info.java") == {"q/C.java": "use", "q/Mark.java": "import"}
    assert needs(texts, "module-info.java") == {"q/C.java": "use"}


def java(package: str, name: str, body: str = "") -> str:
    return f"package {package}; public class {name} {{ {body} }}"


def test_the_nearest_of_several_files_counts(needs: Needs) -> None:
    texts = {
        "one/src/main/java/p/A.java": java("p", "A"),
        "two/src/main/java/p/A.java": java("p", "A"),
        "two/src/test/java/p/A.java": java("p", "A"),
        "one/src/main/java/p/U.java": java("p", "U", "A a;"),
        "two/src/main/java/p/U.java": java("p", "U", "A a;"),
        "two/src/test/java/p/V.java": java("p", "V", "A a;"),
        "three/src/main/java/p/U.java": java("p", "U", "A a;"),
    }
    assert list(needs(texts, "one/src/main/java/p/U.java")) == ["one/src/main/java/p/A.java"]
    assert list(needs(texts, "two/src/main/java/p/U.java")) == ["two/src/main/java/p/A.java"]
    assert list(needs(texts, "two/src/test/java/p/V.java")) == ["two/src/test/java/p/A.java"]
    assert needs(texts, "three/src/main/java/p/U.java") == {}  # equally near


def test_tests_are_seen_by_tests_only(needs: Needs) -> None:
    texts = {
        "src/test/java/p/Help.java": java("p", "Help"),
        "src/test/java/p/UTest.java": java("p", "UTest", "Help h; U u;"),
        "src/main/java/p/U.java": java("p", "U", "Help h;"),
        "old/src/p/W.java": java("p", "W", "Old o;"),
        "old/test/p/Old.java": java("p", "Old"),
        "old/test/p/OldTest.java": java("p", "OldTest", "Old o;"),
    }
    assert needs(texts, "src/main/java/p/U.java") == {}
    assert sorted(needs(texts, "src/test/java/p/UTest.java")) == [
        "src/main/java/p/U.java",
        "src/test/java/p/Help.java",
    ]
    assert needs(texts, "old/src/p/W.java") == {}
    assert list(needs(texts, "old/test/p/OldTest.java")) == ["old/test/p/Old.java"]


POM = """<project><parent><artifactId>all</artifactId></parent><artifactId>{name}</artifactId>
<dependencies>{needs}</dependencies></project>"""


@pytest.mark.parametrize("tool", ["maven", "gradle"])
def test_build_files_decide_between_modules(needs: Needs, tool: str) -> None:
    texts = {
        "apps/near/src/main/java/p/A.java": java("p", "A"),
        "lib/src/main/java/p/A.java": java("p", "A"),
        "apps/main/src/main/java/x/U.java": "package x; import p.A; class U { A a; }",
    }
    if tool == "maven":
        middle = "<dependency><groupId>g</groupId><artifactId>middle</artifactId></dependency>"
        builds = {
            "apps/main/pom.xml": POM.format(name="main", needs=middle),
            "middle/pom.xml": POM.format(name="middle", needs=middle.replace("middle", "core")),
            "lib/pom.xml": POM.format(name="core", needs=""),
        }
    else:
        builds = {
            "apps/main/build.gradle.kts": 'dependencies { implementation(project(":middle")) }',
            "middle/build.gradle": "dependencies {\n  api project(':lib')\n}",
        }
    source = "apps/main/src/main/java/x/U.java"
    assert list(needs(texts, source)) == ["apps/near/src/main/java/p/A.java"]
    assert list(needs(texts, source, builds)) == ["lib/src/main/java/p/A.java"]


def test_a_test_source_directory_of_a_pom(needs: Needs) -> None:
    pom = "<project><build><testSourceDirectory>checks</testSourceDirectory></build></project>"
    texts = {
        "checks/p/A.java": java("p", "A"),
        "src/p/U.java": java("p", "U", "A a;"),
        "checks/p/V.java": java("p", "V", "A a;"),
    }
    assert list(needs(texts, "src/p/U.java")) == ["checks/p/A.java"]
    assert needs(texts, "src/p/U.java", {"pom.xml": pom}) == {}
    assert list(needs(texts, "checks/p/V.java", {"pom.xml": pom})) == ["checks/p/A.java"]


def test_source_sets_of_several_platforms(needs: Needs) -> None:
    texts = {
        "lib/src/commonMain/kotlin/p/A.kt": "package p\nexpect class A\nclass U(val a: A)\n",
        "lib/src/jvmMain/kotlin/p/A.kt": "package p\nactual class A\n",
        "lib/src/jvmMain/kotlin/p/V.kt": "package p\nclass V(val a: A)\n",
        "lib/src/jvmTest/kotlin/p/T.kt": "package p\nclass T(val a: A)\n",
        "lib/src/commonTest/kotlin/p/T.kt": "package p\nclass T(val a: A)\n",
    }
    assert list(needs(texts, "lib/src/jvmMain/kotlin/p/V.kt")) == ["lib/src/jvmMain/kotlin/p/A.kt"]
    assert list(needs(texts, "lib/src/jvmTest/kotlin/p/T.kt")) == ["lib/src/jvmMain/kotlin/p/A.kt"]
    assert list(needs(texts, "lib/src/commonTest/kotlin/p/T.kt")) == [
        "lib/src/commonMain/kotlin/p/A.kt"
    ]


def test_alternatives_within_one_module_all_count(needs: Needs) -> None:
    texts = {
        "src/main/scala-2.12/p/A.scala": "package p\nclass A\n",
        "src/main/scala-2.13/p/A.scala": "package p\nclass A\n",
        "src/main/scala/p/U.scala": "package p\nclass U(a: A)\n",
    }
    assert sorted(needs(texts, "src/main/scala/p/U.scala")) == [
        "src/main/scala-2.12/p/A.scala",
        "src/main/scala-2.13/p/A.scala",
    ]


def test_cycles_and_paths_that_differ_in_case_only(needs: Needs) -> None:
    ring = {
        f"p/C{i}.java": f"package p; class C{i} extends C{(i + 1) % 500} {{}}" for i in range(500)
    }
    assert list(needs(ring, "p/C499.java")) == ["p/C0.java"]
    texts = {
        "p/a.java": java("p", "A"),
        "p/A.java": java("p", "B"),
        "p/U.java": java("p", "U", "B b;"),
    }
    assert list(needs(texts, "p/U.java")) == ["p/A.java"]
    same = {f"p/S{i}.java": "package p; class Node {} class U { Node n; }" for i in range(300)}
    same["p/Z.java"] = java("p", "Z", "Node n;")
    assert needs(same, "p/Z.java") == {}


def test_the_three_languages_are_one_graph() -> None:
    files = [
        SourceFile(path="p/A.java", text="package p; class A extends B {}", language="java"),
        SourceFile(path="p/B.kt", text="package p\nopen class B : C()\n", language="kotlin"),
        SourceFile(path="p/C.scala", text="package p\nclass C(a: A)\n", language="scala"),
        SourceFile(path="p/D.cs", text="namespace p; class D : A { }", language="c-sharp"),
    ]
    graph = build_graph(files)
    assert [(e.source, e.target, e.kind) for e in graph.edges] == [
        ("p/A.java", "p/B.kt", "use"),
        ("p/B.kt", "p/C.scala", "use"),
        ("p/C.scala", "p/A.java", "use"),
    ]
    assert graph.failed == ()


def debian_source(package: str) -> Path:
    """The upstream sources of a Debian package, kept between runs; skips where not to be had."""
    default = Path.home() / ".cache" / "codekiln" / "tests"
    folder = Path(os.environ.get("CODEKILN_TEST_DATA", default))
    folder.mkdir(parents=True, exist_ok=True)
    found = sorted(folder.glob(f"{package}_*.orig.tar.*"))
    if not found:
        command = ["apt-get", "source", "--download-only", "-qq", package]
        try:
            subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=120)
        except (OSError, subprocess.SubprocessError):
            pytest.skip(f"needs apt-get source {package}: set CODEKILN_TEST_DATA to its folder")
        found = sorted(folder.glob(f"{package}_*.orig.tar.*"))
    return found[-1]


def javac_edges(folder: Path) -> tuple[set[tuple[str, str]], set[str]]:
    """The edges that javac resolves, and the files with errors, below a folder."""
    paths = sorted(str(path) for path in folder.rglob("*.java"))
    listing = folder / "files.txt"
    listing.write_text("\n".join(paths))
    oracle = Path(__file__).with_name("JavacNames.java")
    command = ["java", "-Xmx1g", str(oracle), "", str(listing)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    edges: set[tuple[str, str]] = set()
    wrong: set[str] = set()
    for line in done.stdout.splitlines():
        source, target, *_ = line.split("\t")
        if source == "!":
            wrong.add(target)
        elif source != target:
            edges.add((source, target))
    return edges, wrong


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("package", "fewest"), [("libcommons-lang3-java", 300), ("libcommons-collections4-java", 900)]
)
def test_recall_and_precision_against_javac(package: str, fewest: int, tmp_path: Path) -> None:
    if shutil.which("javac") is None:
        pytest.skip("needs javac")
    with tarfile.open(debian_source(package)) as tar:
        members = [m for m in tar if "/src/main/java/" in m.name and m.name.endswith(".java")]
        tar.extractall(tmp_path, members=members, filter="data")
    wanted, wrong = javac_edges(tmp_path)
    assert len(wanted) > fewest  # the oracle itself has found the project's names
    assert not wrong
    texts = {str(p): p.read_text(encoding="utf-8") for p in tmp_path.rglob("*.java")}
    resolver = JvmResolver(PathIndex(texts))
    scans = {path: resolver.scan(path, text) for path, text in texts.items()}
    found = {(s, t) for s, t, _ in resolver.edges(scans) if s != t}
    recall = len(found & wanted) / len(wanted)
    precision = len(found & wanted) / len(found)
    print(f"{package}: {len(wanted)} edges, recall {recall:.4f}, precision {precision:.4f}")
    assert recall >= 0.99
    assert precision >= 0.99
