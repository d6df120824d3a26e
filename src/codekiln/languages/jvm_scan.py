"""What Java, Kotlin and Scala files say, in words that the three share, and how it is read.

No file is parsed. Comments and literals are cut out by one substitution; what is left is cut into
words by `str.translate` and `str.split`, and only the set of different words is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from codekiln.languages.words import inner_name

# a name that is written like a type: with a capital, or in a script without small letters
TYPE_NAME = r"[_$]*+[A-Z\u0080-\U0010ffff][\w$]*+"
_TYPE_CHAIN = re.compile(rf"{TYPE_NAME}(?:\.{TYPE_NAME})*+")
_QUALIFIED = re.compile(
    rf"[a-z_]\w*+(?:\.(?!{TYPE_NAME})[\w$]++)*+\.{TYPE_NAME}(?:\.{TYPE_NAME})*+"
)


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


class Member(NamedTuple):
    """A function or value that belongs to a package alone; an extension is called on others."""

    package: str
    name: str
    extension: bool


class Unit(NamedTuple):
    """What one file says.

    Args:
        language: as the table of languages names it.
        packages: those whose members the file sees, innermost first.
        imports: in the order of the text.
        declared: types, outer ones before inner ones.
        members: functions and values that belong to a package alone.
        names: chains of names that may stand for types: "Map.Entry", "java.util.Map".
        values: names without a dot before them that may stand for functions or values.
        called: names behind a dot that may stand for functions from outside the type.
        methods: functions declared within types.
    """

    language: str
    packages: tuple[str, ...]
    imports: tuple[Import, ...] = ()
    declared: tuple[Declared, ...] = ()
    members: tuple[Member, ...] = ()
    names: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()


def type_chain(word: str) -> str:
    """The part of a chain of names that may stand for a type: "A.B" of "A.B.c.D"; "" for none.

    A word in small letters may be a package: of "a.b.C.d" it is "a.b.C".
    """
    match = _TYPE_CHAIN.match(word) or _QUALIFIED.match(word)
    return match[0] if match else ""


class Nesting:
    """The types around each place of a text, when asked for places in rising order.

    Args:
        code: without comments and literals.
        brackets: which kinds count, each by what opens and closes it.
    """

    def __init__(self, code: str, brackets: tuple[tuple[str, str], ...] = (("{", "}"),)) -> None:
        self._code = code
        self._brackets = brackets
        self._at = 0
        self._depth = 0
        self._open: list[tuple[int, str]] = []

    def depth(self, at: int) -> int:
        """How many brackets are open at `at`."""
        count = self._code.count
        for opening, closing in self._brackets:
            self._depth += count(opening, self._at, at) - count(closing, self._at, at)
        self._at = at
        while self._open and self._open[-1][0] >= self._depth:
            self._open.pop()
        return self._depth

    def enter(self, at: int, name: str) -> str:
        """The full name of the type `name` that is declared at `at`."""
        depth = self.depth(at)
        outer = self._open[-1][1] if self._open else ""
        full = inner_name(outer, name)
        self._open.append((depth, full))
        return full


Scan = Callable[[str], Unit]
