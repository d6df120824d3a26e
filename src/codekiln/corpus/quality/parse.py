"""One file through one tree-sitter grammar: which share of it is in errors.

The share is of the bytes in ERROR nodes, and one byte for each MISSING node. Whole constructs
that the parser recognised inside an ERROR node are not counted: where a brace does not close,
tree-sitter may put the whole file into one such node, whose functions are all right.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import TYPE_CHECKING, NamedTuple

from codekiln.languages.grammars import grammars
from codekiln.languages.trees import syntax_tree

if TYPE_CHECKING:
    from tree_sitter import Node

PYTHON_2 = "Python 2"
GIVEN_UP = "given up"  # the parser took too many steps
CRASHED = "crashed"  # the parser's process ended
COMPILED = "compiler"  # a real compiler decided: 0 or 1
NOTES = ("", PYTHON_2, GIVEN_UP, CRASHED, COMPILED)

# Statements that only Python 2 reads. Where Python 3's own parser then stops at such a line, or at
# one of the lesser signs, the file is Python 2.
# A line is looked for by the end of the one before it: a search for a byte is a fast one.
_PYTHON_2 = re.compile(
    rb"\n[ \t]*(?:print[ \t]+[\"'\w%]|exec[ \t]+[\"'\w]|raise[ \t]+[\w.]+[ \t]*,"
    rb"|except[ \t]+[\w., \t()]+,[ \t]*\w+[ \t]*:)"
)
_LESSER_SIGNS = re.compile(
    rb"\bur[\"']|<>|\b0[0-7]+[lL]?\b|\b0x[\da-fA-F]+[lL]\b|\b\d+[lL]\b|`|print "
)


class Syntax(NamedTuple):
    """What the syntax check says of a file.

    Args:
        errors: share of its bytes in syntax errors; None where nothing can be said: no grammar
            for it, none installed, or the parser did not end.
        note: one of NOTES; "Python 2" where only Python 2 reads the file.
    """

    errors: float | None
    note: str = ""


UNKNOWN = Syntax(None)


def parse(data: bytes, grammar: str) -> Syntax:
    """Parse one file in this process; a fault in a grammar's C code ends it.

    Args:
        grammar: a name of `grammars.toml` whose wheel is installed.
    """
    if grammar == "json" and _is_json(data):
        return Syntax(0.0)
    if grammar == "python" and _is_python_2(data):
        return Syntax(1.0, PYTHON_2)
    root = syntax_tree(data, grammar)
    if root is None:
        return Syntax(None, GIVEN_UP)
    if not root.has_error:
        return Syntax(0.0)
    dialect = grammars()[grammar].dialect
    if dialect and dialect.search(data):
        return UNKNOWN
    return Syntax(_errors(root, len(data)))


def _errors(root: Node, size: int) -> float:
    """Goes into no node without an error: a query takes quadratic time on wide ones."""
    wrong = 0
    open_nodes = [root]
    while open_nodes:
        node = open_nodes.pop()
        children = node.children
        if node.is_error:
            wrong += node.end_byte - node.start_byte
        for child in children:
            if child.is_missing:
                wrong += 1
            elif child.has_error:
                open_nodes.append(child)
            if node.is_error and (child.child_count or child.is_error):
                wrong -= child.end_byte - child.start_byte  # a construct, or counted by itself
    return min(1.0, wrong / (size or 1))


def _is_json(data: bytes) -> bool:
    """Whether Python's parser, several times faster, takes it; it knows no comments."""
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _is_python_2(data: bytes) -> bool:
    if not _PYTHON_2.search(b"\n" + data):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(data)
    except SyntaxError as error:
        lines = data.split(b"\n", error.lineno or 0)
        line = lines[(error.lineno or 1) - 1]
        return bool(_PYTHON_2.search(b"\n" + line) or _LESSER_SIGNS.search(line))
    except (ValueError, RecursionError, MemoryError):
        return False
    return False
