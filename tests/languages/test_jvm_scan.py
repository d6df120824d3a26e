"""Java, Kotlin and Scala: no text breaks the scans, and none takes long."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.languages.jvm import JvmResolver
from codekiln.languages.resolve import PathIndex

WORDS = """
package import static class interface enum record object trait fun val var def type given extends
with implements permits case new instanceof this @A @file:JvmName( < > ( ) { } [ ] " ' \\ / // /* */
. , ; : :: = == => -> ${ $ ` _ * A B.C a.b.C a x 1 \ufeff é Ä 𝒳
"""
TOKENS = [*WORDS.split(), '"""', "\n", "\0", " "]
sources = st.lists(st.sampled_from(TOKENS), max_size=60)


@settings(max_examples=300, deadline=None)
@given(sources, sources, st.booleans())
def test_no_text_breaks_the_scans(one: list[str], other: list[str], spaced: bool) -> None:
    glue = " " if spaced else ""
    texts = {f"p/{n}": glue.join(one) for n in ("a.java", "b.kt", "c.scala")}
    texts |= {f"q/{n}": glue.join(other) for n in ("a.java", "b.kt", "c.scala")}
    resolver = JvmResolver(PathIndex(texts))
    list(resolver.edges({path: resolver.scan(path, text) for path, text in texts.items()}))


@pytest.mark.parametrize("suffix", ["java", "kt", "scala"])
@pytest.mark.parametrize(
    "piece",
    [
        "class A ",
        "class A<",
        "class A(",
        "record A(",
        "enum A{",
        "enum class A{",
        "/*",
        '"',
        '"""',
        "'",
        "<A ",
        " <A",
        "import a ",
        "import a.",
        "import a.{",
        "package a ",
        "case a",
        "fun <A",
        "fun a.",
        "val a",
        "def a[",
        "object A extends B with ",
        "(this a",
        "@A",
        "{",
        "(",
        "A.",
        "a.",
        "\\",
        "${",
        "=>",
        "->",
        "{ a, b ->",
        "class A : B<",
        "case A, ",
        "`",
        "\n",
        " ",
        "\0",
    ],
)
def test_long_files_take_linear_time(suffix: str, piece: str) -> None:
    """A search of quadratic cost would take minutes for these lines."""
    text = piece * (200_000 // len(piece))
    JvmResolver(PathIndex([])).scan(f"a.{suffix}", text)
