"""Kotlin source: packages, imports, what is declared, and the names that may stand for it.

Besides types, functions and values of packages count. A name in small letters may stand for one
where no dot stands before it, and the file declares no function, value or parameter of that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from codekiln.languages.jvm_scan import (
    Declared,
    Import,
    Member,
    Nesting,
    Unit,
    type_chain,
)
from codekiln.languages.words import (
    LONGEST_HEAD,
    LONGEST_PARAMETERS,
    closed,
    constants,
    interned,
    keyword_matches,
    listed,
    parameter_names,
    without_arguments,
    word_table,
)

# comments (one may stand within another), raw strings, strings, characters
COVERED = re.compile(
    r"/(?:/[^\n]*+|\*(?:[^*/]++|\*(?!/)|/(?!\*)|/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/|\Z))*+(?:\*/|\Z))"
    r'|"(?:""[^"]*+(?:"(?!"")[^"]*+)*+(?:"{3,}|\Z)'
    r'|[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"?)'
    r"|'(?:[^'\\\n]|\\[^\n]{1,6}?)'"
)
TEMPLATE = re.compile(r"\$\{([^}]*+)")
# both stand at the start of a line; a search for a fixed word is a fast one
_PACKAGE = re.compile(r"\npackage[ \t]++([\w.`]++)")
_IMPORT = re.compile(
    r"\nimport[ \t]++((?:[\w`$]++|\.(?!\*))++)(\.\*)?+(?:[ \t]++as[ \t]++([\w`]++))?+"
)
_DECLARING = ("class", "interface", "object", "typealias", "fun", "val", "var")
_DECLARATION = re.compile(
    r"(class|interface|object|typealias|fun(?!\s++interface\b)|val|var)(?:\s++|(?=<))(`[^`\n]++`|[\w$]++)?+\s*+"
)
_CONSTRUCTOR = re.compile(
    r"\s*+(?:(?:@[\w.]++|private|internal|protected|public)\s++)*+(?:constructor\s*+)?+(?=\()"
)
_SUPERS = re.compile(r"\s*+:(?!:)\s*+")
_HEAD_MARK = re.compile(r"[({;=\n]")
_SIGNATURE_END = re.compile(r"[(:=\n{;]|\bby\b")
_WORDS = word_table("@(=:")
_KEYWORD_LIST = """
abstract actual annotation as break by catch class companion const constructor continue data do
else enum expect external false final finally for fun get if import in infix init inline inner
interface internal is it lateinit null object open operator out override package private protected
public return sealed set super suspend tailrec this throw true try typealias val var vararg when
where while
"""
_KEYWORDS = frozenset(_KEYWORD_LIST.split())


def scan(text: str) -> Unit:
    """What a Kotlin file says."""
    return read(text, "\n" + COVERED.sub(uncovered if "${" in text else " ", text))


def uncovered(match: re.Match[str]) -> str:
    """What is left of a string: the code within it, in `${...}`."""
    found = match[0]
    return f" {' '.join(TEMPLATE.findall(found))} " if found[0] == '"' and "${" in found else " "


def read(text: str, code: str) -> Unit:
    """What a file says, given its text without comments and strings."""
    package = _PACKAGE.search(code)
    name = package[1].replace("`", "") if package else ""
    found = _Declarations(code, name)
    rest = _PACKAGE.sub("", _IMPORT.sub("", code))
    names, values, called = _names(rest, found.hidden)
    return Unit(
        language="kotlin",
        packages=(name,),
        imports=tuple(_import(match) for match in _IMPORT.finditer(code)),
        declared=(*found.declared, *_facade(text, name, found.members)),
        members=tuple(found.members),
        names=interned(names),
        values=interned(values),
        called=interned(called),
        methods=interned(found.methods),
    )


def _import(match: re.Match[str]) -> Import:
    path = match[1].replace("`", "")
    if match[2]:
        return Import(path, "")
    return Import(path, (match[3] or path[path.rfind(".") + 1 :]).replace("`", ""))


_FACADE = re.compile(r'@file:\s*JvmName\(\s*"([\w$]+)"')


def _facade(text: str, package: str, members: list[Member]) -> list[Declared]:
    """The class that Java knows the functions of the file by, where the file gives it a name."""
    match = _FACADE.search(text[:FACADE_WITHIN]) if members else None
    return [Declared(package, match[1], ())] if match else []


FACADE_WITHIN = 1 << 14  # characters at the start of a file


class _Declarations:
    """What a file declares.

    Attributes:
        declared: types, outer ones first.
        members: functions and values outside types that other files may see.
        methods: functions within types.
        hidden: names that mean no declaration of another file.
    """

    def __init__(self, code: str, package: str) -> None:
        self.declared: list[Declared] = []
        self.members: list[Member] = []
        self.methods: list[str] = []
        self.hidden: set[str] = set()
        self._code = code
        self._package = package
        self._nesting = Nesting(code, (("{", "}"), ("(", ")")))
        self._passed = 0  # where the constants of the last enum end
        for match in keyword_matches(code, _DECLARING, _DECLARATION):
            if match[1] in ("fun", "val", "var"):
                self._value(match)
            elif match[2]:
                self._type(match)

    def _type(self, match: re.Match[str]) -> None:
        code, at = self._code, match.end()
        name = (match[2] or "").strip("`")
        full = self._nesting.enter(match.start(), name)
        if code.startswith("<", at):
            parameters, at = listed(code, at)
            self.hidden.update(parameter_names(parameters))
        constructor = _CONSTRUCTOR.match(code, at)
        if constructor and match[1] == "class":
            at = closed(code, constructor.end())
        head = _head(code, at) if match[1] != "typealias" else ""
        self.declared.append(Declared(self._package, full, _supers(head)))
        if "enum" in _line_before(code, match.start()):
            body = code.find("{", at, at + LONGEST_HEAD)
            if body >= self._passed:
                found, self._passed = constants(code, body + 1)
                self.hidden.update(found)

    def _value(self, match: re.Match[str]) -> None:
        """A function, or a value, of a package or of a type."""
        code, at = self._code, match.end()
        if match[2] is None:
            if not code.startswith("<", at):
                return  # a function without name, or several values at once
            parameters, at = listed(code, at)
            self.hidden.update(parameter_names(parameters))
        start = match.start(2) if match[2] else at
        end = _SIGNATURE_END.search(code, start, start + LONGEST_PARAMETERS)
        if end is None:
            return
        _, dot, name = without_arguments(code[start : end.start()]).rpartition(".")
        name = name.strip().strip("`")
        at = match.start()
        outside = self._nesting.depth(at) == 0
        if outside and "private" not in _line_before(code, at):
            self.members.append(Member(self._package, name, bool(dot)))
        elif match[1] == "fun":
            self.methods.append(name)
        if not dot:
            self.hidden.add(name)


def _line_before(code: str, at: int) -> str:
    """What stands before a place on its line."""
    return code[max(at - LONGEST_PARAMETERS, 0) : at].rpartition("\n")[2]


def _head(code: str, at: int) -> str:
    """What stands between a type's constructor and its body, if it names other types."""
    colon = _SUPERS.match(code, at)
    if colon is None:
        return ""
    pieces: list[str] = []
    at = colon.end()
    limit = at + LONGEST_HEAD
    while at < limit:
        mark = _HEAD_MARK.search(code, at, limit)
        if mark is None:
            break
        pieces.append(code[at : mark.start()])
        if mark[0] == "(":
            at = max(closed(code, mark.start()), mark.end())
        elif mark[0] == "\n" and _goes_on("".join(pieces[-2:]), code, mark.end()):
            at = mark.end()
        else:
            break
    return "".join(pieces)


def _goes_on(before: str, code: str, at: int) -> bool:
    """Whether a list of types goes on behind the end of a line."""
    before = before.rstrip()
    return not before or before.endswith((",", ":")) or code[at : at + 200].lstrip()[:1] == ","


def _supers(head: str) -> tuple[str, ...]:
    types = (one.split() for one in without_arguments(head).split(","))
    return tuple(one[0].replace("?", "") for one in types if one)


def lambda_parameters(code: str, arrow: str) -> Iterator[str]:
    """Names between a brace or bracket and an arrow."""
    at = code.find(arrow)
    while at >= 0:
        before = code[max(at - LONGEST_LAMBDA, 0) : at]
        yield from _SMALL_NAME.findall(before, max(before.rfind("{"), before.rfind("("), 0))
        at = code.find(arrow, at + 2)


LONGEST_LAMBDA = 60  # characters of the parameters of a lambda
_SMALL_NAME = re.compile(r"\b[a-z_]\w*+")


def _names(code: str, hidden: set[str]) -> tuple[set[str], set[str], set[str]]:
    """Names that may stand for types, for values, and for extensions, in a file's words."""
    hidden.update(lambda_parameters(code, "->"))
    code = code.replace("::", " ").replace("?:", " ").replace("?.", ".").replace("!!.", ".")
    code = code.replace("(", "( ").replace(" :", ":").replace(":", ": ").replace(" = ", "= ")
    words = set(code.translate(_WORDS).split())
    hidden |= {w[:-1] for w in words if w[-1] in ":=" and w[0].islower() and "." not in w}
    names: set[str] = set()
    values: set[str] = set()
    called: set[str] = set()
    for word in words:
        head, _, rest = word.lstrip("@").rstrip("(:=").partition(".")
        if head in hidden:
            head = ""
        chain = type_chain(f"{head}.{rest}" if rest else head) if head else ""
        if chain:
            names.add(chain)
        elif head and not head[0].isdigit() and head not in _KEYWORDS:
            values.add(head)
        if rest:
            called.update(rest.split("."))
    called.discard("")
    return names, values, called
