"""What checks the syntax of a language: compilers' command lines and how to read their answers.

The data stand in `checkers.toml`. Nothing is run here: the programs see files that nobody has
read, and some of them run parts of these (`perl -c` runs BEGIN blocks), so they belong in the
sandbox.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

FILE = "{file}"
FILES = "{files}"
PYTHON = "{python}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """How one language's syntax is checked.

    Args:
        program: that has to be installed; "{python}" is always there.
        command: with one word "{file}" or "{files}".
        suffix: of the names under which it is given the files.
        error: finds syntax errors in what it prints.
        unsure: found in what it prints, forbids a verdict.
        skip: found in a file, forbids asking.
    """

    program: str
    command: tuple[str, ...]
    suffix: str
    error: re.Pattern[str]
    unsure: re.Pattern[str] | None = None
    skip: re.Pattern[str] | None = None

    @property
    def takes_many(self) -> bool:
        """Whether one run checks many files."""
        return FILES in self.command


@cache
def checkers() -> Mapping[str, Checker]:
    """All checkers by language."""
    text = resources.files(__package__).joinpath("checkers.toml").read_text(encoding="utf-8")
    return MappingProxyType({name: _checker(entry) for name, entry in tomllib.loads(text).items()})


def _checker(entry: dict[str, Any]) -> Checker:
    def pattern(key: str) -> re.Pattern[str] | None:
        return re.compile(entry[key], re.MULTILINE) if key in entry else None

    return Checker(
        program=entry["program"],
        command=tuple(entry["command"]),
        suffix=entry["suffix"],
        error=re.compile(entry["error"], re.MULTILINE),
        unsure=pattern("unsure"),
        skip=pattern("skip"),
    )
