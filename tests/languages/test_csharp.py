"""C#: what the names of types stand for, in small repositories."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.languages.csharp import CSharpResolver
from codekiln.languages.resolve import PathIndex

Needs = Callable[..., dict[str, str]]

LIBRARY = {
    "A.cs": "namespace N { public class A { public class In {} public static int F; } }",
    "B.cs": "namespace N { public class B : A { public string Kind { get; set; } } }",
    "Kind.cs": "namespace N { public enum Kind { One, Two } }",
    "G.cs": "namespace N { public class G<T> { } }",
    "Plain.cs": "namespace N { public class G { } }",
    "C.cs": "namespace N.Sub;\npublic struct C { }\npublic delegate void Act(int x);\n",
    "Mark.cs": "namespace N.Marks { public class MarkAttribute : System.Attribute { } }",
    "Ext.cs": "namespace N.Ext { public static class More { public static int Twice(this int x) "
    "=> x; public static T Same<T>(this T x) => x; } }",
    "Top.cs": "public interface ITop { }",
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("using N; class Z { A a; }", {"A.cs": "import"}),
        ("using N; class Z { }", {}),
        ("using N.Sub; class Z { C c; Act f; }", {"C.cs": "import"}),
        ("namespace N { class Z { A a; Sub.C c; } }", {"A.cs": "use", "C.cs": "use"}),
        ("namespace N.Sub { class Z { A a; C c; } }", {"A.cs": "use", "C.cs": "use"}),
        ("namespace N.Sub;\nclass Z { A a; }", {"A.cs": "use"}),
        ("namespace N { namespace Sub { class Z { C c; } } }", {"C.cs": "use"}),
        ("namespace N { using Sub; class Z { C c; } }", {"C.cs": "import"}),
        ("class Z { N.A a; global::N.Sub.C c; }", {"A.cs": "use", "C.cs": "use"}),
        ("class Z : ITop { }", {"Top.cs": "use"}),
        ("using X = N.A; class Z { X x; }", {"A.cs": "import"}),
        ("using static N.A; class Z { In i; }", {"A.cs": "import"}),
        ("using N; class Z : B { In i; }", {"A.cs": "use", "B.cs": "import"}),
        ("using N; class Z { B.In i; }", {"A.cs": "import", "B.cs": "import"}),
        ("using N; class Z { G<int> g; }", {"G.cs": "import"}),
        ("using N; class Z { G g; }", {"Plain.cs": "import"}),
        ("using N; class Z { object o = new A(); }", {"A.cs": "import"}),
        ("using N; class Z { bool f(object o) => o is A; }", {"A.cs": "import"}),
        ("using N; class Z { System.Type t = typeof(A); }", {"A.cs": "import"}),
        ("using N; class Z { int i = A.F; }", {"A.cs": "import"}),
        ("using N; class Z<T> where T : A { }", {"A.cs": "import"}),
        ("using N; record Z(A a) : ITop;", {"A.cs": "import", "Top.cs": "use"}),
        ('using N; class Z { string s = $"{A.F} B"; }', {"A.cs": "import"}),
        ("using N.Marks; [Mark] class Z { }", {"Mark.cs": "import"}),
        ("using N.Marks; class Z { [Mark(1)] int x; }", {"Mark.cs": "import"}),
        ("using N.Marks; [assembly: Mark]", {"Mark.cs": "import"}),
        ("using N.Ext; class Z { int x = 1.Twice(); }", {"Ext.cs": "import"}),
        ("using N.Ext; class Z { int x = y.Same(); }", {"Ext.cs": "import"}),
        ("class Z { int x = 1.Twice(); }", {}),  # not visible
        # a property or constant that shares the name of a type
        ("using N; class Z { int Kind { get; } int x = Kind.Length; }", {}),
        ("using N; class Z { Kind Kind { get; } }", {"Kind.cs": "import"}),
        ("using N; class Z : B { int x = Kind.Length; }", {"B.cs": "import"}),
        ("using N; class Z { object z = new Y { Kind = 1 }; }", {}),
        ("using N; class Z { object x = y.Kind; void A() { } void f() { A(); } }", {}),
        ("using N; enum Z { Kind, A = 2 }", {}),
        # what shadows
        ("using N; class Z { class A { } A a; }", {}),
        ("using N; class Z<A> { A a; }", {}),
        ("using N; class Z { A f<A>(A a) { return a; } }", {}),
        # what is no name
        ("using N; // A\n/* B */ class Z { string s = \"A\"; char c = 'A'; }", {}),
        ('using N; class Z { string s = @"\\"; A a; string t = @"""B"" "; }', {"A.cs": "import"}),
        ('using N; class Z { string s = """ A "B" """; }', {}),
        ("using N;\n#region A's and B's\nclass Z { Kind k; }\n#endregion A", {"Kind.cs": "import"}),
        ("class Z { A a; void f() { using (var x = y) { } using var z = N; } }", {}),
    ],
)
def test_names(csharp_needs: Needs, text: str, wanted: dict[str, str]) -> None:
    assert csharp_needs({**LIBRARY, "Z.cs": text}, "Z.cs") == wanted


def test_whoever_names_a_partial_type_needs_all_its_parts(csharp_needs: Needs) -> None:
    texts = {
        "F.cs": "namespace N; public partial class F { void f() { } }",
        "F.Designer.cs": "namespace N; partial class F { int x; }",
        "Z.cs": "namespace N; class Z { F f; }",
    }
    assert csharp_needs(texts, "Z.cs") == {"F.cs": "use", "F.Designer.cs": "use"}
    assert csharp_needs(texts, "F.cs") == {}


REFERENCE = (
    '<Project><ItemGroup><ProjectReference Include="..\\{}\\X.csproj" /></ItemGroup></Project>'
)


def test_the_nearest_project_counts(csharp_needs: Needs) -> None:
    texts = {
        "one/A.cs": "namespace N; class A { }",
        "two/A.cs": "namespace N; class A { }",
        "two/U.cs": "namespace N; class U { A a; }",
        "app/U.cs": "namespace N; class U { A a; }",
    }
    builds = {f"{name}/X.csproj": "<Project></Project>" for name in ("one", "two", "app")}
    assert list(csharp_needs(texts, "two/U.cs", builds)) == ["two/A.cs"]
    assert csharp_needs(texts, "app/U.cs", builds) == {}
    builds["app/X.csproj"] = REFERENCE.format("between")
    builds["between/X.csproj"] = REFERENCE.format("one")
    assert list(csharp_needs(texts, "app/U.cs", builds)) == ["one/A.cs"]


def test_global_usings_count_in_their_project(csharp_needs: Needs) -> None:
    texts = {
        **LIBRARY,
        "p/Usings.cs": "global using N;",
        "p/Z.cs": "class Z { A a; }",
        "q/Z.cs": "class Z { A a; }",
        "r/Z.cs": "class Z { A a; In i; }",
    }
    statics = '<Project><Using Include="N" /><Using Include="N.A" Static="true" /></Project>'
    builds = {"p/P.csproj": "", "q/Q.csproj": "", "r/R.csproj": statics}
    assert csharp_needs(texts, "p/Z.cs", builds) == {"A.cs": "import"}
    assert csharp_needs(texts, "q/Z.cs", builds) == {}
    assert csharp_needs(texts, "r/Z.cs", builds) == {"A.cs": "import"}


def test_rings_of_base_types_and_many_files_of_one_name(csharp_needs: Needs) -> None:
    ring = {f"C{i}.cs": f"class C{i} : C{(i + 1) % 500} {{ }}" for i in range(500)}
    assert list(csharp_needs(ring, "C499.cs")) == ["C0.cs"]
    same = {f"S{i}.cs": "class Node { } class U { Node n; }" for i in range(600)}
    assert csharp_needs({**same, "Z.cs": "class Z { Node n; }"}, "Z.cs") == {}
    assert csharp_needs({**LIBRARY, "a.cs": "class Lower { }"}, "A.cs") == {}


WORDS = """
namespace using global static class struct interface enum record delegate partial where new is as
typeof( this ( this @A @ $ $" @" $@" < > ( ) { } [ ] " ' \\ / // /* */ # . , ; : :: = == => += ? ! `
A B.C a.b A` x 1 get; \ufeff é Ä 𝒳
"""
TOKENS = [*WORDS.split(), '"""', "\n", "\0", " "]
sources = st.lists(st.sampled_from(TOKENS), max_size=60)


@settings(max_examples=300, deadline=None)
@given(sources, sources, st.booleans())
def test_no_text_breaks_the_scan(one: list[str], other: list[str], spaced: bool) -> None:
    glue = " " if spaced else ""
    texts = {"a.cs": glue.join(one), "b.cs": glue.join(other)}
    resolver = CSharpResolver(PathIndex(texts, {"X.csproj": glue.join(one)}))
    list(resolver.edges({path: resolver.scan(path, text) for path, text in texts.items()}))


PIECES = """
class·A· class·A< class·A( class·A:B< record·A( enum·A{ namespace·A{ namespace·A. delegate·A<
using·A. using·A< using·A= [A [A( [A, /* " ' @" $"{ $@" <A A< A<B (this·A A. A{ A{get A[] new·A ( {
\\ # ``` case·A, is·A A?. :: =>
"""


@pytest.mark.parametrize("piece", [*(one.replace("·", " ") for one in PIECES.split()), "\n", "\0"])
def test_long_files_take_linear_time(piece: str) -> None:
    """A search of quadratic cost would take minutes for these lines."""
    CSharpResolver(PathIndex([])).scan("a.cs", piece * (200_000 // len(piece)))
