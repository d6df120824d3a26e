"""`#include` directives of C and C++ source by search, with the conditionals around them.

One regular expression leaps from one `#` of interest to the next, up to the last word `include`;
block comments and raw strings are passed on the way. An include in a branch that the reference
platform does not take is "conditional" (see `c_conditions`); one that no platform takes (under a
literal `#if 0`, a comment in other words) does not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from codekiln.languages.c_conditions import Branch, Conditionals
from codekiln.languages.c_platform import Dialect
from codekiln.languages.resolve import Reference, ReferenceKind

DEEPEST = 200  # blanks before a directive
_DIRECTIVE = re.compile(
    r"#[ \t]*(?:(include_next|include|import)|((?:el)?if(?:n?def)?|else|endif))(?!\w)"
)
_DIGRAPH = re.compile(r"^([ \t]*)(?:%:|\?\?=)", re.MULTILINE)
_REST = re.compile(r"(?:[^\\\n]|\\[\s\S])*+")
_TARGET = re.compile(r'[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>|([A-Za-z_]\w*))')
_DEFINE = re.compile(r'#[ \t]*define[ \t]+(\w+)[ \t]+(?:"([^"\n]+)"|<([^>\n]+)>)')
_RAW = re.compile(r'R"([^()\\\s"]{0,16})\(')
# a line comment, or a literal which ends on its line (or goes on by a backslash)
_SHORT = re.compile(r"//[^\n]*" + r'|"(?:[^"\\\n]|\\[\s\S])*+"' + r"|'(?:[^'\\\n]|\\[\s\S])*+'")


def scan(text: str, dialect: Dialect = "either") -> list[Reference]:
    """The `#include` directives of a C or C++ file, in the order of the text.

    Those in comments, in raw strings and under `#if 0` do not count. One that names a macro
    stands for what the file itself defines that macro as, if it does; `#include_next` has level 1;
    `#import` is an include by another name.
    """
    last = max(text.rfind("include"), text.rfind("import"))
    if last < 0:
        return []
    text = text[: _line_end(text, last)]
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "%:" in text or "??=" in text:
        text = _DIGRAPH.sub(r"\1#", text)
    return list(_references(text, dialect))


def _line_end(text: str, at: int) -> int:
    ends = [end for end in (text.find("\n", at), text.find("\r", at)) if end >= 0]
    return min(ends, default=len(text))


def _references(text: str, dialect: Dialect) -> Iterator[Reference]:
    conditionals = Conditionals(dialect)
    macros = _Macros(text)
    covers = _covers(text)
    start = end = floor = 0
    nowhere = len(text) + 1
    for match in _DIRECTIVE.finditer(text):
        at = match.start()
        while end <= at:
            floor = end
            start, end = next(covers, (nowhere, nowhere))
        if start < at or not _starts_line(text, floor, at):
            continue
        word = match[2]
        if word:
            rest = _REST.match(text, match.end())
            conditionals.read(word, rest[0] if rest else "")
        elif conditionals.branch != Branch.NEVER:
            kind: ReferenceKind = "conditional" if conditionals.branch else "include"
            for target, system in _targets(text, match.end(), macros, kind):
                level = int(match[1] == "include_next")
                yield Reference(target=target, kind=kind, level=level, system=system)


def _targets(text: str, at: int, macros: _Macros, kind: ReferenceKind) -> list[tuple[str, bool]]:
    """What an include names, and whether in angle brackets; several for a macro, or none."""
    target = _TARGET.match(text, at)
    if target is None:
        return []
    if target[3]:
        return macros.targets(target[3], kind)
    return [((target[1] or target[2]).strip(), target[1] is None)]


class _Macros:
    """What a file defines its macros as, where that is a name in quotes or angle brackets.

    All definitions count, in whatever branch; each but once for a kind, so that a file of nothing
    but `#include X` and `#define X "y"` takes linear time.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._used: set[tuple[str, ReferenceKind]] = set()

    @cached_property
    def _defined(self) -> dict[str, list[tuple[str, bool]]]:
        found: dict[str, list[tuple[str, bool]]] = {}
        for name, quoted, angled in _DEFINE.findall(self._text):
            found.setdefault(name, []).append((quoted or angled, not quoted))
        return found

    def targets(self, name: str, kind: ReferenceKind) -> list[tuple[str, bool]]:
        """What a macro stands for, and whether in angle brackets; nothing if asked for again."""
        if (name, kind) in self._used:
            return []
        self._used.add((name, kind))
        return self._defined.get(name, [])


def _starts_line(text: str, floor: int, at: int) -> bool:
    """Whether only blanks and comments stand before `at`; a comment before it ends at `floor`.

    Only so many blanks are looked at as a hand indents by, or one line without end would cost
    the square of its length.
    """
    if not at or text[at - 1] == "\n":
        line = at
    else:
        least = max(floor, at - DEEPEST)
        before = text[least:at].rstrip(" \t\f\v")
        if not before:
            return least == floor
        if before[-1] != "\n":
            return False
        line = least + len(before)
    return line <= floor or text[line - 2 : line] != "\\\n"  # else a macro or a comment goes on


def _covers(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each block comment and raw string; an open one ends with the text."""
    position = 0
    comment, raw = text.find("/*"), text.find('R"')
    while True:
        if 0 <= comment < position:
            comment = text.find("/*", position)
        if 0 <= raw < position:
            raw = text.find('R"', position)
        if comment < 0 and raw < 0:
            return
        opener = comment if raw < 0 or 0 <= comment < raw else raw
        covered = _covered_to(text, position, opener)
        if covered:
            position = covered
        elif opener == comment:
            close = text.find("*/", opener + 2)
            position = len(text) if close < 0 else close + 2
            yield opener, position
        else:
            match = _RAW.match(text, opener)
            if match is None:  # the end of a name before a plain string
                position = opener + 1
                continue
            close = text.find(f'){match[1]}"', match.end())
            position = len(text) if close < 0 else close + len(match[1]) + 2
            yield opener, position


def _covered_to(text: str, floor: int, opener: int) -> int:
    """End of the line comment or short literal that holds what opens at `opener`; 0 if none."""
    line = max(text.rfind("\n", floor, opener) + 1, floor)
    before = text[line:opener]
    if "//" in before or '"' in before or "'" in before:
        for short in _SHORT.finditer(text, line):
            if short.start() >= opener:
                return 0
            if short.end() > opener:
                return short.end()
    return 0
