"""The table of languages: complete, unambiguous, and right about real files."""

from __future__ import annotations

import pytest

from codekiln import registry
from codekiln.languages.table import (
    detect,
    family,
    languages,
    main_language,
    may_detect,
    path_header,
    select,
    v1_languages,
    v2_languages,
)
from codekiln.types import Span

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

# The names of DeepSeek-Coder-V2's public list, as they stand there.
_V2_NAMES = """
ABAP; AGS Script; AMD GPU; AMPL; ANSYS Parametric Design Language; ANTLR; APL; ASP; AWK;
ActionScript; Ada; Agda; Alloy; AmbientTalk; Apache Configuration; AppleScript; Arc; Arduino;
AspectJ; Assembly; Asymptote; Augeas; AutoHotkey; AutoIt; BC; BNF; BST; Berry; BitBake;
BlitzBasic; BlitzMax; Bluespec; Boo; Boogie; Brainfuck; BrightScript; Bro; C; C#; C++;
C2HS Haskell; CADL; CMake; COBOL; COBOLFree; CSS; CUDA; CapDL; Ceylon; Chapel; ChucK; Cirru;
Click; Clojure; CoffeeScript; ColdFusion CFC; Common Lisp; Crystal; Csound; Csound Score; Cypher;
Cython; DASM16; DM; Darcs Patch; Dart; Debian Control File; DeviceTree; Diff; Docker; Dockerfile;
Dylan; EBNF; ELPi; Eiffel; Elixir; Elm; Emacs Lisp; EmberScript; Erlang; Execline; F#; F*;
Factor; Fancy; Fantom; Felix; Fennel; Fish; Flux; Fortran; Fortran Fixed Form; FoxPro; FreeFem;
FreeMarker; Futhark; G-Code; GAP; GAS; GDScript; GLSL; GSQL; Genshi; Gentoo Ebuild;
Gentoo Eclass; Gettext Catalog; Glyph; Gnuplot; Go; Gosu; Grace; Gradle; Grammatical Framework;
GraphQL; Graphviz DOT; Groff; Groovy; Groovy Server Pages; HCL; HLSL; HTML; HTML Django;
HTML ERB; HTML PHP; HTTP; Handlebars; Haskell; Haxe; Hy; IGOR Pro; Idris; Inform 6 Template;
Inno Setup; Io; Isabelle; J; JAGS; JCL; JFlex; JSON; JSONiq; JSX; Jade; Jasmin; Java;
Java Server Pages; JavaScript; JavaScript MozPreproc; Julia; Jupyter Notebook; K; KRL; Kconfig;
Koka; Kotlin; LFE; LLVM; LSL; Lean; Less; Lex; Lighttpd Configuration File; LilyPond; Limbo;
Linker Script; Liquid; Literate Agda; Literate CoffeeScript; Logtalk; Lua; M4; MATLAB; MQL; MUF;
Makefile; Mako; Mason; Maxima; Meson; Metal; MiniScript; Mirah; Mizar; Modelica; Modula-2;
Monkey; MooCode; MoonScript; Mosel; MuPAD; NASM; NCL; NSIS; NetLinx; Nginx Configuration File;
Nimrod; Ninja; Nit; Nix; Nu; NuSMV; OCaml; OMG Interface Definition Language; Objdump;
Objective-C; Objective-C++; Octave; Odin; Opa; OpenCL; OpenEdge ABL; OpenSCAD; Ox; Oz; PAWN; PEG;
PHP; POD; POV-Ray; Papyrus; Parrot Internal Representation; Pascal; Perl; Perl 6; Pike;
PkgConfig; Pony; PowerShell; Praat; Processing; Propeller Spin; Protocol Buffer; Pug; Puppet;
PureBasic; PureScript; Python; Q; QML; QVTO; R; RAML; RConsole; REALbasic; REXX; RHTML; Racket;
Ragel in Ruby Host; Rd; ReasonML; Red; Ren'Py; RenderScript; Ride; Robot Framework; Rouge; Ruby;
Rust; S; SARL; SAS; SCSS; SMT; SPARQL; SQF; SQL; SWIG; Sage; Sass; Scala; Scheme; Scilab; Self;
ShExC; Shell; Sieve; Silver; Singularity; Slim; Smali; Smarty; Smithy; Solidity; SourcePawn;
Squirrel; Stan; Standard ML; Stata; Stylus; SuperCollider; Swift; SystemVerilog; Tcl; Tcsh; TeX;
Tea; Terminfo; Thrift; Transact-SQL; Treetop; Turing; Twig; TypeScript; TypoScript; USD;
Unity3D Asset; Uno; UnrealScript; UrWeb; VBScript; VCL; VHDL; Vala; Velocity; Verilog; VimL;
Visual Basic; Vue; Web IDL; WebAssembly; Whiley; X10; XBase; XC; XML; XML Lasso; XQuery; XS;
XSLT; Xtend; Xtlang; YANG; Zeek; Zephir; Zig; Zimpl; eC; ooc
"""
PUBLIC_V2 = [name.strip() for name in _V2_NAMES.split(";")]
_SPELT = {"C#": "c-sharp", "C++": "cpp", "F#": "f-sharp", "F*": "f-star", "Ren'Py": "renpy"}


def name_of(path: str, head: str = "") -> str | None:
    language = detect(path, head)
    return language.name if language else None


def test_every_language_of_the_public_list_is_known() -> None:
    assert len(PUBLIC) == 89
    assert set(PUBLIC) <= set(languages())
    assert v1_languages() == set(PUBLIC)


def test_every_language_of_the_second_list_is_known() -> None:
    assert len(PUBLIC_V2) == len(set(PUBLIC_V2)) == 338
    spelt = {_SPELT.get(name) or name.lower().replace(" ", "-") for name in PUBLIC_V2}
    assert v2_languages() == spelt
    assert set(languages()) == spelt | set(PUBLIC)


def test_dialects_belong_to_languages_of_the_first_list() -> None:
    for name, language in languages().items():
        assert language.family == name or language.family in v1_languages()
        assert languages()[language.family].family == language.family
        assert family(name) == language.family
    assert family("no such language") == "no such language"


def test_a_dialect_is_resolved_as_its_family_is() -> None:
    resolvers = registry.BUILT_IN["resolvers"]
    suffixes = {"arduino", "cython", "jsx"}  # those whose files import others of the family
    for name in suffixes & {n for n in languages() if family(n) in resolvers}:
        assert resolvers[name] == resolvers[family(name)]


def test_select_takes_languages_families_and_lists() -> None:
    assert select(["python"]) == {"python", "cython"}
    assert select(["cython"]) == {"cython"}
    assert select([]) == frozenset()
    assert select(["v1"]) == {n for n, entry in languages().items() if entry.family in PUBLIC}
    assert "jsx" in select(["v1"])
    assert "swift" not in select(["v1"])
    assert select(["v2"]) >= v2_languages()
    assert select(["v2"]) - v2_languages() == set()
    assert select(["v1", "v2"]) == set(languages())
    with pytest.raises(KeyError):
        select(["pyton"])


def test_no_suffix_name_or_interpreter_belongs_to_two_languages() -> None:
    for words in ("suffixes", "filenames", "interpreters"):
        seen: dict[str, str] = {}
        for language in languages().values():
            for word in getattr(language, words):
                assert seen.setdefault(word, language.name) == language.name, word


def test_entries_are_well_formed() -> None:
    for name, language in languages().items():
        assert language.name == name
        assert language.lists <= {"v1", "v2"}
        assert language.lists
        assert all(suffix.startswith(".") for suffix in language.suffixes), name
        assert language.comment[0]
        assert language.kind in ("code", "markup", "data", "prose")


def test_each_language_is_found_by_its_suffixes_names_and_interpreters() -> None:
    for name, language in languages().items():
        for suffix in language.suffixes:
            assert name_of(f"some/folder/file{suffix}") == name
        for filename in language.filenames:
            assert name_of(f"some/{filename.replace('*', 'xyz')}") == name
        for interpreter in language.interpreters:
            assert name_of("bin/tool", f"#!/usr/bin/env {interpreter}\n") == name


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
        ("pkg/debian/control", "debian-control-file"),
        ("debian/control", "debian-control-file"),
        ("src/control", None),
        ("notdebian/control", None),
        ("sub/Makefile.inc", "makefile"),
        ("conf/.htaccess", "apache-configuration"),
        ("page.html.erb", "html-erb"),
        ("lib.so.1", None),
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


# Where Pygments knows a language, its lexer must see the header as a comment.
_LEXERS = {
    "ansys-parametric-design-language": "ansys",
    "apache-configuration": "apacheconf",
    "asp": "html",
    "augeas": "augeas",
    "bluespec": "bsv",
    "c-sharp": "csharp",
    "debian-control-file": "debcontrol",
    "f-sharp": "fsharp",
    "f-star": "fstar",
    "fortran-fixed-form": "fortranfixed",
    "graphviz-dot": "graphviz",
    "hcl": "terraform",
    "html-django": "html+django",
    "html-erb": "html+erb",
    "html-php": "html+php",
    "java-server-pages": "jsp",
    "lighttpd-configuration-file": "lighttpd",
    "literate-agda": "literate-agda",
    "nginx-configuration-file": "nginx",
    "protocol-buffer": "protobuf",
    "robot-framework": "robotframework",
    "visual-basic": "vb.net",
    "web-idl": "webidl",
    "objective-c++": "objective-c++",
    "omg-interface-definition-language": "omg-idl",
}
_NOT_SEEN = {
    # no comments, as table_v2.toml says: the header is what a reader would take for one
    "bnf": "", "diff": "", "http": "", "objdump": "", "rconsole": "",
    # the lexer leaves these comments out
    "cirru": ";;", "debian-control-file": "#", "java-server-pages": "<%--", "markdown": "<!--",
    "moocode": "a string on its own",
    # the lexer of that name is another language's, or begins in the HTML around PHP
    "odin": "ODIN", "xbase": "FoxPro", "php": "<?php",
}  # fmt: skip


def _lexer(name: str):
    lexers = pytest.importorskip("pygments.lexers")
    try:
        return lexers.get_lexer_by_name(_LEXERS.get(name, name))
    except Exception:
        return None


def test_headers_are_comments_to_pygments() -> None:
    token = pytest.importorskip("pygments.token").Token
    checked, wrong = 0, []
    for name in languages():
        lexer = _lexer(name)
        if lexer is None or name in _NOT_SEEN:
            continue
        checked += 1
        kinds = [kind for kind, _ in lexer.get_tokens(path_header("folder/file.x", name))]
        if not any(kind in token.Comment for kind in kinds):
            wrong.append(name)
    assert checked > 240
    assert not wrong


def test_main_language_is_the_one_with_the_most_text() -> None:
    def span(language: str, size: int) -> Span:
        return Span(path="p", language=language, start=0, body=5, end=5 + size)

    assert main_language([span("c", 5), span("python", 4), span("c", 1)]) == "c"
    assert main_language([span("python", 5), span("c", 5)]) == "c"
    assert main_language([]) == ""
