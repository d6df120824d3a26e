"""A file's syntax tree, by one of the grammars of `grammars.toml`.

How long a parse may take is counted in the parser's own steps and not in seconds, so that the
same file has the same answer on every machine. Among 4000 files of released packages none took
half of the limit.
"""

from __future__ import annotations

import importlib
import warnings
from functools import cache
from typing import TYPE_CHECKING

from codekiln.languages.grammars import grammars

if TYPE_CHECKING:
    from collections.abc import Callable

    from tree_sitter import Node, Parser

CHUNK = 1 << 16  # bytes handed to the parser at a time
MOST_STEPS = 500  # hundreds of steps, as tree-sitter counts them, for any file
STEPS_PER_BYTE = 0.04  # and for each byte more


def syntax_tree(data: bytes, grammar: str) -> Node | None:
    """The root of a file's tree; None where the parser took too many steps.

    Parses in this process, which a fault in a grammar's C code ends: see `parser_process.py`.

    Args:
        grammar: a name of `grammars.toml` whose wheel is installed.
    """
    parser = _parser(grammar)
    most = MOST_STEPS + STEPS_PER_BYTE * len(data)
    steps = 0

    def enough(_offset: int, _error: bool) -> bool:
        nonlocal steps
        steps += 1
        return steps > most

    def read(offset: int, _point: object) -> bytes:
        return data[offset : offset + CHUNK]

    try:
        return parser.parse(read, progress_callback=enough).root_node
    except ValueError:  # "Parsing failed": the callback stopped it
        parser.reset()
        return None


@cache
def _parser(name: str) -> Parser:
    """One parser a grammar, used again for every file."""
    from tree_sitter import Language, Parser

    grammar = grammars()[name]
    make: Callable[[], object] = getattr(importlib.import_module(grammar.module), grammar.function)
    with warnings.catch_warnings():  # older wheels hand over a bare address
        warnings.simplefilter("ignore", DeprecationWarning)
        language = Language(make())
    return Parser(language)
