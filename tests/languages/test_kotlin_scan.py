"""Kotlin: what its names stand for, in a small repository."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Needs = Callable[..., dict[str, str]]


KOTLIN = {
    # the folders leave out org.k, as Kotlin's style guide has it
    "src/Top.kt": "package org.k\nfun topFun(x: Int) = x\nval answer = 42\nprivate fun own() = 1\n",
    "src/Ext.kt": "package org.k\nfun String.shout(): String = this\nval String.half get() = 1\n",
    "src/Shape.kt": "package org.k\nsealed class Shape(val n: Int) : Base(n) {\n"
    "  class Round : Shape(1)\n  companion object { fun of() = 1 }\n}\n",
    "src/Base.kt": "package org.k\nopen class Base(n: Int) { class Deep; fun inherited() = 1 }\n",
    "src/sub/Alias.kt": "package org.k.sub\ntypealias Names = List<String>\nobject Single\n",
    "src/sub/Kind.kt": "package org.k.sub\nenum class Kind(val n: Int) { ONE(1), TWO(2) }\n",
    "java/org/k/J.java": "package org.k; public class J { static int F; }",
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("import org.k.Shape", {"src/Shape.kt": "import"}),
        ("import org.k.Shape.Round as R\nval x: R? = null", {"src/Shape.kt": "import"}),
        ("import org.k.topFun", {"src/Top.kt": "import"}),
        ("import org.k.shout as cry", {"src/Ext.kt": "import"}),
        ("import org.k.sub.*\nval x = Single", {"src/sub/Alias.kt": "import"}),
        ("import org.k.sub.*", {}),
        ("import org.k.sub.Kind.*", {"src/sub/Kind.kt": "import"}),
        ("val x: org.k.sub.Names = y", {"src/sub/Alias.kt": "use"}),
        ("fun f() = topFun(answer)", {"src/Top.kt": "use"}),
        ('fun f() = "a".shout()', {"src/Ext.kt": "use"}),
        ('val x = "${J.F} Shape"', {"java/org/k/J.java": "use"}),
        ('val x = """\n Shape "quoted" ${J.F}"""', {"java/org/k/J.java": "use"}),
        (
            "class Z : Shape(1), Runnable { val d: Deep? = null }",
            {"src/Shape.kt": "use", "src/Base.kt": "use"},
        ),
        (
            "fun f(x: Any) = x is Shape && x as? J != null",
            {"src/Shape.kt": "use", "java/org/k/J.java": "use"},
        ),
        ("val x: Map<String, J>? = null", {"java/org/k/J.java": "use"}),
        ("fun J?.f(): Shape = of()", {"java/org/k/J.java": "use", "src/Shape.kt": "use"}),
        ("val f = J::class", {"java/org/k/J.java": "use"}),
        ("@J fun f() {}", {"java/org/k/J.java": "use"}),
        # what shadows, and what is nothing
        ("fun f(answer: Int) = answer", {}),
        ("fun f() { val answer = 1; print(answer) }", {}),
        ("fun topFun() = 1\nval x = topFun()", {}),
        ("val x = y.topFun()", {}),
        ("val x = listOf(1).map { answer -> answer + 1 }", {}),
        ("val x = f(answer = 1)", {}),
        ("class Z { class Shape; val s = Shape() }", {}),
        ("class Z<Shape>(val s: Shape)", {}),
        ("fun <J> f(j: J) = j", {}),
        ("import other.Shape\nval s = Shape()", {}),
        ("val x = own()", {}),
        ("/* /* Shape */ J */ // Shape\nval x = 'S'", {}),
    ],
)
def test_kotlin_names(needs: Needs, text: str, wanted: dict[str, str]) -> None:
    assert needs({**KOTLIN, "src/Z.kt": f"package org.k\n{text}\n"}, "src/Z.kt") == wanted


def test_java_knows_kotlin_functions_by_their_classes(needs: Needs) -> None:
    named = '@file:JvmName("Named")\npackage org.k\nfun other() = 1\n'
    use = "package z; import static org.k.TopKt.topFun; class Z { int x = org.k.Named.other(); }"
    texts = {**KOTLIN, "src/Named.kt": named, "z/Z.java": use}
    assert needs(texts, "z/Z.java") == {"src/Top.kt": "import", "src/Named.kt": "use"}
