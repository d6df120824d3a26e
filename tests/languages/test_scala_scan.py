"""Scala: what imports and names stand for, in a small repository."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Needs = Callable[..., dict[str, str]]


SCALA = {
    "a/A.scala": "package org.s\nclass A[T]\nobject A { class In; def make = 1 }\n",
    "a/B.scala": "package org.s\npackage b\ntrait B extends A[Int] { type X }\n"
    "case class C(n: Int)\n",
    "a/package.scala": "package org.s\npackage object tools {\n"
    "  def tool(x: Int) = { def inner = 1; x }\n  type Alias = Int\n  class Held\n}\n",
    "a/Three.scala": "package org.s.three\n\ndef topFun(x: Int): Int =\n  val local = x\n  local\n"
    "\n"
    "enum Color:\n  case Red, Green\n\nobject Nest:\n  class Deep\n",
    "j/J.java": "package org.s; public class J {}",
    "k/K.kt": "package org.s\nclass K\n",
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("import org.s.A", {"a/A.scala": "import"}),
        (
            "import org.s.{A => X, J, K => _}",
            {"a/A.scala": "import", "j/J.java": "import", "k/K.kt": "import"},
        ),
        ("import org.s.A._", {"a/A.scala": "import"}),
        ("import org.s.A.make, org.s.J", {"a/A.scala": "import", "j/J.java": "import"}),
        ("import org.s.b._\nclass Z extends B", {"a/B.scala": "import"}),
        ("import org.s.b.*\nclass Z extends B", {"a/B.scala": "import"}),
        ("import org.s.b._", {}),
        (
            "import org.s.{\n  b,\n  J\n}\nval x = b.C(1)",
            {"a/B.scala": "import", "j/J.java": "import"},
        ),
        ("import org.s.b\nimport b.{C => Case}\nval x = Case(1)", {"a/B.scala": "import"}),
        ("import org.s.{A as Renamed}\nval x: Renamed[Int] = null", {"a/A.scala": "import"}),
        ("import org.s.tools._\nval x = tool(1)", {"a/package.scala": "import"}),
        ("import org.s.tools.tool", {"a/package.scala": "import"}),
        ("import org.s.tools.Alias", {"a/package.scala": "import"}),
        ("import org.s.tools.inner", {}),
        ("import org.s.three.topFun", {"a/Three.scala": "import"}),
        ("import org.s.three.Nest.Deep", {"a/Three.scala": "import"}),
        ("import org.s.three.*\ndef f = topFun(1)", {"a/Three.scala": "import"}),
        ("def f() { import org.s.J; new J }", {"j/J.java": "import"}),
        ("val x: org.s.K = null", {"k/K.kt": "use"}),
        ("val x: A = null", {}),  # not visible from here
        (
            'import org.s.{A, K}\nval x = s"${A.make} K"',
            {"a/A.scala": "import", "k/K.kt": "import"},
        ),
    ],
)
def test_scala_imports(needs: Needs, text: str, wanted: dict[str, str]) -> None:
    assert needs({**SCALA, "z/Z.scala": f"package z\n{text}\n"}, "z/Z.scala") == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "package org.s\npackage z\nclass Z extends A[Int] with Serializable",
            {"a/A.scala": "use"},
        ),
        ("package org.s.z\nclass Z extends A[Int]", {}),  # one clause shows its own package only
        ("package org.s\npackage z\nval x = b.C(1)", {"a/B.scala": "use"}),
        ("package org.s\nimport b.C\nobject Z", {"a/B.scala": "import"}),
        ("package org.s\nimport b._\nval x: Option[C] = None", {"a/B.scala": "import"}),
        ("package org.s {\n  package z {\n    class Z(j: J)\n  }\n}", {"j/J.java": "use"}),
        (
            "package org.s\nx match { case A(y) => y; case k: K => k }",
            {"a/A.scala": "use", "k/K.kt": "use"},
        ),
        ("package org.s\nclass Z[A](a: A) { def f[K](k: K) = k }", {}),
        ("package org.s\nobject Z { val J = 1; println(J) }", {}),
        ('package org.s\n/* /* A */ K */ object Z { val x = \'J\'; val y = """A "K" """ }', {}),
    ],
)
def test_scala_packages(needs: Needs, text: str, wanted: dict[str, str]) -> None:
    assert needs({**SCALA, "z/Z.scala": text}, "z/Z.scala") == wanted
