"""C# source: namespaces, usings, declared types and the names that may stand for types.

Everything starts with a capital in C#, properties and methods too. A name behind a dot, or before
a bracket without `new`, is no type. One that the file itself declares as a property, field or enum
member counts only where a type must stand: before another name, behind `new`, `is` or `typeof`, as
a type argument, among the base types.

Generic types are other types than those without type parameters: their names end in "`" here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from codekiln.languages.words import (
    LONGEST_HEAD,
    LONGEST_PARAMETERS,
    closed,
    constants,
    inner_name,
    interned,
    keyword_matches,
    listed,
    parameter_names,
    word_table,
)

# directives, comments, raw and verbatim and plain strings, characters
_RAW = r'"""[^"]*+(?:"(?!"")[^"]*+)*+(?:"{3,}|\Z)'
_VERBATIM = r'"[^"]*+(?:""[^"]*+)*+(?:"|\Z)'
_PLAIN = r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"?'
_COVERED = re.compile(  # each branch starts with a character, which makes the search leap
    r"#[^\n]*+|/(?:/[^\n]*+|\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/|\Z))"
    rf"|\$(?:\$*+{_RAW}|@{_VERBATIM}|{_PLAIN})|@\$?{_VERBATIM}|{_RAW}|{_PLAIN}"
    r"|'(?:[^'\\\n]|\\[^\n]{1,9}?)'"
)
_HOLE = re.compile(r"\{([^{}]*+)")
_USING = re.compile(
    r"using\s++(static\s++)?+(?:unsafe\s++)?+(?:([\w@]++)\s*+=\s*+)?"
    r"([\w.@:]++)(?:<[^;{}()]{0,400}+)?+\s*+;"
)
_DECLARING = ("namespace", "class", "struct", "interface", "enum", "record", "delegate")
_DECLARATION = re.compile(
    r"(namespace|class|struct|interface|enum|record|delegate)\s++"
    r"(?:(?:class|struct)\s++)?+([\w@]++(?:\s*+\.\s*+[\w@]++)*+)\s*+"
)
_BEFORE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@")
_DELEGATE = re.compile(r"([\w@]++)\s*+(?:<[^<>()]*+>\s*+)?+\(")
_BASES = re.compile(r"\s*+:\s*+")
_HEAD_END = re.compile(r"[{;]")
_WHERE = re.compile(r"\bwhere\b")
_INNER = re.compile(r"<[^<>]*+>|\([^()]*+\)")
_METHOD_PARAMETERS = re.compile(r"<(?<=\w<)[A-Z]")
# of a function: whether it is declared or called with types, these are no types
_PARAMETER_NAME = re.compile(r"[A-Z]|T[A-Z]\w*")
_EXTENSION = re.compile(r"\(\s*+this\s++(?!as\b|is\b)[A-Za-z]")
_NAME_BEFORE = re.compile(r"([\w@]+)\s*(?:<[\w\s,]*>)?\s*\Z")
_ATTRIBUTE = re.compile(
    r"\[(?<![\w\])]\[)\s*+(?:[a-z]++\s*+:\s*+)?+([A-Z]\w*+(?:\.\w++)*+)(?=\s*+[\](,])"
)
# a name that is declared as a member; or one that must be a type, by what follows it
_TELLING = re.compile(
    r"[A-Z](?<![\w.].)\w*+(?:\s*+(?:\{\s*+(?:get|set|init|private|protected|internal)\b|=>|;)|[<>]"
    r"|[?\[\]]*+\s++(?!(?:is|as|in|and|or|when|where|switch|with|equals|into|by|on|select|from|let"
    r"|orderby|ascending|descending|join|group|not)\b)(?=[A-Za-z_@]))"
)
_CHAIN = re.compile(r"[_A-Z\u0080-\U0010ffff]\w*+(?:\.\w++)*+`?")
_WORDS = word_table("@(=`")


class Using(NamedTuple):
    """One `using` directive.

    Args:
        path: of a namespace, or of a type.
        alias: the name given to it; "" for none.
        static: whether the members of a type are meant.
        everywhere: a `global using`, which counts in the whole project.
    """

    path: str
    alias: str = ""
    static: bool = False
    everywhere: bool = False


class Type(NamedTuple):
    """One declared type.

    Args:
        namespace: "" for the global one.
        name: with the types around it, generic ones marked: "Outer`.Inner".
        bases: types after the colon, as written, without type arguments but marked.
        partial: whether other files may declare more of it.
    """

    namespace: str
    name: str
    bases: tuple[str, ...]
    partial: bool


class CSharpUnit(NamedTuple):
    """What one file says.

    Args:
        namespaces: that the file declares something in.
        usings: in the order of the text.
        types: declared, outer ones before inner ones.
        names: chains of names that stand for types for sure, or that nothing speaks against.
        doubtful: those of them that an inherited property may be meant by.
        attributes: first names in square brackets, where "Test" may mean "TestAttribute".
        properties: names that the file declares as something other than types.
        extensions: functions whose first parameter is `this`, as (namespace, name).
        called: functions called on something.
        functions: functions declared or called on nothing.
    """

    namespaces: tuple[str, ...]
    usings: tuple[Using, ...]
    types: tuple[Type, ...]
    names: tuple[str, ...]
    doubtful: frozenset[str]
    attributes: tuple[str, ...]
    properties: frozenset[str]
    extensions: tuple[tuple[str, str], ...]
    called: tuple[str, ...]
    functions: tuple[str, ...]


def scan(text: str) -> CSharpUnit:
    """What a C# file says."""
    code = _COVERED.sub(_uncovered if '$"' in text or '$@"' in text else " ", text)
    code = code.replace("global::", "").replace("::", ".")
    usings = list(_usings(code))
    found = _Declarations(code)
    attributes = _ATTRIBUTE.findall(code)
    code = _ATTRIBUTE.sub("[", _USING.sub(" ", code) if usings else code)
    words = _Words(code, found.hidden, found.parameters)
    bases = {base for one in found.types for base in one.bases if _CHAIN.match(base)}
    words.names |= bases
    words.doubtful -= bases
    words.hidden -= {one.name.rpartition(".")[2] for one in found.types}
    return CSharpUnit(
        namespaces=tuple(found.namespaces),
        usings=tuple(usings),
        types=tuple(found.types),
        names=interned(words.names),
        doubtful=frozenset(interned(words.doubtful)),
        attributes=interned(attributes),
        properties=frozenset(interned(words.hidden)),
        extensions=tuple(found.extensions),
        called=interned(words.called),
        functions=interned(words.functions),
    )


def _uncovered(match: re.Match[str]) -> str:
    """What is left of a string: the code within its holes, if it has some."""
    found = match[0]
    return f" {' '.join(_HOLE.findall(found))} " if "$" in found[:2] and "{" in found else " "


def _usings(code: str) -> Iterator[Using]:
    for match in _USING.finditer(code):
        at = match.start()
        if not at or code[at - 1] not in _BEFORE:
            everywhere = code[max(at - 80, 0) : at].rstrip().endswith("global")
            yield Using(match[3], match[2] or "", bool(match[1]), everywhere)


class _Declarations:
    """What a file declares."""

    def __init__(self, code: str) -> None:
        self.namespaces: dict[str, None] = {}
        self.types: list[Type] = []
        self.hidden: set[str] = set()
        self.parameters: set[str] = set()  # of types and functions
        self.extensions: list[tuple[str, str]] = []
        self._code = code
        self._at = self._depth = self._passed = 0
        # for each namespace or type around: its depth, the namespace, the type within it
        self._open: list[tuple[int, str, str]] = []
        for match in keyword_matches(code, _DECLARING, _DECLARATION):
            if match[1] == "namespace":
                self._namespace(match)
            else:
                self._type(match)
        if not self.namespaces:
            self.namespaces[""] = None
        namespace = next(iter(self.namespaces))
        for match in _EXTENSION.finditer(code):
            before = _NAME_BEFORE.search(code[max(match.start() - 100, 0) : match.start()])
            if before:
                self.extensions.append((namespace, before[1]))
        for match in _METHOD_PARAMETERS.finditer(code):
            parameters, end = listed(code, match.start())
            if code.startswith("(", end):
                names = (one.strip() for one in parameters.split(","))
                self.parameters.update(one for one in names if _PARAMETER_NAME.fullmatch(one))

    def _around(self, at: int) -> tuple[int, str, str]:
        count = self._code.count
        self._depth += count("{", self._at, at) - count("}", self._at, at)
        self._at = at
        while self._open and self._open[-1][0] >= self._depth:
            self._open.pop()
        namespace, outer = self._open[-1][1:] if self._open else ("", "")
        return self._depth, namespace, outer

    def _namespace(self, match: re.Match[str]) -> None:
        depth, around, _ = self._around(match.start())
        name = "".join(match[2].split())
        full = inner_name(around, name)
        whole = self._code.startswith(";", match.end())  # for the rest of the file
        self._open.append((depth - 1 if whole else depth, full, ""))
        self.namespaces[full] = None

    def _type(self, match: re.Match[str]) -> None:
        code, at, name = self._code, match.end(), match[2].lstrip("@")
        if match[1] == "delegate":
            found = _DELEGATE.search(code, match.start(2), match.start(2) + LONGEST_PARAMETERS)
            if found is None or ";" in code[match.start(2) : found.start()]:
                return
            name, at = found[1], found.end(1)
        elif "." in name or (match[1] == "record" and code[at : at + 1] not in "(<{:;"):
            return
        depth, namespace, outer = self._around(match.start())
        if not namespace:
            self.namespaces.setdefault("", None)
        parameters = ""
        if code.startswith("<", at):
            parameters, at = listed(code, at)
            self.parameters.update(parameter_names(parameters))
        name += "`" if parameters else ""
        full = inner_name(outer, name)
        if match[1] != "delegate":
            self._open.append((depth, namespace, full))
            if code.startswith("(", at):
                at = closed(code, at)
        end = _HEAD_END.search(code, at, at + LONGEST_HEAD)
        head = code[at : end.start()] if end and match[1] not in ("delegate", "enum") else ""
        line = code[max(match.start() - 80, 0) : match.start()]
        partial = line.rstrip().endswith("partial")
        self.types.append(Type(namespace, full, _bases(head), partial))
        if match[1] == "enum" and end and end.start() >= self._passed:
            members, self._passed = constants(code, end.end())
            self.hidden.update(members)


def _bases(head: str) -> tuple[str, ...]:
    colon = _BASES.match(head)
    if colon is None:
        return ()
    types = _WHERE.split(head[colon.end() :], maxsplit=1)[0]
    while "<" in types or "(" in types:
        shorter = _INNER.sub(lambda found: "`" if found[0][0] == "<" else "", types)
        if shorter == types:
            break
        types = shorter
    return tuple(one.strip().rstrip("?") for one in types.split(",") if one.strip())


class _Words:
    """The names of a file, by what they may stand for."""

    def __init__(self, code: str, hidden: set[str], parameters: set[str]) -> None:
        self._parameters = parameters
        self.names: set[str] = set()
        self.doubtful: set[str] = set()
        self.called: set[str] = set()
        self.functions: set[str] = set()
        telling = set(_TELLING.findall(code))
        members = {one for one in telling if one[-1] == ";" or "{" in one or one.endswith("=>")}
        sure = {_first_word(one) for one in telling - members}
        self.hidden = hidden.union(map(_first_word, members))
        for old, new in _MARKS:
            code = code.replace(old, new)
        words = {word for word in code.translate(_WORDS).split() if not word.islower()}
        self.hidden |= {word[:-1] for word in words if word[-1] == "=" and word[-2:] != "=="}
        calls = {word for word in words if word[-1] == "("}
        chains = {word for word in words - calls if word[0] not in _NO_TYPE}
        for word in calls:
            before, _, name = word[:-1].rpartition(".")
            (self.called if before or word[0] == "." else self.functions).add(name.lstrip("@"))
            chains.add(word[:-1] if word[0] == "@" else before)
        for chain in chains:
            self._add(chain, sure)

    def _add(self, word: str, sure: set[str]) -> None:
        match = _CHAIN.match(word, word[:1] == "@")
        if match is None:
            return
        chain = match[0]
        head = chain.partition(".")[0].rstrip("`")
        if head in self._parameters:
            return
        if word[0] == "@" or head in sure:
            self.names.add(chain)
        elif head not in self.hidden:
            self.names.add(chain)
            self.doubtful.add(chain)


def _first_word(text: str) -> str:
    match = _WORD.match(text)
    return match[0] if match else ""


_WORD = re.compile(r"\w+")
_NO_TYPE = frozenset("abcdefghijklmnopqrstuvwxyz.0123456789=(`")
# what makes words keep what stands beside them, in this order
_MARKS = (
    ("(", "( "),
    ("<", "` "),
    ("new ", "@"),
    (" is not ", " @"),
    (" is ", " @"),
    (" as ", " @"),
    ("typeof( ", "@"),
    (" += ", "= "),
    (" = ", "= "),
    ("?.", "."),
    ("!.", "."),
)
