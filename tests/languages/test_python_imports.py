"""Python imports: the scan against `ast`, the resolution against its written definition."""

import ast
import sys
import sysconfig
from pathlib import Path

import pytest

from codekiln.languages.python import PythonResolver
from codekiln.languages.python_scan import scan
from codekiln.languages.resolve import PathIndex, Reference


def plain(text: str) -> list[tuple[str, str, tuple[str, ...], int]]:
    return [(r.kind, r.target, r.names, r.level) for r in scan(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("import a.b as c, d", [("import", "a.b", (), 0), ("import", "d", (), 0)]),
        ("import\ta", [("import", "a", (), 0)]),
        ("from a import b as c, d", [("import", "a", ("b", "d"), 0)]),
        (
            "from a import (b,\n  c as d,  # why) not\n  e,\n)",
            [("import", "a", ("b", "c", "e"), 0)],
        ),
        ("from a import(b)", [("import", "a", ("b",), 0)]),
        ("from a.b \\\n  import c, \\\n d", [("import", "a.b", ("c", "d"), 0)]),
        ("from a import \\\n  (b,\\\n c)", [("import", "a", ("b", "c"), 0)]),
        ("from . import x", [("import", "", ("x",), 1)]),
        ("from .x import *", [("import", "x", ("*",), 1)]),
        ("from ...x.y import z", [("import", "x.y", ("z",), 3)]),
        ("from .import x", [("import", "", ("x",), 1)]),
        ("from . . import x", [("import", "", ("x",), 2)]),
        ("x = 1; import a; from b import c", [("import", "a", (), 0), ("import", "b", ("c",), 0)]),
        ("if x: import a", [("import", "a", (), 0)]),
        ("if 'a:b' and d['#']: import a", [("import", "a", (), 0)]),
        ("def f(): import a", [("local", "a", (), 0)]),
        ("if TYPE_CHECKING: import a", [("type-only", "a", (), 0)]),
        (
            "try:\n    import a\nexcept ImportError:\n    import b",
            [("import", "a", (), 0), ("import", "b", (), 0)],
        ),
        (
            "import a\r\nfrom b import (c,\r\n d)\r\n",
            [("import", "a", (), 0), ("import", "b", ("c", "d"), 0)],
        ),
        ("\ufeffimport a", [("import", "a", (), 0)]),
        ('"""doc"""; import a', [("import", "a", (), 0)]),
        ("x = 'it''s'; import a", [("import", "a", (), 0)]),
        ("import a  # import b", [("import", "a", (), 0)]),
        ("import größe", [("import", "größe", (), 0)]),
    ],
)
def test_forms_of_the_statement(
    text: str, wanted: list[tuple[str, str, tuple[str, ...], int]]
) -> None:
    ast.parse(text.removeprefix("\ufeff"))  # the case itself is Python
    assert plain(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        '"""\nimport a\nfrom b import c\n"""',
        "x = '''\nimport a\n'''",
        "# import a",
        "x = 1  # see also; import a",
        "x = 'y; import a'",
        "x = 'abc \\\nimport a'",
        'x = """\n\\"""\nimport a\n"""',
        "x = r'''\nimport a\\\\'''",
        "# it's '''quoted\n#import a\n# '''",
        "importlib.import_module('a')",
        "important = 1\nimporter = 2",
        "__import__('a')",
        "reimport = 3\nx.imported\n",
        "x = {'a': 'import b'}",
        "",
        "import",
    ],
)
def test_what_is_no_statement(text: str) -> None:
    assert plain(text) == []


def test_quotes_within_comments_and_short_strings_open_nothing() -> None:
    text = '# don\'t say """ here\nx = \'"""\'\ny = "\'\'\'"\nz = "" """s"""\nimport a\n'
    assert plain(text) == [("import", "a", (), 0)]


def test_kinds_follow_the_blocks() -> None:
    text = '''
import typing as t
if t.TYPE_CHECKING:
    import a
    from b import (
        c,
    )
else:
    import d
if not TYPE_CHECKING:
    import e
class K:
    import f
    def method(
        self,
    ):
        """
def not_a_function:
"""
        if TYPE_CHECKING:
            import g
        import h
    import i
async def later():
    try:
        import j
    except ImportError:
        pass
for x in y:
\timport k
'''
    kinds = {r.target: r.kind for r in scan(text)}
    assert kinds == {
        "typing": "import", "a": "type-only", "b": "type-only", "d": "import", "e": "import",
        "f": "import", "g": "type-only", "h": "local", "i": "import", "j": "local", "k": "import",
    }  # fmt: skip


def test_the_scan_agrees_with_ast_on_the_standard_library() -> None:
    """Statement by statement, kinds and order included."""
    oracle = load_oracle()
    folder = Path(sysconfig.get_paths()["stdlib"])
    compared = 0
    for path in sorted(folder.glob("[a-f]*.py")) + sorted(folder.glob("[a-e]*/*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        wanted = oracle.statements(text)
        if wanted is not None and "site-packages" not in path.parts:
            assert plain(text) == wanted, path
            compared += len(wanted)
    assert compared > 500


def load_oracle():  # type: ignore[no-untyped-def]
    folder = str(Path(__file__).resolve().parents[1] / "corpus" / "ordering")
    sys.path.insert(0, folder)
    try:
        import oracle_ast
    finally:
        sys.path.remove(folder)
    return oracle_ast


def test_a_long_file_takes_no_longer_than_its_length_asks() -> None:
    """What could be quadratic: imports in one block, and quotes that open nothing."""
    text = "if x:\n" + "    import a\n" * 20_000 + "# '''\n" * 20_000
    assert len(scan(text)) == 20_000
    assert plain("x = (" + "from a import (" * 5_000) == []


def needs(paths: str, source: str, statement: str) -> list[str]:
    resolver = PythonResolver(PathIndex(paths.split()))
    references = resolver.imports(statement)
    resolver.survey(references)
    return [path for one in references for path in resolver.resolve(one, source)]


PACKAGE = "p/__init__.py p/a.py p/b/__init__.py p/b/c.py p/b/d.pyi p/m.py p/m.pyi p/n/o.py"


@pytest.mark.parametrize(
    ("source", "statement", "wanted"),
    [
        ("p/a.py", "import p.b.c", ["p/b/c.py"]),
        ("p/a.py", "import p.b.c as c, p.m", ["p/b/c.py", "p/m.py"]),
        ("p/a.py", "import p", ["p/__init__.py"]),
        ("p/a.py", "import p.missing", []),
        ("p/a.py", "from p import a, b, name", ["p/b/__init__.py", "p/__init__.py"]),
        ("p/a.py", "from p.b import c", ["p/b/c.py"]),
        ("p/a.py", "from p.b import name", ["p/b/__init__.py"]),
        ("p/a.py", "from p.b import *", ["p/b/__init__.py"]),
        ("p/a.py", "from p.m import name", ["p/m.py"]),
        ("p/a.py", "from p.b import d", ["p/b/d.pyi"]),
        ("p/a.py", "from p.n import o", ["p/n/o.py"]),
        ("p/m.pyi", "from p.b import c", ["p/b/c.py"]),
        ("p/x.pyi", "from p import m", ["p/m.pyi"]),
        ("p/b/c.py", "from . import name", ["p/b/__init__.py"]),
        ("p/b/__init__.py", "from . import c, name", ["p/b/c.py"]),
        ("p/b/c.py", "from .. import m", ["p/m.py"]),
        ("p/b/c.py", "from ..m import x", ["p/m.py"]),
        ("p/b/c.py", "from ... import p", ["p/__init__.py"]),
        ("p/b/c.py", "from .... import p", []),
        ("p/a.py", "import p.a", []),
        ("p/a.py", "import b", []),
    ],
)
def test_packages_and_modules(source: str, statement: str, wanted: list[str]) -> None:
    assert needs(PACKAGE, source, statement) == wanted


@pytest.mark.parametrize(
    ("paths", "source", "statement", "wanted"),
    [
        # layouts
        ("src/p/__init__.py src/p/a.py tests/t.py", "tests/t.py", "import p.a", ["src/p/a.py"]),
        (
            "lib/p/__init__.py lib/p/a.py test/__init__.py test/t.py",
            "test/t.py",
            "import p.a",
            ["lib/p/a.py"],
        ),
        ("x/y/p/__init__.py x/y/p/a.py doc/t.py", "doc/t.py", "import p.a", ["x/y/p/a.py"]),
        ("src/one.py tests/t.py", "tests/t.py", "import one", ["src/one.py"]),
        # a test tree with its own root, and what it sees
        (
            "p/__init__.py tests/q/__init__.py tests/q/a.py",
            "tests/q/b.py",
            "import q.a, p",
            ["tests/q/a.py", "p/__init__.py"],
        ),
        ("p/__init__.py p/a.py tests/yaml/__init__.py", "p/a.py", "import yaml", []),
        ("tests/h.py tests/unit/t.py", "tests/unit/t.py", "import h", ["tests/h.py"]),
        # a script's folder comes first; other scripts' folders are not searched
        ("a/run.py a/u.py b/u.py u.py", "a/run.py", "import u", ["a/u.py"]),
        ("a/run.py b/u.py", "a/run.py", "import u", []),
        # the nearest of several
        (
            "s1/src/p/__init__.py s2/src/p/__init__.py s2/t.py",
            "s2/t.py",
            "import p",
            ["s2/src/p/__init__.py"],
        ),
        # a folder without __init__ within a package belongs to it
        (
            "p/__init__.py p/n/a.py p/n/yaml.py",
            "p/n/a.py",
            "import yaml, p.n.yaml",
            ["p/n/yaml.py"],
        ),
        # namespace packages, below the root and below src; a regular one wins
        ("g/c/__init__.py g/c/a.py t.py", "t.py", "from g.c import a", ["g/c/a.py"]),
        ("src/g/c/a.py t/t.py", "t/t.py", "import g.c.a", ["src/g/c/a.py"]),
        ("t/g/a.py src/g/__init__.py src/g/a.py", "t/t.py", "import g.a", ["src/g/a.py"]),
        # the standard library's names
        ("p/__init__.py p/a.py p/json.py", "p/a.py", "import json", []),
        ("src/json.py p.py", "p.py", "import json", []),
        (
            "json/__init__.py json/decoder.py os.py",
            "os.py",
            "import json.decoder",
            ["json/decoder.py"],
        ),
        # both: the package before the module, the source before the stub
        ("p/__init__.py p.py t.py", "t.py", "import p", ["p/__init__.py"]),
        ("q.pyx q.pyi t.py", "t.py", "import q", ["q.pyx"]),
    ],
)
def test_roots(paths: str, source: str, statement: str, wanted: list[str]) -> None:
    assert needs(paths, source, statement) == wanted


def test_a_package_read_as_a_repository_is_known_by_the_name_it_uses() -> None:
    paths = "__init__.py core.py sub/__init__.py sub/x.py json.py random.py"
    text = "import pack.core, pack.sub.x\nimport numpy.random, numpy.linalg, numpy.fft, json\n"
    assert needs(paths, "sub/__init__.py", text) == ["core.py", "sub/x.py"]
    assert needs(paths, "core.py", "from pack.sub import x\nfrom pack import name") == [
        "sub/x.py",
        "__init__.py",
    ]
    assert needs(paths, "core.py", "import sub.x") == ["sub/x.py"]  # no name: an accidental one


def test_a_reference_is_a_value() -> None:
    assert Reference(target="a", kind="import") == scan("import a")[0]


def test_empty_brackets_import_nothing() -> None:
    assert scan("from a import ()\nimport ()\nimport b\n") == [Reference(target="b", kind="import")]
