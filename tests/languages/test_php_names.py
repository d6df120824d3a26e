"""PHP names and includes: the scan by hand, the resolution by its written definition."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.corpus.ordering.graph import build_graph
from codekiln.languages.php import Autoload, PhpResolver
from codekiln.languages.php_scan import PhpScan, scan
from codekiln.languages.resolve import PathIndex, is_build_file
from codekiln.types import SourceFile


def read(text: str, path: str = "src/a.php") -> PhpScan:
    return scan(path, f"<?php\n{text}")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("use A\\B;", {"a\\b": "import"}),
        ("use \\A\\B as C, D;", {"a\\b": "import", "d": "import"}),
        ("use A\\{B, C\\D as E, function f, const G};", {"a\\b": "import", "a\\c\\d": "import"}),
        ("use A\\{ // why\n B,\n};", {"a\\b": "import"}),
        ("use function A\\f; use const A\\G;", {}),
        ("namespace N; new A;", {"n\\a": "use"}),
        ("namespace N; new \\A\\B();", {"a\\b": "use"}),
        ("namespace N; use X\\A; new A\\B; new a;", {"x\\a": "import", "x\\a\\b": "use"}),
        ("namespace N; use X\\A as B; B::c();", {"x\\a": "import"}),
        ("namespace N; new namespace\\M\\A;", {"n\\m\\a": "use"}),
        ("namespace N { new A; } namespace { new B; }", {"n\\a": "use", "b": "use"}),
        ("class A extends B implements C, \\D {}", {"b": "use", "c": "use", "d": "use"}),
        ("interface A extends B, C {}", {"b": "use", "c": "use"}),
        ("enum A: string implements B { case C = 'c'; case D; }", {"b": "use"}),
        ("class A { use T, U { T::x insteadof U; } }", {"t": "use", "u": "use"}),
        ("$x = new class extends A { use T; };", {"a": "use", "t": "use"}),
        ("$f = function () use ($x) { return A::B; };", {"a": "use"}),
        (
            "if ($x instanceof A) {} try {} catch (B | C $e) {}",
            {"a": "use", "b": "use", "c": "use"},
        ),
        (
            "function f(?A $a, B|int ...$b): C&D {}",
            {"a": "use", "b": "use", "c": "use", "d": "use"},
        ),
        ("class X { private readonly ?A $a; const B = C::D; }", {"a": "use", "c": "use"}),
        ("#[A, B(1)] function f() {}", {"a": "use", "b": "use"}),
        ("f(fn(A $a): B => C::d());", {"a": "use", "b": "use", "c": "use"}),
        ("echo A::class, B::$c, D::E['F'];", {"a": "use", "b": "use", "d": "use"}),
        ("switch (1) { case $x instanceof A: case B::C: }", {"a": "use", "b": "use"}),
        ("?><p>new A</p><?= B::c() ?> new C <? new D;", {"b": "use", "d": "use"}),
        ("// ?> new A\n<?php new B; /* ?> */ new C;", {"b": "use", "c": "use"}),
        ("$x = <<<EOT\n new A; {$b}\n  EOT . C::d;", {"c": "use"}),
        ("$x = <<<'E'\n new A; // '\nE;\nnew B;", {"b": "use"}),
        ("new A; __halt_compiler(); new B;", {"a": "use"}),
        ("include A::path();", {"a": "use"}),
    ],
)
def test_names_of_classes(text: str, wanted: dict[str, str]) -> None:
    assert read(text).named == wanted


@pytest.mark.parametrize(
    "text",
    [
        "'new A'; \"new A\"; `new A`; '\\'new A';",
        "// new A\n# new A\n/* new A */ /** @var A */",
        "$A; $a->A; $a?->A; $a->A(); self::A; static::A(); parent::A; new static; new self;",
        "function f(int $a, ?string $b): void {}",
        "f(A: 1); goto a; a: ;",
        "const A = 1; class_exists('A'); 0xA; 1e5;",
        "\"{$a['new A']} new B ${b}\";",
        "",
    ],
)
def test_what_names_no_class(text: str) -> None:
    assert read(text).named == {}


def test_outside_php_nothing_is_read() -> None:
    assert scan("a.php", "new A; class B {}") == PhpScan()
    assert scan("a.php", '<?xml version="1.0"?>\n<p>new A</p>') == PhpScan()


def test_declarations() -> None:
    text = """namespace N;
abstract class A { public function method() {} function old() {} }
interface B {} trait C { function traited() { function inner() {} } } enum D {}
function &plain() { $x = new class { function hidden() {} }; }
if (!function_exists('g')) { function g() {} class Substitute {} }
function last() {}
"""
    found = read(text)
    assert found.classes == ["N\\A", "N\\B", "N\\C", "N\\D", "N\\Substitute"]
    assert found.functions == ["n\\plain", "n\\last"]


def test_functions_are_looked_for_as_php_does() -> None:
    text = (
        "namespace N; use function A\\f; use function A\\g as h; f(); h(); k(); \\M\\l(); B\\m();"
    )
    assert read(text).called == {
        ("a\\f", "a\\f"): "import",
        ("a\\g", "a\\g"): "import",
        ("n\\k", "k"): "use",
        ("m\\l", "m\\l"): "use",
        ("n\\b\\m", "n\\b\\m"): "use",
    }


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        ("require 'b.php';", ["b.php"]),
        ("include_once('inc/b.php');", ["inc/b.php"]),
        ("require_once __DIR__ . '/b.php';", ["/src/b.php"]),
        ("$x = require __DIR__.'/../b.php';", ["/src/../b.php"]),
        ('return include(dirname(__FILE__) . "/b.php");', ["/src/b.php"]),
        ("require \\dirname(__DIR__, 2) . '/b.php';", ["/b.php"]),
        ("require dirname(dirname(__FILE__)) . '/b.php';", ["/b.php"]),
        ("require plugin_dir_path(__FILE__) . 'b.php';", ["/src/b.php"]),
        ("require ABSPATH . WPINC . '/b.php';", ["\0\0/b.php"]),
        ("require $x . '/b.php';", []),
        ('require __DIR__ . "/$x.php";', []),
        ("require __DIR__ . '/' . $x;", []),
        ("require path('b.php');", []),
        ("$a->require('b.php'); require_once_more('b.php');", []),
        ("require" + "(" * 60 + "'b.php'" + ")" * 60 + ";", []),
    ],
)
def test_includes(statement: str, wanted: list[str]) -> None:
    assert read(statement).included == wanted


def edges(build: dict[str, object] | None = None, **texts: str) -> list[tuple[str, str, str]]:
    files = [
        SourceFile(path=path.replace("__", "/") + ".php", text=f"<?php {text}", language="php")
        for path, text in texts.items()
    ]
    texts_of_build = {path: json.dumps(one) for path, one in (build or {}).items()}
    graph = build_graph(files, build_files=texts_of_build)
    assert not graph.failed
    return [(edge.source[:-4], edge.target[:-4], edge.kind) for edge in graph.edges]


def test_names_lead_to_declarations() -> None:
    assert edges(
        a="namespace N; use M\\B; class A extends C { function x(): B {} }",
        b="namespace M; class b {}",
        x__c="namespace N; abstract class C {}",
        d="namespace N; new a; f(); \\g();",
        e="namespace N; function f() {}",
        f="function f() {} function g() { G(); }",
    ) == [
        ("a", "b", "import"),
        ("a", "x/c", "use"),
        ("d", "a", "use"),
        ("d", "e", "use"),
        ("d", "f", "use"),
    ]


def test_of_several_declarations_composer_then_nearness_decides() -> None:
    texts = {
        "use": "new N\\A;",
        "tests__use": "new N\\A;",
        "src__A": "namespace N; class A {}",
        "tests__A": "namespace N; class A {} new A;",
    }
    assert edges(**texts) == [("tests/use", "tests/A", "use")]
    for autoload in (
        {"psr-4": {"N\\": ["nowhere/", "src/"]}},
        {"classmap": ["src/"]},
        {"psr-4": {"N\\": 3}, "psr-0": [], "classmap": ["src/A.php", 3]},
    ):
        mapped = edges({"composer.json": {"autoload-dev": autoload}}, **texts)
        assert mapped == [("tests/use", "src/A", "use"), ("use", "src/A", "use")]
    near = edges({"composer.json": [], "x/composer.json": {"autoload": 3}}, **texts)
    assert near == edges(**texts)


def test_what_composer_maps() -> None:
    rules = {"psr-4": {"A\\B\\": "lib"}, "psr-0": {"Old_": "old/", "": "any/"}}
    autoload = Autoload({"p/composer.json": json.dumps({"autoload": rules}), "composer.json": "{"})
    assert autoload.maps("A\\B\\C\\D", "p/lib/C/D.php")
    assert autoload.maps("Old_Name_Of", "p/old/Old/Name/Of.php")
    assert autoload.maps("X_y\\Z_w", "p/any/X_y/Z/w.php")
    assert not autoload.maps("A\\B\\C", "lib/C.php")
    assert not autoload.maps("A\\Bc", "p/lib/c.php")
    assert is_build_file("p/composer.json")


def test_included_paths_are_looked_for() -> None:
    texts = {
        "lib__x__a": "require 'b.php'; require 'c.php'; require __DIR__ . '/../d.php';",
        "lib__x__b": "",
        "lib__b": "",
        "c": "require ROOT . '/x/b.php'; require ROOT . '/lib/b.php'; require ROOT . 'd.php';",
        "lib__d": "require __DIR__ . '/../../e.php'; require __DIR__ . '/gone.php';",
        "e": "require 'e.php';",
    }
    assert edges(**texts) == [
        ("c", "lib/b", "include"),
        ("c", "lib/d", "include"),
        ("c", "lib/x/b", "include"),
        ("lib/x/a", "c", "include"),
        ("lib/x/a", "lib/d", "include"),
        ("lib/x/a", "lib/x/b", "include"),
    ]


PIECES = (
    "<?php|?>|use|namespace|class|function|new|require|include_once|instanceof|case|const|(|)|{|}|;|,"
    "|\\|A|b|'|\"|`|<<<E\n|\nE|//|#|#[|/*|*/|$|->|::|?->|.|__DIR__|dirname|\n| |:|=|\0|é|9|as|enum"
)


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES.split("|")), max_size=60))
def test_no_text_breaks_the_scan(pieces: list[str]) -> None:
    resolver = PhpResolver(PathIndex(["a/x.php"]))
    for glue in ("", " "):
        found = resolver.scan("a/x.php", "<?php " + glue.join(pieces))
        list(resolver.edges({"a/x.php": found, "b.php": found, "c.php": found}))


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "unit",
    [
        "require ", "require '", "require(", "require a.", "use A ", "use A,", "use A\\{",
        "namespace ", "new ", "class ", "function ", "<<<A\n", "<<<'A'\nA\n", "<<<A\nx<<<B\nB\n",
        "?>", "<?", "<?php ?>", "//?", "/*", "'", '"\\"', "#[", "A\\", "a(", "const A ", "case A ",
        "A ", "{", "}", "class A {", "namespace A;", "$", "-", "use A; ", "?>\n<", "`", "use use, ",
    ],
)  # fmt: skip
def test_long_texts_take_linear_time(unit: str) -> None:
    """A scan that took the square of this 1 MB would not end within the time limit."""
    scan("a.php", "<?php " + unit * (1_000_000 // len(unit)))
