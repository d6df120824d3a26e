"""What a Rust file says: its modules, what they import, and the paths that they use.

Strings and comments are blanked, inline modules are cut out by their braces, and the rest is
searched. Macros are not expanded: a path in the arguments or in the body of one counts as if it
stood outside.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cache

from codekiln.languages.resolve import ReferenceKind

_RAW = "".join(rf'|(?<=r{"#" * n}")(?:[^"]++|"(?!{"#" * n}))*+(?:"{"#" * n})?' for n in range(1, 5))
_LITERAL = (
    rf'"(?:(?<=r")[^"]*+"?{_RAW}|(?:[^"\\]++|\\[\s\S])*+"?)'
    r"|'(?:[^'\\\n]|\\[^\n][^'\\\n]{0,10})'"
)
_BLANK = re.compile(rf"//[^\n]*+|/\*(?:[^*/]++|\*(?!/)|/(?!\*))*+(?:\*/)?|{_LITERAL}")
_NESTING = re.compile(rf"/\*|//[^\n]*+|{_LITERAL}")
_COMMENT_EDGE = re.compile(r"/\*|\*/")

_INLINE = re.compile(r"mod(?<!\wmod)\s+(\w+)\s*\{")
_BRACE = re.compile(r"mod(?<!\wmod)\s+(\w+)\s*\{|[{}]")
_DEEPEST = 32  # inline modules within each other; deeper ones count as part of the one around

_MOD = re.compile(r"mod(?<!\wmod)\s+(\w+)\s*;")
_USE = re.compile(r"use(?<!\wuse)\s+([\w\s:{},*]*+)(;?)")
_PUBLIC = re.compile(r"pub\s*(?:\([^()]*\)\s*)?\Z")
_EXTERN = re.compile(r"extern\s+crate\s+(\w+)(?:\s+as\s+(\w+))?\s*;")
_TREE = re.compile(r"\w+|[{},*]")
_MACRO = re.compile(r"macro_rules!\s*(\w+)|macro(?<!\wmacro)\s+(\w+)\s*[({]")
_PATH = re.compile(r"\w++(?:::\w++)+")
_PATH_ATTRIBUTE = re.compile(r'path\s*=\s*"([^"\n]+)"[^;{}"]{0,400}?mod(?<!\wmod)\s+(\w+)\s*[;{]')
_INCLUDE = re.compile(r'include(?:_str|_bytes)?!\s*[({\[]\s*"([^"\n]+)"')
_SPACES = bytes(
    code if code >= 128 or chr(code).isalnum() or chr(code) in "_:!" else 32 for code in range(256)
)
_OUTSIDE = frozenset({"std", "core", "alloc", "Self", "String", "Vec", "Option", "Some"})


@dataclass(frozen=True, slots=True)
class Use:
    """One name that a module imports.

    Args:
        path: segments of what is imported; a last one "*" stands for all names.
        name: under which it is known: that after `as`, or the last segment.
        kind: local within a function, conditional under `#[cfg]`, import otherwise.
        external: from `extern crate`: the first segment names a crate.
        public: re-exported: `pub use`.
    """

    path: tuple[str, ...]
    name: str
    kind: ReferenceKind
    external: bool = False
    public: bool = False


@dataclass(frozen=True, slots=True)
class RustBlock:
    """One module as far as it stands in one file: the file's own, or an inline one.

    Args:
        place: names of the inline modules from the file's own down to this; empty for its own.
        conditional: under `#[cfg]`, or within a module that is.
        mods: name, and whether under `#[cfg]`, of each `mod x;`.
        uses: what it imports.
        paths: "a::b" as used in code.
        names: names used alone; gathered only where a glob import may have brought them.
        declares: names of its items, those that stand where rustfmt puts them.
        macros: names that `macro_rules!` declares.
        calls: names of macros used.
    """

    place: tuple[str, ...]
    conditional: bool
    mods: tuple[tuple[str, bool], ...]
    uses: tuple[Use, ...]
    paths: tuple[str, ...]
    names: tuple[str, ...]
    declares: frozenset[str]
    macros: tuple[str, ...]
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RustFile:
    """What one Rust file says.

    Args:
        blocks: its modules, its own first.
        located: module name -> paths that `#[path = "..."]` gives it.
        includes: paths of `include!("...")` and its like.
    """

    blocks: tuple[RustBlock, ...]
    located: dict[str, list[str]] = field(default_factory=dict)
    includes: tuple[str, ...] = ()


def scan(text: str, known: dict[str, str]) -> RustFile:
    """Read a Rust file.

    Args:
        text: of the file.
        known: name -> the one object that stands for it in all files; grows.
    """
    bare = _without_comments(text, literals=False)
    if "r#" in bare:
        bare = bare.replace("r#", "")
    blocks = tuple(
        _block(place, conditional, part, known) for place, conditional, part in _parts(bare)
    )
    located: dict[str, list[str]] = {}
    includes: list[str] = []
    if "include" in text or ("path" in text and _PATH_HINT.search(text)):
        kept = _without_comments(text, literals=True)
        for path, name in _PATH_ATTRIBUTE.findall(kept):
            located.setdefault(name, []).append(path)
        includes = _INCLUDE.findall(kept)
    return RustFile(blocks=blocks, located=located, includes=tuple(includes))


_PATH_HINT = re.compile(r'path\s*=\s*"')


def _same(names: Collection[str], known: dict[str, str]) -> tuple[str, ...]:
    return tuple(map(known.setdefault, names, names))


def _without_comments(text: str, *, literals: bool) -> str:
    """The text with comments blanked, and literals too unless they are asked for."""

    def kept(match: re.Match[str]) -> str:
        return " " if match[0][0] == "/" else match[0]

    bare = _BLANK.sub(kept if literals else " ", text)
    return "".join(_unnested(text, literals)) if "*/" in bare and "/*" in text else bare


def _unnested(text: str, literals: bool) -> Iterator[str]:
    """The parts of a text between its comments, which may hold comments themselves."""
    at = 0
    while True:
        match = _NESTING.search(text, at)
        if match is None:
            yield text[at:]
            return
        yield text[at : match.start()]
        yield match[0] if literals and match[0][0] != "/" else " "
        at = match.end()
        depth = int(match[0] == "/*")
        while depth:
            edge = _COMMENT_EDGE.search(text, at)
            if edge is None:
                return
            depth += 1 if edge[0] == "/*" else -1
            at = edge.end()


def _parts(text: str) -> list[tuple[tuple[str, ...], bool, str]]:
    """Place, condition and text of the file's own module and of each inline one."""
    pieces: dict[tuple[str, ...], list[str]] = {(): []}
    conditional: dict[tuple[str, ...], bool] = {(): False}
    place: tuple[str, ...] = ()
    depths: list[int] = []
    start = at = 0
    while True:
        match = (_BRACE if depths else _INLINE).search(text, at)
        if match is None:
            break
        at = match.end()
        if match[1] and len(place) < _DEEPEST:
            pieces[place].append(text[start : match.start()])
            outer = conditional[place]
            place = (*place, match[1])
            pieces.setdefault(place, [])
            conditional[place] = outer or _under_condition(text, match.start())
            depths.append(0)
            start = at
        elif match[0] != "}":
            depths[-1] += 1
        elif depths[-1]:
            depths[-1] -= 1
        else:
            pieces[place].append(text[start : match.start()])
            place = place[:-1]
            depths.pop()
            start = at
    pieces[place].append(text[start:])
    return [(where, conditional[where], ";".join(found)) for where, found in pieces.items()]


def _under_condition(text: str, at: int) -> bool:
    """Whether the item at `at` stands behind `#[cfg(...)]`; its attributes are looked through."""
    before = text[max(at - 400, 0) : at]
    item = max(before.rfind(";"), before.rfind("{"), before.rfind("}")) + 1
    return "#[cfg" in before[item:]


def _block(
    place: tuple[str, ...],
    conditional: bool,
    text: str,
    known: dict[str, str],
) -> RustBlock:
    uses: list[Use] = []

    def note(match: re.Match[str]) -> str:
        if match[2]:
            kind = _use_kind(match, conditional, len(place))
            public = bool(_PUBLIC.search(text[max(match.start() - 40, 0) : match.start()]))
            uses.extend(
                Use(_same(path, known), known.setdefault(name, name), kind, public=public)
                for path, name in _leaves(match[1])
            )
        return " "

    if "use" in text:
        text = _USE.sub(note, text)
    if "crate" in text:
        uses += [
            Use((name,), alias or name, "conditional" if conditional else "import", external=True)
            for name, alias in _EXTERN.findall(text)
        ]
    mods = [
        (known.setdefault(match[1], match[1]), conditional or _under_condition(text, match.start()))
        for match in _MOD.finditer(text)
    ]
    spaced = text.encode("utf-8", "surrogatepass").translate(_SPACES)
    tokens = set(spaced.decode("utf-8", "surrogatepass").split())
    paths = {
        path
        for token in tokens
        if "::" in token
        for path in _PATH.findall(token)
        if path[: path.index(":")] not in _OUTSIDE
    }
    calls = {token[:-1] for token in tokens if token[-1] == "!" and len(token) > 1}
    macros = {one or other for one, other in _MACRO.findall(text)} if "macro" in text else set()
    declares = _same(set(_declared(len(place)).findall(text)), known)
    alone: set[str] = set()
    if any(use.path[-1] == "*" for use in uses):
        alone = {token.rstrip(":!") for token in tokens if "::" not in token}
        alone = {name for name in alone if name.isidentifier()}.difference(declares)
    return RustBlock(
        place=place,
        conditional=conditional,
        mods=tuple(mods),
        uses=tuple(uses),
        paths=_same(paths, known),
        names=_same(alone, known),
        declares=frozenset(declares),
        macros=_same(macros, known),
        calls=_same(calls - macros, known),
    )


@cache
def _declared(depth: int) -> re.Pattern[str]:
    """A search for the items of a module so deep; those of a type are indented further."""
    return re.compile(
        rf"^(?:\t|    ){{0,{depth}}}(?:pub(?:[ \t]*\([^()\n]*\))?[ \t]+)?"
        r"(?:(?:default|unsafe|async|auto|const|extern|safe)[ \t]+(?:\"\"[ \t]*)?(?=[a-z]))*+"
        r"(?:fn|struct|enum|trait|union|type|const|static|macro)[ \t]+(?:mut[ \t]+)?(\w+)",
        re.MULTILINE,
    )


def _use_kind(match: re.Match[str], conditional: bool, depth: int) -> ReferenceKind:
    text, at = match.string, match.start()
    if conditional or _under_condition(text, at):
        return "conditional"
    line = text[max(at - 200, 0) : at]
    line = line[line.rfind("\n") + 1 :].expandtabs(4)
    return "local" if len(line) - len(line.lstrip()) > 4 * depth else "import"


def _leaves(tree: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """The path and the name of each import in a `use` tree, such as `a::{b, c as d, e::*}`."""
    prefixes: list[tuple[str, ...]] = []
    prefix: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    name = ""
    renamed = False
    for token in [*_TREE.findall(tree), ","]:
        if token == "{":
            prefixes.append(prefix)
            prefix, name = path, ""
        elif token in (",", "}"):
            if len(path) > len(prefix) and name != "_":
                yield (path[:-1], name) if path[-1] == "self" and len(path) > 1 else (path, name)
            if token == "}":
                prefix = prefixes.pop() if prefixes else ()
                path, name = prefix, ""
            else:
                path, name = prefix, ""
        elif token == "as":
            renamed = True
            continue
        elif renamed:
            name = token
        elif len(path) < _DEEPEST:
            path = (*path, token)
            name = path[-2] if token == "self" and len(path) > 1 else token
        renamed = False
