"""Source text cut into words and brackets, for readers that do not parse.

Comments and literals are cut out before by a substitution of each language. Nothing here searches
further than a constant many characters for what may never come, so that a file of any kind is read
in linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from sys import intern

LONGEST_PARAMETERS = 400  # characters; a list that is longer is none, but a comparison
LONGEST_HEAD = 4000  # characters between a type's name and its body
DEEPEST = 16  # brackets within brackets
_BEFORE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$.:")
_PAIRS = {"<": re.compile(r"[<>]"), "(": re.compile(r"[()]"), "[": re.compile(r"[\[\]]")}
_INNER_ANGLES = re.compile(r"<[^<>]*+>")
_PARAMETER = re.compile(r"\s*+(?:@[\w.]++\s++|(?:out|in|reified)\s++|[+-]\s*+)*+([\w$]++)")
_ENUM_MARK = re.compile(r"[{}();]")
_CONSTANT = re.compile(r"(?:^|,)\s*+(?:@[\w$.]++\s*+)*+([\w$]++)")


def word_table(kept: str) -> dict[int, str]:
    """For `str.translate`: blanks for all ASCII characters that belong neither to names nor to
    `kept`."""
    spared = frozenset("_$." + kept)
    return {c: " " for c in range(128) if not (chr(c).isalnum() or chr(c) in spared)}


def interned(names: Iterable[str]) -> tuple[str, ...]:
    """Sorted, without repetitions; the same name in many files takes memory once."""
    return tuple(sorted({intern(name) for name in names}))


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


def listed(code: str, start: int) -> tuple[str, int]:
    """The list in the bracket that opens at `start`, and where it ends; "" if it is no list."""
    end = closed(code, start, LONGEST_PARAMETERS)
    inner = code[start + 1 : max(end - 1, start)]
    return ("", end) if ";" in inner or "{" in inner else (inner, end)


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


def inner_name(outer: str, name: str) -> str:
    """The name of a type within another; too deep a nesting, no reader's, is cut off."""
    return f"{outer}.{name}" if outer and outer.count(".") < DEEPEST else name
