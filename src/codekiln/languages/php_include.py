"""The path that an `include` or `require` of PHP names, where it can be told from its text."""

from __future__ import annotations

import posixpath
import re

from codekiln.languages.resolve import parent

UNKNOWN = "\0"  # stands for a constant or call that can't be told
_DEEPEST = 20
_PIECE = re.compile(r"""('[^']*+'|"[^"]*+")|([\w\\]+)|([().,])""")


def included(statement: str, path: str) -> list[str]:
    """The path that a statement in the file `path` names; none if its end can't be told.

    "/" at the start is the repository's root, UNKNOWN what can't be told; without either, it is
    a path as PHP looks for in its include path.
    """
    value = _Reader(statement, path).concatenation(0)
    return [value] if value and not value.endswith((UNKNOWN, "/")) else []


class _Reader:
    """Reads texts, constants and calls that `.` ties together."""

    def __init__(self, statement: str, path: str) -> None:
        self._pieces = _PIECE.findall(statement)
        self._path = path
        self._at = 1  # behind the word `include`

    def concatenation(self, depth: int) -> str:
        """What is said up to the end, a comma or a bracket that closes."""
        value = ""
        while self._at < len(self._pieces):
            text, word, mark = self._pieces[self._at]
            if mark in (")", ","):
                break
            self._at += 1
            if text:
                value += UNKNOWN if text[0] == '"' and "$" in text else text[1:-1]
            elif mark == "(":
                value += self._bracket(depth)[0]
            elif word:
                value += self._word(word, depth)
        return value

    def _word(self, word: str, depth: int) -> str:
        if self._at < len(self._pieces) and self._pieces[self._at][2] == "(":
            self._at += 1
            inner, steps = self._bracket(depth)
            if word.lower().lstrip("\\") == "dirname":
                return _upward(inner, steps)
            return _upward(inner, 1) + "/" if word == "plugin_dir_path" else UNKNOWN
        if word == "__DIR__":
            return f"/{parent(self._path)}".rstrip("/")
        return f"/{self._path}" if word == "__FILE__" else UNKNOWN

    def _bracket(self, depth: int) -> tuple[str, int]:
        """What stands in the bracket that has just opened, and the number behind its comma."""
        if depth == _DEEPEST:
            self._at = len(self._pieces)
            return UNKNOWN, 1
        value = self.concatenation(depth + 1)
        steps = 1
        while self._at < len(self._pieces) and self._pieces[self._at][2] != ")":
            number = self._pieces[self._at][1]
            steps = int(number) if number in _STEPS else steps
            self._at += 1
        self._at += 1
        return value, steps


_STEPS = frozenset("123456789")


def _upward(value: str, steps: int) -> str:
    if UNKNOWN in value:
        return UNKNOWN
    for _ in range(steps):
        value = posixpath.dirname(value.rstrip("/"))
    return value.rstrip("/")
