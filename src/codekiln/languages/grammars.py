"""Which tree-sitter grammar reads which file; the data stand in `grammars.toml`."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """One grammar.

    Args:
        name: its table in the file.
        language: of the language table.
        module: the wheel's Python package.
        function: the module's function that gives the grammar.
        suffixes: of the files that it reads; "" stands for names without one. None: all.
        excluded: endings of names that it does not read after all.
        dialect: found in a file with errors, forbids a verdict.
        limit: share of a file in errors above which the file counts as broken.
    """

    name: str
    language: str
    module: str
    function: str = "language"
    suffixes: tuple[str, ...] | None = None
    excluded: tuple[str, ...] = ()
    dialect: re.Pattern[bytes] | None = None
    limit: float = 0.0

    def reads(self, path: str) -> bool:
        """Whether a file of this path is in the syntax that the grammar describes."""
        if self.suffixes is None or not path:
            return True
        name = path[path.rfind("/") + 1 :]
        if name.endswith(self.excluded):
            return False
        dot = name.rfind(".")
        return (name[dot:].lower() if dot > 0 else "") in self.suffixes


@cache
def grammars() -> Mapping[str, Grammar]:
    """All grammars by name."""
    text = resources.files(__package__).joinpath("grammars.toml").read_text(encoding="utf-8")
    return MappingProxyType(
        {name: _grammar(name, entry) for name, entry in tomllib.loads(text).items()}
    )


def _grammar(name: str, entry: dict[str, Any]) -> Grammar:
    suffixes, dialect = entry.get("suffixes"), entry.get("dialect")
    return Grammar(
        name=name,
        language=entry.get("language", name),
        module=entry["module"],
        function=entry.get("function", "language"),
        suffixes=None if suffixes is None else tuple(suffixes),
        excluded=tuple(entry.get("excluded", ())),
        dialect=re.compile(dialect.encode(), re.MULTILINE) if dialect else None,
        limit=entry.get("limit", 0.0),
    )


def grammar_of(language: str, path: str = "") -> Grammar | None:
    """The grammar that reads a file of `language` at `path`; None if there is none."""
    return next((g for g in _by_language().get(language, ()) if g.reads(path)), None)


@cache
def _by_language() -> dict[str, tuple[Grammar, ...]]:
    found: dict[str, tuple[Grammar, ...]] = {}
    for grammar in grammars().values():
        found[grammar.language] = (*found.get(grammar.language, ()), grammar)
    return found


@cache
def installed(name: str) -> bool:
    """Whether the wheel of a grammar, and tree-sitter itself, can be imported."""
    try:
        importlib.import_module("tree_sitter")
        importlib.import_module(grammars()[name].module)
    except ImportError:
        return False
    return True


def versions() -> dict[str, str]:
    """Versions of tree-sitter and of the installed grammars, which verdicts depend on."""
    found = {}
    modules = {g.module for name, g in grammars().items() if installed(name)}
    for module in sorted(modules | ({"tree_sitter"} if modules else set())):
        name = module.replace("_", "-")
        found[name] = importlib.metadata.version(name)
    return found
