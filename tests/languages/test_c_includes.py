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
        ('#import "a.h"', [("a.h", False)]),
        ('#define F "a.h"\n#include F', [("a.h", False)]),
        (
            '#ifdef X\n#define F <a.h>\n#else\n# define  F  "b.h"\n#endif\n#include F\n#include F',
            [("a.h", True), ("b.h", False)],
        ),
        ('#if __has_include("a.h")\n#include "a.h"\n#endif', [("a.h", False)]),
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
        "#importer <Foundation.h>",
        "#pragma include_alias(a.h)",
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


def needs(paths: str, source: str, text: str, **build_files: str) -> list[tuple[str, str]]:
    named = {path.replace("__", "."): text for path, text in build_files.items()}
    resolver = CResolver(PathIndex(paths.split(), named))
    scans = {source: resolver.scan(source, text)}
    return [(target, kind) for _, target, kind in resolver.edges(scans)]


def test_include_next_finds_neither_its_own_file_nor_the_system_s() -> None:
    paths = "src/a.h include/a.h src/stdio.h include/stdio.h"
    assert needs(paths, "src/a.h", "#include_next <a.h>\n") == [("include/a.h", "include")]
    assert needs(paths, "include/a.h", '#include_next "a.h"\n') == [("src/a.h", "include")]
    assert needs("lib/stdio.h x/stdio.h", "lib/stdio.h", "#include_next <stdio.h>\n") == []


def test_what_only_another_platform_s_folder_holds_is_conditional() -> None:
    paths = "src/a.c WIN32-Code/nmake/config.h"
    assert needs(paths, "src/a.c", '#include "config.h"\n') == [
        ("WIN32-Code/nmake/config.h", "conditional")
    ]
    ours = [("x/y/config.h", "include")]
    assert needs(paths + " x/y/config.h", "src/a.c", '#include "config.h"\n') == ours
    paths = "win/src/a.c win/inc2/config.h windows/b.h"
    assert needs(paths, "win/src/a.c", '#include "config.h"\n') == [
        ("win/inc2/config.h", "include")
    ]
    assert needs(paths, "win/src/a.c", '#include "windows/b.h"\n') == [("windows/b.h", "include")]


COMMANDS = """[
 {"directory": "/home/me/proj/build", "file": "../src/a.c",
  "command": "cc -I/home/me/proj/one -isystem ../three -I \\"../two\\" -iquote ../q -c ../src/a.c"},
 {"directory": "/home/me/proj/build", "file": "/home/me/proj/src/b.c",
  "arguments": ["cc", "-I", "../two", "-I../one", "-I/usr/include", "-c", "../src/b.c"]},
 {"directory": "/home/me/proj/build", "file": "gone.c", "command": "cc -I../gone gone.c"}
]"""


@pytest.mark.parametrize("root", ["/home/me/proj", ".."])
def test_compile_commands_give_the_search_path(root: str) -> None:
    text = COMMANDS.replace("/home/me/proj/build", "." if root == ".." else f"{root}/build")
    text = text.replace("/home/me/proj", root)
    paths = "src/a.c src/b.c src/c.h one/x.h two/x.h three/x.h q/x.h three/y.h four/y.h"

    def found(source: str, include: str) -> list[str]:
        wanted = needs(
            paths, source, f"#include {include}\n", **{"build/compile_commands__json": text}
        )
        return [target for target, _ in wanted]

    assert found("src/a.c", "<x.h>") == ["one/x.h"]
    assert found("src/a.c", '"x.h"') == ["q/x.h"]
    assert found("src/b.c", "<x.h>") == ["two/x.h"]
    assert found("src/a.c", "<y.h>") == ["three/y.h"]
    assert found("src/c.h", "<y.h>") == ["three/y.h"]  # a header searches where any source does


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, "{}", "[1]", '[{"file": 3}]', '[{"file": "a.c"}]', "null"]
)
def test_a_broken_compile_commands_is_passed_over(text: str) -> None:
    build = {"compile_commands__json": text}
    assert needs("a.c i/b.h", "a.c", '#include "b.h"\n', **build) == [("i/b.h", "include")]


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
