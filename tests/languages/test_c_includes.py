"""C and C++ includes: the scan by hand, the edges against the compiler's own."""

import shutil
import subprocess
from pathlib import Path

import pytest

from codekiln.corpus.ordering.graph import build_graph
from codekiln.languages.c import CResolver
from codekiln.languages.c_scan import scan
from codekiln.languages.resolve import PathIndex
from codekiln.types import SourceFile


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('#include "a.h"', [("a.h", False)]),
        ("#include <a/b.h>", [("a/b.h", True)]),
        ('  #  include"a.h" // why', [("a.h", False)]),
        ('#include_next "a.h"', [("a.h", False)]),
        ('/* c */ #include "a.h"', [("a.h", False)]),
        ('/*\n * c\n */#include "a.h"\r\n#include "b.h"\r\n', [("a.h", False), ("b.h", False)]),
        (
            '#ifdef X\n#include "a.h"\n#else\n#include "b.h"\n#endif',
            [("a.h", False), ("b.h", False)],
        ),
        (
            '#if 0\n#include "a.h"\n#else\n#include "b.h"\n#endif\n#include "c.h"',
            [("b.h", False), ("c.h", False)],
        ),
        (
            '#if 0 /* old */\n#if X\n#include "a.h"\n#endif\n#endif\n#include "c.h"',
            [("c.h", False)],
        ),
        ('char *s = "/*";\n#include "a.h"\n// */', [("a.h", False)]),
        ('// see /*\n#include "a.h"', [("a.h", False)]),
        ('char c = \'"\';\n#include "a.h"', [("a.h", False)]),
        ('x = "FOR";\n#include "a.h"', [("a.h", False)]),
    ],
)
def test_directives(text: str, wanted: list[tuple[str, bool]]) -> None:
    assert [(r.target, r.system) for r in scan(text)] == wanted
    assert {r.kind for r in scan(text)} == {"include"}


@pytest.mark.parametrize(
    "text",
    [
        '// #include "a.h"',
        '/*\n#include "a.h"\n*/',
        '/* open\n#include "a.h"',
        '// goes on \\\n#include "a.h"',
        'const char *s = R"x(\n#include "a.h"\n)x";',
        "#include MACRO",
        '#if __has_include("a.h")\n#endif',
        'puts("#include <a.h>");',
        '#if 0\n#include "a.h"\n#endif',
        "#import <Foundation.h>",
    ],
)
def test_what_is_no_directive(text: str) -> None:
    assert scan(text) == []


@pytest.mark.parametrize(
    ("paths", "source", "line", "wanted"),
    [
        ("src/a.c src/a.h include/a.h", "src/a.c", '"a.h"', ["src/a.h"]),
        ("src/a.c src/a.h include/a.h", "src/a.c", "<a.h>", ["src/a.h"]),
        ("src/a.c include/p/a.h", "src/a.c", "<p/a.h>", ["include/p/a.h"]),
        ("src/x/a.c src/y/b.h", "src/x/a.c", '"../y/b.h"', ["src/y/b.h"]),
        ("lib/x/a.c b.h", "lib/x/a.c", '"b.h"', ["b.h"]),
        ("m/one/a.c m/deep/two/inc/q/b.h", "m/one/a.c", '"q/b.h"', ["m/deep/two/inc/q/b.h"]),
        ("a/x.c b/c/k.h d/e/k.h", "a/x.c", '"k.h"', []),
        ("a/x.c a/c/k.h d/e/k.h", "a/x.c", '"k.h"', ["a/c/k.h"]),
        ("a/x.c compat/z/string.h", "a/x.c", "<string.h>", []),
        ("src/x.c include/string.h", "src/x.c", "<string.h>", ["include/string.h"]),
        ("src/x.c compat/sys/time.h", "src/x.c", "<sys/time.h>", []),
        ("src/x.c src/string.h", "src/x.c", '"string.h"', ["src/string.h"]),
        ("x.h", "x.h", '"x.h"', []),
        ("x.c etc/passwd", "x.c", '"/etc/passwd"', []),
        ("x.c data.inc", "x.c", '"data.inc"', ["data.inc"]),
    ],
)
def test_search_paths(paths: str, source: str, line: str, wanted: list[str]) -> None:
    resolver = CResolver(PathIndex(paths.split()))
    (reference,) = resolver.imports(f"#include {line}\n")
    assert list(resolver.resolve(reference, source)) == wanted


TREE = {
    "src/main.c": '#include <stdio.h>\n#include "util/list.h"\n#include <proj/api.h>\n'
    '/* #include "dead.h" */\n#if 0\n#include "dead.h"\n#endif\nint main(void) { return 0; }\n',
    "src/util/list.c": '#include "list.h"\n#include "../config.h"\n',
    "src/util/list.h": "#ifndef L\n#define L\n#include <proj/types.h>\n#endif\n",
    "src/config.h": "#pragma once\n",
    "src/dead.h": "#pragma once\n",
    "include/proj/api.h": '#pragma once\n#include "types.h"\n#  include <stddef.h>\n',
    "include/proj/types.h": "#pragma once\n// #include <proj/api.h>\n",
    "tests/test_list.c": '#include "util/list.h"\n#include <string.h>\n',
}


def test_what_a_source_reaches_is_what_the_compiler_reads(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    for path, text in TREE.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    graph = build_graph([SourceFile(path=p, text=t, language="c") for p, t in TREE.items()])
    after: dict[str, set[str]] = {path: set() for path in graph.files}
    for edge in graph.edges:
        after[edge.source].add(edge.target)
    compared = 0
    for source in sorted(path for path in TREE if path.endswith(".c")):
        reached, todo = {source}, [source]
        while todo:
            new = after[todo.pop()] - reached
            reached |= new
            todo += new
        command = ["gcc", "-MM", "-Iinclude", "-Isrc", source]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        read = {str(Path(word)) for word in done.stdout.replace("\\\n", " ").split()[1:]}
        normal = {str((tmp_path / word).resolve().relative_to(tmp_path.resolve())) for word in read}
        assert reached == normal
        compared += len(reached)
    assert compared == 4 + 4 + 3
