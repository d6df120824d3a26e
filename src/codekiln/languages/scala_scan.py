"""Scala source, of versions 2 and 3: packages, imports, what is declared, and the names in use.

Types are nested as they are indented, since Scala 3 may leave out the braces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from codekiln.languages.jvm_scan import (
    Declared,
    Import,
    Member,
    Unit,
    type_chain,
)
from codekiln.languages.kotlin_scan import COVERED, lambda_parameters, uncovered
from codekiln.languages.words import (
    LONGEST_HEAD,
    LONGEST_PARAMETERS,
    closed,
    inner_name,
    interned,
    keyword_matches,
    listed,
    word_table,
)

MOST_PACKAGES = 32  # whose members one file sees
_PATH = r"(?:`[^`\n]++`|[\w$]++)(?:\s*+\.\s*+(?:`[^`\n]++`|(?!_\b)[\w$]++))*+"
_MEMBERS = r"(?:\s*+\.\s*+(?:\{[^{}]*+\}|[_*]))?+(?:[ \t]++as[ \t]++\w++)?+"
_IMPORT = re.compile(
    rf"import(?<!\wimport)[ \t]++({_PATH}{_MEMBERS}(?:\s*+,\s*+{_PATH}{_MEMBERS})*+)"
)
_IMPORTED = re.compile(
    rf"({_PATH})(?:\s*+\.\s*+(?:\{{([^{{}}]*+)\}}|([_*])))?+(?:[ \t]++as[ \t]++(\w++))?+"
)
_DECLARING = ("package", "class", "trait", "object", "enum", "type", "def", "val", "given")
_DECLARATION = re.compile(
    r"(package|class|trait|object|enum|type|def|val|given)[ \t]++(object[ \t]++)?+"
    r"(`[^`\n]++`|[\w$]++(?:\.[\w$]++)*+)"
)
_MODIFIER = re.compile(
    r"\s*+(?:@[\w.]++\s*+)?+(?:private|protected)(?:\[[\w$]++\])?+(?=\s*+\()|\s*+"
)
_EXTENDS = re.compile(r"\s*+extends\s++")
_HEAD_MARK = re.compile(r"[(\[{:=\n]")
_GOES_ON = re.compile(r"\s*+(?:with|extends)\b|\s*+,")
_COMES_BEFORE = re.compile(r"(?:\bwith|\bextends|,)\s*\Z")
_PARAMETER = re.compile(r"\s*+[+-]?\s*+([\w$]++)")
_WORDS = word_table("@(=:")
_KEYWORD_LIST = """
abstract case catch class def derives do else enum export extends extension false final finally for
forSome given if implicit import inline lazy macro match new null object opaque open override
package private protected return sealed super then this throw trait transparent true try type using
val var while with yield _
"""
_KEYWORDS = frozenset(_KEYWORD_LIST.split())


def scan(text: str) -> Unit:
    """What a Scala file says."""
    code = COVERED.sub(uncovered if "${" in text else " ", text)
    found = _Declarations(code)
    names, values = _names(_IMPORT.sub("", code), found.hidden)
    return Unit(
        language="scala",
        packages=found.packages,
        imports=tuple(one for match in _IMPORT.finditer(code) for one in _imports(match[1])),
        declared=tuple(found.declared),
        members=tuple(found.members),
        names=interned(names),
        values=interned(values),
    )


def _imports(statement: str) -> Iterator[Import]:
    """The names of one statement: `a.b.{c, d => e}, x._`."""
    for match in _IMPORTED.finditer(statement):
        path = _plain(match[1])
        if match[3]:
            yield Import(path, "")
        elif match[2] is None:
            yield Import(path, match[4] or path[path.rfind(".") + 1 :])
        else:
            yield from (_selected(path, one) for one in match[2].split(",") if one.strip())


def _selected(path: str, selector: str) -> Import:
    words = _plain(selector.replace("=>", " ")).split()
    if words[0] in ("_", "*", "given"):
        return Import(path, "")
    return Import(f"{path}.{words[0]}", words[-1] if len(words) > 1 else words[0])


def _plain(path: str) -> str:
    return re.sub(r"\s*\.\s*", ".", path.replace("`", ""))


class _Around(NamedTuple):
    """What is around a place: a package, the type within it, and whether it is a function's body.

    `depth` counts the blanks before the declaration.
    """

    depth: int
    package: str = ""
    outer: str = ""
    local: bool = False


class _Declarations:
    """What a file declares.

    Attributes:
        packages: those whose members the file sees, innermost first; "" if none is named.
        declared: types and objects, outer ones first.
        members: what belongs to packages alone: by package objects, or written there (Scala 3).
        hidden: names that mean no declaration of another file.
    """

    def __init__(self, code: str) -> None:
        self.declared: list[Declared] = []
        self.members: list[Member] = []
        self.hidden: set[str] = set()
        self._code = code
        self._open: list[_Around] = []
        packages: dict[str, None] = {}
        for match in keyword_matches(code, _DECLARING, _DECLARATION):
            if match[1] == "package":
                packages[self._clause(match)] = None
            elif match[1] in ("def", "val", "given"):
                self._value(match)
            else:
                self._type(match)
        self.packages = tuple(reversed(packages))[:MOST_PACKAGES] or ("",)

    def _around(self, at: int) -> _Around:
        """What is around a place, with the depth of the place itself."""
        depth = _depth(self._code, at)
        while self._open and self._open[-1].depth >= depth:
            self._open.pop()
        return self._open[-1]._replace(depth=depth) if self._open else _Around(depth)

    def _clause(self, match: re.Match[str]) -> str:
        """Enter a package; one without braces lasts as long as the text around it."""
        around = self._around(match.start())
        name = match[3].replace("`", "")
        full = inner_name(around.package, name)
        rest = self._code[match.end() : match.end() + LONGEST_PARAMETERS].lstrip()
        bounded = bool(match[2]) or rest[:1] in ("{", ":")
        depth = around.depth if bounded else around.depth - 1
        self._open.append(_Around(depth, full))
        return full

    def _type(self, match: re.Match[str]) -> None:
        code, at = self._code, match.end()
        around = self._around(match.start())
        name = match[3].replace("`", "")
        full = inner_name(around.outer, name)
        self._open.append(around._replace(outer=full))
        if code.startswith("[", at):
            parameters, at = listed(code, at)
            self._hide(parameters)
        head = "" if match[1] == "type" else _head(code, at)
        self.declared.append(Declared(around.package, full, _supers(head)))

    def _value(self, match: re.Match[str]) -> None:
        code, at = self._code, match.end()
        follows = code[at : at + 2].lstrip()[:1]
        if (match[1] == "val" and follows == "(") or (match[1] == "given" and follows != ":"):
            return  # a pattern; an instance without a name
        around = self._around(match.start())
        name = match[3].replace("`", "")
        line = code[max(match.start() - LONGEST_PARAMETERS, 0) : match.start()]
        if not around.local and not around.outer and "private" not in line.rpartition("\n")[2]:
            self.members.append(Member(around.package, name, False))
        self._open.append(around._replace(local=True))
        if code.startswith("[", at):
            self._hide(listed(code, at)[0])
        self.hidden.add(name)

    def _hide(self, parameters: str) -> None:
        found = (_PARAMETER.match(one) for one in parameters.split(","))
        self.hidden.update(match[1] for match in found if match)


def _depth(code: str, at: int) -> int:
    """The blanks at the start of a line, and the braces that it opens before `at`."""
    line = code[max(at - LONGEST_PARAMETERS, 0) : at].rpartition("\n")[2]
    blanks = len(line) - len(line.lstrip())
    return blanks + line.count("{") - line.count("}")


def _head(code: str, at: int) -> str:
    """What stands behind `extends`, as far as it names types."""
    limit = at + LONGEST_HEAD
    at = _past_modifier(code, at)
    while code.startswith("(", at):
        at = _past_modifier(code, max(closed(code, at), at + 1))
    extends = _EXTENDS.match(code, at)
    if extends is None:
        return ""
    pieces: list[str] = []
    at = extends.end()
    while at < limit:
        mark = _HEAD_MARK.search(code, at, limit)
        if mark is None:
            pieces.append(code[at:limit])
            break
        pieces.append(code[at : mark.start()])
        if mark[0] in "([":
            at = max(closed(code, mark.start()), mark.end())
        elif mark[0] == "\n" and _more("".join(pieces[-2:]), code, mark.end()):
            pieces.append(" ")
            at = mark.end()
        else:
            break
    return "".join(pieces)


def _past_modifier(code: str, at: int) -> int:
    """Where the parameters of a constructor open, if it has some."""
    match = _MODIFIER.match(code, at)
    return match.end() if match else at


def _more(before: str, code: str, at: int) -> bool:
    """Whether a list of types goes on behind the end of a line."""
    return _COMES_BEFORE.search(before) is not None or _GOES_ON.match(code, at) is not None


def _supers(head: str) -> tuple[str, ...]:
    types = head.partition(" derives ")[0].replace(" with ", ",").split(",")
    return tuple(words[0] for one in types if (words := one.split()))


def _names(code: str, hidden: set[str]) -> tuple[set[str], set[str]]:
    """Names that may stand for types and objects, and for values, in a file's words."""
    hidden.update(lambda_parameters(code, "=>"))
    code = code.replace("=>", " ").replace("<-", "= ").replace("::", " ").replace(":", ": ")
    words = set(code.replace("(", "( ").replace(" = ", "= ").translate(_WORDS).split())
    hidden |= {w[:-1] for w in words if w[-1] in ":=" and w[0].islower() and "." not in w}
    names: set[str] = set()
    values: set[str] = set()
    for word in words:
        annotation = word[0] == "@"
        word = word.lstrip("@").rstrip("(:=")
        head, _, _ = word.partition(".")
        if not head or head in hidden or head[0].isdigit():
            continue
        if head in _KEYWORDS and not annotation:
            continue
        chain = type_chain(word)
        if chain or annotation:
            names.add(chain or head)
        else:
            values.add(head)
    return names, values
