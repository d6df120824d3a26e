"""What `#if` and its kin say about a branch: taken on the reference platform, or not, or unknown.

Three-valued logic: a macro that `c_platform` does not know, and all that depends on it, is
unknown, and an unknown branch may be taken. Where a name is not known, `&&` and `||` may still
be: `defined(_WIN32) && X` is false whatever X is.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache

from codekiln.languages.c_platform import Dialect, is_defined, value_of

Value = int | None  # None: unknown

LONGEST = 2000  # characters of a condition; a longer one is unknown
_NOISE = re.compile(r"\\\n|/\*.*?(?:\*/|\Z)|//.*", re.DOTALL)
_TOKEN = re.compile(
    r"\s*(?:([A-Za-z_$][\w$]*)|(0[xX][\da-fA-F']+|0[bB][01']+|\d[\d']*)[uUlLzZ]*(?![\w.])"
    r"|(\|\||&&|[=!<>]=|<<|>>|[-+*/%!~&|^<>()])|(\S))"
)
_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_WORDS = {"and": "&&", "or": "||", "not": "!"}
_WRAP = 1 << 64


class Branch(IntEnum):
    """How a branch of a conditional stands; of nested ones the greatest holds."""

    TAKEN = 0  # or possibly so
    FOREIGN = 1  # not taken on the reference platform
    NEVER = 2  # not taken on any: `#if 0`, a comment in other words


class Conditionals:
    """The conditionals that are open at one place of a file, while it is read from the top."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        # of each: the branch around it, the present one, what a later branch is at least
        self._open: list[tuple[Branch, Branch, Branch]] = []

    @property
    def branch(self) -> Branch:
        """Of the present place."""
        return self._open[-1][1] if self._open else Branch.TAKEN

    def read(self, word: str, rest: str) -> None:
        """Take in a directive: `word` without its "#", and the rest of its line."""
        if word in ("if", "ifdef", "ifndef"):
            around = self.branch
            self._enter(around, around, word, rest)
        elif not self._open:
            return  # an #else or #endif of nothing
        elif word == "endif":
            self._open.pop()
        else:
            around, _, least = self._open.pop()
            self._enter(around, least, word, rest)

    def _enter(self, around: Branch, least: Branch, word: str, rest: str) -> None:
        holds, fixed = self._condition(word, rest)
        otherwise = Branch.NEVER if fixed else Branch.FOREIGN
        branch = max(least, otherwise) if holds == 0 else least
        self._open.append((around, branch, max(least, otherwise) if holds else least))

    def _condition(self, word: str, rest: str) -> tuple[Value, bool]:
        """The value of a condition, and whether it is the same everywhere."""
        if word == "else":
            return 1, False
        if word in ("if", "elif"):
            return evaluate(rest, self._dialect)
        name = _NAME.search(_NOISE.sub(" ", rest) if "/" in rest else rest)
        known = is_defined(name[0], self._dialect) if name else None
        if known is None:
            return None, False
        return int(known != word.endswith("ndef")), False


def evaluate(expression: str, dialect: Dialect) -> tuple[Value, bool]:
    """The value of an `#if` expression, and whether no name stands in it.

    What is no expression (or one with `?:`, or a call of a macro) is unknown.
    """
    return (None, False) if len(expression) > LONGEST else _evaluate(expression, dialect)


@lru_cache(maxsize=10_000)
def _evaluate(expression: str, dialect: Dialect) -> tuple[Value, bool]:
    expression = _NOISE.sub(" ", expression)
    tokens = [(m[1], m[2], m[3] or m[4]) for m in _TOKEN.finditer(expression)]
    try:
        return _Reader(dialect).value(tokens), not any(name for name, _, _ in tokens)
    except (IndexError, KeyError, ValueError):  # an operand or a bracket is missing, "08"
        return None, False


class _Reader:
    """Reads one expression with a stack of values and one of operators."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._values: list[Value] = []
        self._operators: list[str] = []

    def value(self, tokens: list[tuple[str, str, str]]) -> Value:
        at = 0
        operand = True  # one is expected
        while at < len(tokens):
            name, number, sign = tokens[at]
            sign = _WORDS.get(name, sign)
            at += 1
            if name and name not in _WORDS:
                _expect(operand)
                at = self._name(name, tokens, at)
                operand = False
            elif number:
                _expect(operand)
                self._values.append(_number(number))
                operand = False
            elif operand:  # a unary operator, or an opening bracket
                self._operators.append({"(": "(", "!": "!", "~": "~", "-": "neg", "+": "pos"}[sign])
            elif sign == ")":
                self._close()
            else:
                self._binary(sign)
                operand = True
        _expect(not operand)
        while self._operators:
            self._apply(self._operators.pop())
        (value,) = self._values or [None]
        return value

    def _name(self, name: str, tokens: list[tuple[str, str, str]], at: int) -> int:
        """Take in a name with what belongs to it; returns where to go on."""
        called = at < len(tokens) and tokens[at][2] == "("
        if name == "defined":
            known = is_defined(tokens[at + called][0], self._dialect)
            if called and tokens[at + 2][2] != ")":
                raise KeyError(name)
            self._values.append(None if known is None else int(known))
            return at + (3 if called else 1)
        if not called:
            self._values.append(value_of(name, self._dialect))
            return at
        depth = 0
        while True:
            depth += {"(": 1, ")": -1}.get(tokens[at][2], 0)
            at += 1
            if not depth:
                self._values.append(None)
                return at

    def _binary(self, sign: str) -> None:
        level = _BINARY[sign][0]
        while self._operators and self._operators[-1] != "(":
            if self._operators[-1] in _BINARY and _BINARY[self._operators[-1]][0] < level:
                break
            self._apply(self._operators.pop())
        self._operators.append(sign)

    def _close(self) -> None:
        while (sign := self._operators.pop()) != "(":
            self._apply(sign)

    def _apply(self, sign: str) -> None:
        right = self._values.pop()
        if sign in _UNARY:
            self._values.append(None if right is None else _UNARY[sign](right))
            return
        left = self._values.pop()
        self._values.append(_together(sign, left, right))


def _expect(met: bool) -> None:
    if not met:
        raise KeyError("an operand too many or too few")


def _together(sign: str, left: Value, right: Value) -> Value:
    if sign == "&&" and (left == 0 or right == 0):
        return 0
    if sign == "||" and (left or right):
        return 1
    if left is None or right is None:
        return None
    if sign in ("/", "%"):
        return _divided(sign, left, right)
    if sign in ("<<", ">>") and not 0 <= right < 64:
        return None
    return _wrapped(_BINARY[sign][1](left, right))


def _divided(sign: str, left: int, right: int) -> Value:
    """As C divides: towards zero."""
    if right == 0:
        return None
    quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    return quotient if sign == "/" else left - right * quotient


def _wrapped(value: int) -> int:
    value = int(value) % _WRAP
    return value - _WRAP if value >= _WRAP // 2 else value


def _number(digits: str) -> int:
    digits = digits.replace("'", "")
    if digits[0] == "0" and digits[1:].isdigit():
        return _wrapped(int(digits, 8))
    return _wrapped(int(digits, 0))


_UNARY: dict[str, Callable[[int], int]] = {
    "!": lambda value: int(not value),
    "~": lambda value: ~value,
    "neg": lambda value: _wrapped(-value),
    "pos": lambda value: value,
}
_BINARY: dict[str, tuple[int, Callable[[int, int], int]]] = {
    "||": (1, lambda left, right: int(bool(left or right))),
    "&&": (2, lambda left, right: int(bool(left and right))),
    "|": (3, operator.or_),
    "^": (4, operator.xor),
    "&": (5, operator.and_),
    "==": (6, operator.eq),
    "!=": (6, operator.ne),
    "<": (7, operator.lt),
    "<=": (7, operator.le),
    ">": (7, operator.gt),
    ">=": (7, operator.ge),
    "<<": (8, operator.lshift),
    ">>": (8, operator.rshift),
    "+": (9, operator.add),
    "-": (9, operator.sub),
    "*": (10, operator.mul),
    "/": (10, operator.floordiv),
    "%": (10, operator.mod),
}
