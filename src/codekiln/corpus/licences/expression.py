"""SPDX licence expressions: written in one way, joined, and judged permissive or not.

An exception (`WITH`) only ever permits more, so the licence before it decides. A name that the
table does not list as permissive is not: whoever asks for permissive code gets no guesses.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

NOASSERTION = "NOASSERTION"
LONGEST = 500  # characters: what is longer is a text and no expression
_PARTS = re.compile(r"[()]|[^\s()]+")


@cache
def table() -> dict[str, Any]:
    """The licence table."""
    text = resources.files(__package__).joinpath("table.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def permissive_ids() -> frozenset[str]:
    """Licences without copyleft."""
    return frozenset(table()["permissive"].split())


@lru_cache(maxsize=4096)
def canonical(expression: str) -> str | None:
    """An SPDX expression in the list's own spelling; None if it is none."""
    if len(expression) > LONGEST:
        return None
    try:
        return str(canonicalize_license_expression(expression))
    except (InvalidLicenseExpression, RecursionError, MemoryError):
        return None


def is_permissive(expression: str) -> bool:
    """Whether the code may be used under permissive licences alone; False where unknown."""
    return evaluate(expression, permissive_ids().__contains__)


def evaluate(expression: str, holds: Callable[[str], bool]) -> bool:
    """The truth of an expression whose licences are true where `holds` says so.

    AND binds more firmly than OR, as in SPDX. What is no expression is false.
    """
    known = canonical(expression)
    if known is None:
        return False
    parts = _PARTS.findall(known)
    value, end = _either(parts, 0, holds)
    return value and end == len(parts)


def _either(parts: list[str], at: int, holds: Callable[[str], bool]) -> tuple[bool, int]:
    value, at = _both(parts, at, holds)
    while at < len(parts) and parts[at] == "OR":
        other, at = _both(parts, at + 1, holds)
        value = value or other
    return value, at


def _both(parts: list[str], at: int, holds: Callable[[str], bool]) -> tuple[bool, int]:
    value, at = _one(parts, at, holds)
    while at < len(parts) and parts[at] == "AND":
        other, at = _one(parts, at + 1, holds)
        value = value and other
    return value, at


def _one(parts: list[str], at: int, holds: Callable[[str], bool]) -> tuple[bool, int]:
    if parts[at] == "(":
        value, at = _either(parts, at + 1, holds)
        return value, at + 1
    value = holds(parts[at]) or (parts[at].endswith("+") and holds(parts[at][:-1]))
    at += 1
    if at < len(parts) and parts[at] == "WITH":
        at += 2
    return value, at


def ids(expression: str) -> frozenset[str]:
    """The licences that an expression names, without exceptions."""
    words = _PARTS.findall(expression)
    return frozenset(
        word
        for before, word in zip(["", *words], words, strict=False)
        if word not in {"(", ")", "AND", "OR", "WITH"} and before != "WITH"
    )


def join(expressions: Iterable[str], operator: str) -> str:
    """Several expressions as one, each once, sorted; `operator` is AND or OR."""
    each = sorted(set(expressions))
    if len(each) == 1:
        return each[0]
    return f" {operator} ".join(f"({e})" if " OR " in e or " AND " in e else e for e in each)
