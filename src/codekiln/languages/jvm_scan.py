"""What Java, Kotlin and Scala files say, in words that the three share, and how it is read.

No file is parsed. Comments and literals are cut out by one substitution; what is left is cut into
words by `str.translate` and `str.split`, and only the set of different words is looked at. That
reads tens of megabytes a second, where a syntax tree takes one second for ten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from sys import intern
from typing import NamedTuple

# a name that is written like a type: with a capital, or in a script without small letters
TYPE_NAME = r"[_$]*+[A-Z\u0080-\U0010ffff][\w$]*+"
_TYPE_CHAIN = re.compile(rf"{TYPE_NAME}(?:\.{TYPE_NAME})*+")
_QUALIFIED = re.compile(rf"[a-z_]\w*+(?:\.(?!{TYPE_NAME})[\w$]++)*+\.{TYPE_NAME}(?:\.{TYPE_NAME})*+")
_INNER_ANGLES = re.compile(r"<[^<>]*+>")


class Import(NamedTuple):
    """One imported name.

    Args:
        path: what is imported, with dots; of a wildcard, that whose members are.
        name: how the file calls it; "" is a wildcard, "_" an import of nothing.
    """

    path: str
    name: str


class Declared(NamedTuple):
    """One class, interface, object or the like.

    Args:
        package: "" for the unnamed one.
        name: with the types around it: "Outer.Inner".
        supers: the types after `extends` and the like, as written, without type arguments.
    """

    package: str
    name: str
    supers: tuple[str, ...]


class Unit(NamedTuple):
    """What one file says.

    Args:
        language: as the table of languages names it.
        packages: those whose members the file sees, innermost first.
        imports: in the order of the text.
        declared: types, outer ones before inner ones.
        members: functions and values that belong to a package alone, as (package, name).
        names: chains of names that may stand for types: "Map.Entry", "java.util.Map".
        values: names without a dot before them that may stand for functions or values.
        called: names behind a dot that may stand for functions from outside the type.
        methods: functions declared within types.
    """

    language: str
    packages: tuple[str, ...]
    imports: tuple[Import, ...] = ()
    declared: tuple[Declared, ...] = ()
    members: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()


def word_table(kept: str) -> dict[int, str]:
    """For `str.translate`: blanks for all ASCII characters that belong neither to names nor to
    `kept`."""
    spared = frozenset("_$." + kept)
    return {c: " " for c in range(128) if not (chr(c).isalnum() or chr(c) in spared)}


def type_chain(word: str) -> str:
    """The part of a chain of names that may stand for a type: "A.B" of "A.B.c.D"; "" for none.

    A word in small letters may be a package: of "a.b.C.d" it is "a.b.C".
    """
    match = _TYPE_CHAIN.match(word) or _QUALIFIED.match(word)
    return match[0] if match else ""


def interned(names: Iterable[str]) -> tuple[str, ...]:
    """Sorted, without repetitions; the same name in many files takes memory once."""
    return tuple(sorted({intern(name) for name in names}))


def without_arguments(text: str) -> str:
    """Text without type arguments: "Map.Entry" of "Map<K, List<V>>.Entry"."""
    while "<" in text:
        shorter = _INNER_ANGLES.sub("", text)
        if shorter == text:
            return text.partition("<")[0]
        text = shorter
    return text


def parameter_names(text: str) -> list[str]:
    """The names that a list of type parameters declares: "K", "V" of "K, V extends List<K>"."""
    words = (one.split() for one in without_arguments(text).split(","))
    return [next((w for w in one if w[0] not in "@+-"), "").rstrip(":") for one in words if one]


def angles(code: str, start: int) -> int:
    """Where the type parameters that open at `start` are closed, one further; `start` if never.

    They end within a thousand characters, or are none.
    """
    depth = 0
    for match in _ANGLE.finditer(code, start, start + 1000):
        depth += 1 if match[0] == "<" else -1
        if depth == 0:
            return match.end()
    return start


_ANGLE = re.compile(r"[<>]")


def brackets(code: str, start: int) -> int:
    """Where the round bracket that opens at `start` is closed, one further; or the text's end."""
    depth = 0
    for match in _BRACKET.finditer(code, start):
        depth += 1 if match[0] == "(" else -1
        if depth == 0:
            return match.end()
    return len(code)


_BRACKET = re.compile(r"[()]")


class Nesting:
    """The types around each place of a text, when asked for places in rising order."""

    def __init__(self, code: str) -> None:
        self._code = code
        self._at = 0
        self._depth = 0
        self._open: list[tuple[int, str]] = []

    def depth(self, at: int) -> int:
        """How many braces are open at `at`."""
        count = self._code.count
        self._depth += count("{", self._at, at) - count("}", self._at, at)
        self._at = at
        while self._open and self._open[-1][0] >= self._depth:
            self._open.pop()
        return self._depth

    def enter(self, at: int, name: str) -> str:
        """The full name of the type `name` that is declared at `at`."""
        depth = self.depth(at)
        full = f"{self._open[-1][1]}.{name}" if self._open else name
        self._open.append((depth, full))
        return full


def sure_and_likely(words: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Split off the marks that `@` (a type for sure) and `(` (a call) leave on words."""
    for word in words:
        bare = word.lstrip("@.") if word[0] == "@" else word
        yield bare, bare != word


Scan = Callable[[str], Unit]
