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
_QUALIFIED = re.compile(
    rf"[a-z_]\w*+(?:\.(?!{TYPE_NAME})[\w$]++)*+\.{TYPE_NAME}(?:\.{TYPE_NAME})*+"
)
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


def keyword_matches(
    code: str, words: tuple[str, ...], pattern: re.Pattern[str]
) -> Iterator[re.Match[str]]:
    """Where the pattern matches at one of the words, in the order of the text, not overlapping.

    The words stand at the start of a name, and no dot stands before them. `str.find` finds them
    several times as fast as a regular expression of alternatives.
    """
    places: list[int] = []
    for word in words:
        at = code.find(word)
        while at >= 0:
            if not at or code[at - 1] not in _BEFORE:
                places.append(at)
            at = code.find(word, at + len(word))
    end = 0
    for at in sorted(places):
        match = pattern.match(code, at) if at >= end else None
        if match:
            end = match.end()
            yield match


_BEFORE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$.:")


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
    """The names that a list of type parameters declares: "K", "V" of "K, out V : List<K>"."""
    found = (_PARAMETER.match(one) for one in without_arguments(text).split(","))
    return [match[1] for match in found if match]


_PARAMETER = re.compile(r"\s*+(?:@[\w.]++\s++|(?:out|in|reified)\s++|[+-]\s*+)*+([\w$]++)")


LONGEST_PARAMETERS = 400  # characters; a list that is longer is none, but a comparison
LONGEST_HEAD = 4000  # characters between a type's name and its body
DEEPEST = 16  # brackets within brackets


def closed(code: str, start: int, limit: int = LONGEST_HEAD) -> int:
    """Where the bracket that opens at `start` is closed, one further; `start` if never.

    Only brackets of its own kind are looked at, in `limit` characters and not too deep: what goes
    on for longer is something else, and a search without end takes quadratic time.
    """
    opening = code[start]
    depth = 0
    for match in _PAIRS[opening].finditer(code, start, start + limit):
        depth += 1 if match[0] == opening else -1
        if depth == 0:
            return match.end()
        if depth > DEEPEST:
            break
    return start


_PAIRS = {"<": re.compile(r"[<>]"), "(": re.compile(r"[()]"), "[": re.compile(r"[\[\]]")}


def listed(code: str, start: int) -> tuple[str, int]:
    """The list in the bracket that opens at `start`, and where it ends; "" if it is no list."""
    end = closed(code, start, LONGEST_PARAMETERS)
    inner = code[start + 1 : max(end - 1, start)]
    return ("", end) if ";" in inner or "{" in inner else (inner, end)


def constants(code: str, start: int) -> tuple[list[str], int]:
    """The constants of an enum whose body starts at `start`, and where they end."""
    outside: list[str] = []
    depth = 0
    at = end = start
    for mark in _ENUM_MARK.finditer(code, start):
        end = mark.end()
        if mark[0] in "{(":
            if depth == 0:
                outside.append(code[at : mark.start()])
            depth += 1
        elif depth and mark[0] in "})":
            depth -= 1
            at = end
        elif depth == 0:
            outside.append(code[at : mark.start()])
            break
    return _CONSTANT.findall("".join(outside)), end


_ENUM_MARK = re.compile(r"[{}();]")
_CONSTANT = re.compile(r"(?:^|,)\s*+(?:@[\w$.]++\s*+)*+([\w$]++)")


def inner_name(outer: str, name: str) -> str:
    """The name of a type within another; too deep a nesting, no reader's, is cut off."""
    return f"{outer}.{name}" if outer and outer.count(".") < DEEPEST else name


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
