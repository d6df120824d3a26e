"""The table of languages: complete, unambiguous, and right about real files."""

from __future__ import annotations

import pytest

from codekiln.languages.table import detect, languages, may_detect, path_header

# The names of DeepSeek-Coder's public list.
_NAMES = """
ada agda alloy antlr applescript assembly augeas awk batchfile bluespec c c-sharp clojure cmake
coffeescript common-lisp cpp css cuda dart dockerfile elixir elm emacs-lisp erlang f-sharp fortran
glsl go groovy haskell html idris isabelle java java-server-pages javascript json julia
jupyter-notebook kotlin lean literate-agda literate-coffeescript literate-haskell lua makefile maple
markdown mathematica matlab ocaml pascal perl php powershell prolog protocol-buffer python r racket
restructuredtext rmarkdown ruby rust sas scala scheme shell smalltalk solidity sparql sql stan
standard-ml stata systemverilog tcl tcsh tex thrift typescript verilog vhdl visual-basic xslt yacc
yaml zig
"""
PUBLIC = _NAMES.split()


def name_of(path: str, head: str = "") -> str | None:
    language = detect(path, head)
    return language.name if language else None


def test_every_language_of_the_public_list_is_known() -> None:
    assert len(PUBLIC) == 89
    assert set(PUBLIC) <= set(languages())


def test_no_suffix_name_or_interpreter_belongs_to_two_languages() -> None:
    for words in ("suffixes", "filenames", "interpreters"):
        seen: dict[str, str] = {}
        for language in languages().values():
            for word in getattr(language, words):
                assert seen.setdefault(word, language.name) == language.name, word


def test_entries_are_well_formed() -> None:
    for name, language in languages().items():
        assert language.name == name
        assert language.suffixes
        assert all(suffix.startswith(".") for suffix in language.suffixes), name
        assert language.comment[0]
        assert language.kind in ("code", "markup", "data", "prose")


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_language_is_found_by_its_first_suffix(name: str) -> None:
    assert name_of(f"some/folder/file{languages()[name].suffixes[0]}") == name


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("src/pkg/mod.py", "python"),
        ("UPPER.PY", "python"),
        ("a.C", "cpp"),  # case tells these two apart
        ("a.c", "c"),
        ("a.S", "assembly"),
        ("Makefile", "makefile"),
        ("sub/GNUmakefile", "makefile"),
        ("Makefile.am", "makefile"),
        ("makefile.py", "python"),
        ("Makefile.PL", "perl"),
        ("Dockerfile", "dockerfile"),
        ("Dockerfile.dev", "dockerfile"),
        ("CMakeLists.txt", "cmake"),
        ("x/config.cmake.in", "cmake"),
        ("paper.lagda.tex", "literate-agda"),  # the longest suffix wins
        ("notes.tex", "tex"),
        ("a.b.c.ts", "typescript"),
        ("types.d.ts", "typescript"),
        (".bashrc", "shell"),
        (".eslintrc", "json"),
        ("notebook.ipynb", "jupyter-notebook"),
        ("photo.png", None),
        ("README", None),
        ("notes.txt", None),
        ("folder.py/data", None),
        ("", None),
        (".", None),
        ("trailing.", None),
    ],
)
def test_by_name(path: str, language: str | None) -> None:
    assert name_of(path) == language


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("#!/bin/sh\n", "shell"),
        ("#!/usr/bin/python3.11 -u\n", "python"),
        ("#!/usr/bin/env python\n", "python"),
        ("#!/usr/bin/env -S python3 -u\n", "python"),
        ("#!/usr/bin/env -S LANG=C perl -w\n", "perl"),
        ("#! /usr/local/bin/ruby2.7\r\n", "ruby"),
        ("#!/usr/bin/tclsh8.6\n", "tcl"),
        ("#!/usr/bin/env node", "javascript"),
        ("#!/usr/bin/Rscript\n", "r"),
        ("#!/opt/unheard/of\n", None),
        ("#!\n", None),
        ("#!/usr/bin/env\n", None),
        ("no shebang\n", None),
    ],
)
def test_by_shebang(line: str, language: str | None) -> None:
    assert name_of("bin/tool", line) == language
    assert may_detect("bin/tool")


def test_a_name_comes_before_the_shebang() -> None:
    assert name_of("tool.rb", "#!/usr/bin/python\n") == "ruby"


@pytest.mark.parametrize(
    ("path", "head", "language"),
    [
        ("x.h", "int f(void);\n", "c"),
        ("x.h", "", "c"),
        ("x.h", '#ifdef __cplusplus\nextern "C" {\n#endif\nstruct a { int class_; };\n', "c"),
        ("x.h", "/* a class of things: */\nstruct s;\n", "c"),
        ("x.h", "// licence\n\nnamespace a {\nint f();\n}\n", "cpp"),
        ("x.h", "template <typename T> T f(T);\n", "cpp"),
        ("x.h", "class Foo : public Bar {\n public:\n};\n", "cpp"),
        ("x.h", "#include <vector>\n", "cpp"),
        ("x.h", "#include <stdio.h>\n", "c"),
        ("x.h", "#import <Foundation/Foundation.h>\n@interface A\n@end\n", None),
        ("x.h", "/* " + "l" * 5000 + " */\n\nclass A {\n};\n", "cpp"),
        ("x.m", "function y = f(x)\n  y = x;\nend\n", "matlab"),
        ("x.m", '#import "A.h"\n@implementation A\n@end\n', None),
        ("x.m", "(* ::Package:: *)\nf[x_] := x\n", "mathematica"),
        ("x.pl", "use strict;\nmy $x = 1;\n", "perl"),
        ("x.pl", ":- module(x, [f/1]).\nf(X) :- g(X).\n", "prolog"),
        ("x.v", "module m(input a);\nendmodule\n", "verilog"),
        ("x.v", "Require Import Arith.\nTheorem t : True.\n", None),
        ("x.ts", "export const a = 1\n", "typescript"),
        ("x.ts", '<?xml version="1.0"?>\n<TS></TS>\n', None),
        ("x.cls", "\\ProvidesClass{x}\n", "tex"),
        ("x.cls", "VERSION 1.0 CLASS\nBEGIN\n", "visual-basic"),
        ("x.t", "use Test::More;\n", "perl"),
        ("x.t", "anything else\n", None),
    ],
)
def test_by_content_where_languages_share_a_suffix(
    path: str, head: str, language: str | None
) -> None:
    assert name_of(path, head) == language


def test_may_detect_never_hides_a_file_that_detect_knows() -> None:
    for language in languages().values():
        for name in language.filenames + tuple(f"a{s}" for s in language.suffixes):
            assert may_detect(f"x/{name.replace('*', 'y')}")
    assert not may_detect("a/photo.png")
    assert not may_detect("archive.tar.gz")


@pytest.mark.parametrize(
    ("path", "language", "header"),
    [
        ("pkg/mod.py", "python", "#pkg/mod.py\n"),
        ("src/a.c", "c", "//src/a.c\n"),
        ("index.html", "html", "<!--index.html-->\n"),
        ("a.css", "css", "/*a.css*/\n"),
        ("a.ml", "ocaml", "(*a.ml*)\n"),
        ("a.lua", "lua", "--a.lua\n"),
        ("package.json", "json", "//package.json\n"),
        ("a.xyz", "no such language", "#a.xyz\n"),
        ("naïve/数.py", "python", "#naïve/数.py\n"),
        ("two\nlines.py", "python", "#two?lines.py\n"),
    ],
)
def test_path_header(path: str, language: str, header: str) -> None:
    assert path_header(path, language) == header


@pytest.mark.timeout(60)  # quadratic time would take hours
def test_patterns_take_linear_time_on_hostile_heads() -> None:
    for unit in ("class a ", "a(", "(", " ", "\t", "namespace ", "a::", "#include <", "foo(a) "):
        for suffix in (".h", ".m", ".pl", ".v", ".fs", ".pp", ".cls", ".st", ".sc", ".pro", ".t"):
            detect(f"x{suffix}", unit * 40_000)
