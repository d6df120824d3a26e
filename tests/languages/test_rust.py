"""Rust: modules and paths by hand; edges against rustc's own resolution on whole crates."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codekiln.corpus.ordering.graph import Graph, build_graph
from codekiln.languages.rust_scan import RustBlock, scan
from codekiln.types import SourceFile


def graph(texts: Mapping[str, str]) -> Graph:
    built = {p: t for p, t in texts.items() if p.endswith("Cargo.toml")}
    files = [
        SourceFile(path=p, text=t, language="rust") for p, t in texts.items() if p not in built
    ]
    return build_graph(files, build_files=built)


def edges(texts: Mapping[str, str]) -> set[tuple[str, str, str]]:
    return {(e.source, e.target, e.kind) for e in graph(texts).edges}


def own(text: str) -> RustBlock:
    return scan(text, {}).blocks[0]


@pytest.mark.parametrize(
    ("tree", "wanted"),
    [
        ("a", ["a=a"]),
        ("a::b as c", ["c=a::b"]),
        ("crate::{a, b::{self, c as d, e::*}, f}", [
            "a=crate::a", "b=crate::b", "d=crate::b::c", "*=crate::b::e::*", "f=crate::f",
        ]),
        ("super::{\n    a,\n    b,\n}", ["a=super::a", "b=super::b"]),
        ("::a::b", ["b=a::b"]),
        ("a::T as _", []),
        ("r#type::x", ["x=type::x"]),
    ],
)  # fmt: skip
def test_use_trees(tree: str, wanted: list[str]) -> None:
    assert [f"{u.name}={'::'.join(u.path)}" for u in own(f"pub use {tree};").uses] == wanted


@pytest.mark.parametrize(
    "text",
    [
        "// mod x; use a::b;",
        "/* mod x; /* nested */ use a::b; */",
        "/* open mod x; use a::b;",
        'let s = "mod x; use a::b;";',
        'let s = r#"mod x; " use a::b;"#;',
        'let s = r##"mod x; "# use a::b;"##;',
        'let s = b"\\" mod x; use a::b;";',
        'let s = "open mod x; use a::b;',
    ],
)
def test_comments_and_strings_say_nothing(text: str) -> None:
    found = own(text)
    assert (found.mods, found.uses, found.paths) == ((), (), ())


def test_quotes_in_characters_and_lifetimes_open_nothing() -> None:
    found = own("fn f<'a>(x: &'a str) { x == '\"' || x == '\\'' || x == '\"' }\nmod x;\n")
    assert found.mods == (("x", False),)


def test_kinds_of_imports_and_inline_modules() -> None:
    found = scan(
        "use a::b;\n#[cfg(unix)]\nuse c::d;\nfn f() {\n    use e::f;\n}\n"
        "#[cfg(test)]\nmod tests {\n    use super::*;\n    mod deep { use g::h; }\n}\nmod z;\n",
        {},
    )
    kinds = {(block.place, use.name): use.kind for block in found.blocks for use in block.uses}
    assert kinds == {
        ((), "b"): "import",
        ((), "d"): "conditional",
        ((), "f"): "local",
        (("tests",), "*"): "conditional",
        (("tests", "deep"), "h"): "conditional",
    }
    assert found.blocks[0].mods == (("z", False),)


CARGO = '[package]\nname = "my-crate"\nedition = "2021"\n'


def test_modules_lie_where_the_compiler_looks() -> None:
    texts = {
        "Cargo.toml": CARGO,
        "src/lib.rs": "mod a;\nmod b;\n#[cfg(test)]\nmod tests;\nmod inline {\n    mod deep;\n}\n"
        '#[path = "odd/name.rs"]\nmod odd;\n#[path = "u.rs"]\n#[cfg(unix)]\nmod os;\n'
        '#[cfg(windows)]\n#[path = "w.rs"]\nmod os;\n',
        "src/a.rs": "mod c;\n",
        "src/a/c.rs": "",
        "src/c.rs": "",
        "src/b/mod.rs": "mod d;\n",
        "src/b/d.rs": "",
        "src/tests.rs": "",
        "src/inline/deep.rs": "",
        "src/odd/name.rs": "mod beside;\n",
        "src/odd/beside.rs": "",
        "src/u.rs": "",
        "src/w.rs": "",
    }
    assert edges(texts) == {
        ("src/lib.rs", "src/a.rs", "declare"),
        ("src/lib.rs", "src/b/mod.rs", "declare"),
        ("src/lib.rs", "src/tests.rs", "conditional"),
        ("src/lib.rs", "src/inline/deep.rs", "declare"),
        ("src/lib.rs", "src/odd/name.rs", "declare"),
        ("src/lib.rs", "src/u.rs", "conditional"),
        ("src/lib.rs", "src/w.rs", "conditional"),
        ("src/a.rs", "src/a/c.rs", "declare"),
        ("src/b/mod.rs", "src/b/d.rs", "declare"),
        ("src/odd/name.rs", "src/odd/beside.rs", "declare"),
    }


def uses(texts: Mapping[str, str], source: str) -> set[tuple[str, str]]:
    return {(t, kind) for s, t, kind in edges(texts) if s == source}


TREE = {
    "Cargo.toml": CARGO,
    "src/lib.rs": "pub mod a;\nmod b;\nmod user;\npub use a::Thing;\npub use b::*;\n"
    "pub struct Root;\nextern crate alloc;\n",
    "src/a.rs": "pub struct Thing;\nmake! { Made }\n",
    "src/b.rs": "pub fn helper() {}\nuse std::fmt;\nmacro_rules! shout { () => {} }\n",
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("use crate::Root;", {("src/lib.rs", "import")}),
        ("use super::Root;", {("src/lib.rs", "import")}),
        ("use crate::Thing;", {("src/a.rs", "import")}),
        ("use crate::helper;", {("src/b.rs", "import")}),
        ("use crate::a::Made;", {("src/a.rs", "import")}),
        ("use crate::a::{self};", {("src/a.rs", "import")}),
        ("use crate::b::fmt;", set()),
        ("use crate::alloc::vec;", set()),
        ("use crate::nowhere;", {("src/lib.rs", "import")}),
        ("use std::a::Thing;", set()),
        ("use crate::a;\nfn f() { a::Thing::new() }", {("src/a.rs", "import")}),
        ("fn f() { crate::a::Thing::new::<u8>() }", {("src/a.rs", "use")}),
        ("fn f() { shout!() }", {("src/b.rs", "use")}),
        ("use super::*;\nfn f(x: Thing) {}", {("src/lib.rs", "import"), ("src/a.rs", "use")}),
        ("mod inner {\n    use super::super::Root;\n}", {("src/lib.rs", "import")}),
        ("mod inner {\n    use super::*;\n}\nstruct Root;", set()),
        ("fn f() {\n    use crate::a::Thing;\n}", {("src/a.rs", "local")}),
        ('include!("a.rs");', {("src/a.rs", "include")}),
        ("/* x /* y */ z */\nuse crate::a::Thing;", {("src/a.rs", "import")}),
    ],
)
def test_where_paths_lead(text: str, wanted: set[tuple[str, str]]) -> None:
    assert uses({**TREE, "src/user.rs": text}, "src/user.rs") == wanted


def test_crates_know_each_other_by_name() -> None:
    texts = {
        "Cargo.toml": '[workspace]\nmembers = ["one"]\n[workspace.package]\nedition = "2021"\n',
        "one/Cargo.toml": '[package]\nname = "the-one"\nedition.workspace = true\n',
        "one/src/lib.rs": "pub mod m;\npub use m::M;\n",
        "one/src/m.rs": "pub struct M;\n",
        "two/Cargo.toml": '[package]\nname = "two"\n[lib]\npath = "lib/root.rs"\n'
        '[dependencies]\nalias = { package = "the-one", path = "../one" }\n',
        "two/lib/root.rs": "extern crate alias;\nmod x;\npub struct Two;\n",
        "two/lib/x.rs": "use alias::M;\nuse x::Own;\n",
        "two/tests/t.rs": "use two::Two;\nuse the_one::M;\nmod common;\n",
        "two/tests/common/mod.rs": "",
        "two/src/main.rs": "fn main() { two::f() }\n",
    }
    assert edges(texts) == {
        ("one/src/lib.rs", "one/src/m.rs", "import"),
        ("two/lib/root.rs", "one/src/lib.rs", "import"),
        ("two/lib/root.rs", "two/lib/x.rs", "declare"),
        ("two/lib/x.rs", "one/src/m.rs", "import"),
        ("two/tests/t.rs", "two/lib/root.rs", "import"),
        ("two/tests/t.rs", "one/src/m.rs", "import"),
        ("two/tests/t.rs", "two/tests/common/mod.rs", "declare"),
        ("two/src/main.rs", "two/lib/root.rs", "use"),
    }


def test_damaged_manifests_and_files_without_crate() -> None:
    texts = {
        "Cargo.toml": "[package\n",
        "x/a.rs": "mod b;\nuse b::B;\n",
        "x/b.rs": "pub struct B;\n",
    }
    assert edges(texts) == {("x/a.rs", "x/b.rs", "import")}
    assert edges({**texts, "Cargo.toml": "a = " + "[" * 100_000}) == {
        ("x/a.rs", "x/b.rs", "import")
    }


def test_cycles_through_every_file_end() -> None:
    count = 60
    lines = "".join(
        f'#[path = "m{n}.rs"]\npub mod m{n};\npub use self::m{n}::*;\n' for n in range(count)
    )
    text = lines + "use super::*;\nfn f() { Missing::new(); g(Other) }\n"
    found = graph({"Cargo.toml": CARGO, **{f"src/m{n}.rs": text for n in range(count)}})
    assert found.failed == ()
    assert len(found.edges) == count * (count - 1)


TOKENS = st.sampled_from(
    [
        "use ",
        "mod ",
        "a",
        "b::",
        "::",
        "{",
        "}",
        ";",
        ",",
        "*",
        "crate::",
        "self::",
        "super::",
        " as ",
        '"',
        'r"',
        'r#"',
        '"#',
        "'",
        "\\",
        "//",
        "/*",
        "*/",
        "\n",
        "fn ",
        "struct ",
        "macro_rules! ",
        "x!(",
        "#[cfg(test)]",
        '#[path = "a.rs"]',
        'include!("b.rs")',
        "extern crate ",
        "pub ",
        "\x00",
        "é",
        "    ",
    ]
)


@given(st.lists(TOKENS, max_size=60).map("".join))
def test_no_text_breaks_the_scan(text: str) -> None:
    found = graph({"Cargo.toml": text, "lib.rs": text, "a.rs": text, "a/b.rs": "mod c;" + text})
    assert found.failed == ()


def load_oracle() -> ModuleType:
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        import oracle_rust
    finally:
        sys.path.pop(0)
    return oracle_rust


def only(folder: Path) -> Path:
    (found,) = folder.glob("usr/share/cargo/registry/*/Cargo.toml")
    return found.parent


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("package", "edition", "features", "least"),
    [
        ("librust-aho-corasick-dev", "2018", "std", 60),
        ("librust-nom-dev", "2018", "std alloc", 60),
        ("librust-object-dev", "2018", "read_core read coff elf macho pe archive std", 300),
    ],
)  # fmt: skip
def test_recall_and_precision_against_rustc(
    debian_package: Callable[[str], Path], tmp_path: Path, package: str, edition: str,
    features: str, least: int,
) -> None:  # fmt: skip
    """rustc sees one configuration, and no macro: edges of these sorts can't be called wrong."""
    if shutil.which("rustc") is None:
        pytest.skip("needs rustc")
    oracle = load_oracle()
    root = only(debian_package(package))
    options = [word for f in features.split() for word in ("--cfg", f'feature="{f}"')]
    options += [
        "--extern",
        f"memchr={library(only(debian_package('librust-memchr-dev')), tmp_path)}",
    ]
    wanted: set[tuple[str, str]] = set()
    members: set[str] = set()
    for more in ([], ["--test"]):
        resolved, files = oracle.edges(oracle.hir(root, "src/lib.rs", edition, *options, *more))
        wanted |= resolved
        members |= files
    if not members:
        pytest.skip("needs a rustc that prints its HIR as this test reads it")
    assert len(wanted) >= least
    texts = {
        p.relative_to(root).as_posix(): p.read_text("utf-8", "replace")
        for pattern in ("*.rs", "Cargo.toml")
        for p in root.rglob(pattern)
    }
    found = {
        (s, t)
        for s, t, kind in edges(texts)
        if {s, t} <= members and ((s, t) in wanted or kind != "conditional")
    }
    found -= {(s, t) for s, t in found - wanted if by_macro(texts[s], texts[t])}
    recall = len(found & wanted) / len(wanted)
    precision = len(found & wanted) / len(found)
    print(f"{package}: {len(wanted)} edges, recall {recall:.4f}, precision {precision:.4f}")
    assert recall >= 0.95
    assert precision >= 0.95


def library(root: Path, folder: Path) -> Path:
    """A crate without dependencies, compiled for the others."""
    path = folder / "libmemchr.rlib"
    command = ["rustc", "--edition", "2018", "--crate-type", "lib", "--crate-name", "memchr"]
    command += ["--cap-lints", "allow", "--cfg", 'feature="std"', "-o", str(path), "src/lib.rs"]
    subprocess.run(command, cwd=root, capture_output=True, check=True)
    return path


def by_macro(source: str, target: str) -> bool:
    declared = set(re.findall(r"macro_rules!\s*(\w+)", target))
    return bool(declared & set(re.findall(r"(\w+)!", source)))


def test_a_glob_of_nothing_is_no_crash() -> None:
    texts = {
        "Cargo.toml": '[package]\nname = "a"\n',
        "src/lib.rs": "mod b;\nuse *;\npub use {*};\nuse b::*;\nfn f() { thing(); }\n",
        "src/b.rs": "pub fn thing() {}\nuse super::*;\nuse ::*;\n",
    }
    sources = [
        SourceFile(path=path, text=text, language="rust")
        for path, text in texts.items()
        if path.endswith(".rs")
    ]
    graph = build_graph(sources, build_files={"Cargo.toml": texts["Cargo.toml"]})
    assert graph.failed == ()
    assert ("src/lib.rs", "src/b.rs") in {(e.source, e.target) for e in graph.edges}
