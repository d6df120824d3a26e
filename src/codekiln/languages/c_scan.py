"""`#include` directives of C and C++ source by search, without preprocessing.

`str.find` leaps to each `include`; block comments and raw strings are passed on the way. Both
branches of a conditional count, with one exception: what stands under a literal `#if 0` is a
comment in other words, and does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from codekiln.languages.resolve import Reference

_DIRECTIVE = re.compile(r"[ \t\f\v]*(?:#|%:|\?\?=)[ \t]*\Z")
_TARGET = re.compile(r'(?:_next)?[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)')
_RAW = re.compile(r'R"([^()\\\s"]{0,16})\(')
# a line comment, or a literal which ends on its line (or goes on by a backslash)
_SHORT = re.compile(r"//[^\n]*" + r'|"(?:[^"\\\n]|\\[\s\S])*+"' + r"|'(?:[^'\\\n]|\\[\s\S])*+'")
_NEVER = re.compile(r"^[ \t]*#[ \t]*if[ \t]+0\b", re.MULTILINE)
_CONDITION = re.compile(r"^[ \t]*#[ \t]*(ifdef|ifndef|if|elif|else|endif)\b([^\n]*)", re.MULTILINE)


def scan(text: str) -> list[Reference]:
    """The `#include` directives of a C or C++ file, in the order of the text.

    Those in comments, in raw strings and under `#if 0` do not count, nor do those that name a
    macro.
    """
    if "include" not in text:
        return []
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    found = _directives(text)
    never = _never(text) if found and _NEVER.search(text) else []
    return [reference for at, reference in found if not any(s <= at < e for s, e in never)]


def _directives(text: str) -> list[tuple[int, Reference]]:
    found: list[tuple[int, Reference]] = []
    covers = _covers(text)
    start = end = floor = 0
    nowhere = len(text) + 1
    at = text.find("include")
    while at >= 0:
        while end <= at:
            floor = end
            start, end = next(covers, (nowhere, nowhere))
        if start < at:
            at = text.find("include", end)
            continue
        if _is_directive(text, floor, at):
            target = _TARGET.match(text, at + 7)
            if target:
                name = (target[1] or target[2]).strip()
                system = target[1] is None
                found.append((at, Reference(target=name, kind="include", system=system)))
        at = text.find("include", at + 7)
    return found


def _is_directive(text: str, floor: int, at: int) -> bool:
    """Whether the word at `at` is that of a directive; a comment before it ends at `floor`."""
    line = text.rfind("\n", 0, at) + 1
    if not _DIRECTIVE.match(text[max(line, floor) : at]):
        return False
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


def _never(text: str) -> list[tuple[int, int]]:
    """Start and end of the branches under a literal `#if 0`."""
    found: list[tuple[int, int]] = []
    open_at: list[int] = []  # for each open conditional: where a dead branch starts, or -1
    for match in _CONDITION.finditer(text):
        word = match[1]
        if word in ("if", "ifdef", "ifndef"):
            dead = word == "if" and match[2].split("/")[0].strip() == "0"
            open_at.append(match.start() if dead else -1)
        elif open_at:
            if open_at[-1] >= 0:
                found.append((open_at[-1], match.start()))
            if word == "endif":
                open_at.pop()
            else:
                open_at[-1] = -1
    return found
